"""`flowc emit FILE EVENT [JSON | -]`: events by hand, durable before it is said."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from flowc_engine import limits
from flowc_engine.cli.common import ExitCode, fail, shown_path
from flowc_engine.cli.planned import Planned, plan_program

if TYPE_CHECKING:
    from flowc_dsl.plan import Plan
    from flowc_engine.emitting import Publisher

_ATTEMPT_MS: Final = 2_000
_STDIN: Final = "-"


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("event", metavar="EVENT")
@click.argument("text", metavar="[JSON | -]", default="{}")
def command(file: Path, event: str, text: str) -> None:
    """Send events of the external type EVENT into the program whose main file is FILE.

    \b
    Examples:
      flowc emit shop.flow CheckoutSubmitted '{"cart_id": "…", "customer": "ada", "lines": []}'
      flowc emit shop.flow CheckoutSubmitted - < events.jsonl

    JSON is one object, or a list of them; - reads that, or one object a line, from stdin. All are
    checked before any is sent. While a run is up they go to it; otherwise they wait in the journal
    for the next one.

    Exit codes: 0 durable, 1 the program has errors, 2 an event that does not fit, 3 failure.
    """
    planned = plan_program(file, skip_unsupported=True)
    why = _why_not(planned.plan, event)
    if why is not None:
        fail(why)
    given = _read_stdin() if text == _STDIN else text
    rows = _rows(planned.plan, event, given) if given.strip() else []
    if not rows:
        fail("no events were given")
    from flowc_engine.emitting import EmitError, Publisher, make_parts

    try:
        parts = make_parts(planned.plan, event, rows)
    except EmitError as error:
        fail(str(error))
    publisher = Publisher(planned.plan, event, parts)
    try:
        was_up = _deliver(planned, publisher)
    except EmitError as error:
        fail(str(error), ExitCode.FAILURE)
    except OSError as error:
        fail(f"{planned.state.path}: {error.strerror or error}", ExitCode.FAILURE)
    _say(file, event, len(rows), publisher.first_offset if len(parts) == 1 else None, was_up=was_up)


def _why_not(plan: Plan, event: str) -> str | None:
    from flowc_engine.config import did_you_mean

    external = [e.name for e in plan.events if e.external]
    if event in external:
        return None
    if any(e.name == event for e in plan.events):
        emitters = ", ".join(s.name for s in plan.services if event in s.emits)
        by = f"it is emitted by {emitters}" if emitters else "no service emits it"
        return f"{event} is not declared `external`, so it can't come from outside; {by}"
    return f"there is no event {event}{did_you_mean(event, external)}"


def _read_stdin() -> str:
    data = sys.stdin.buffer.read(limits.EMIT_BYTES_MAX + 1)
    if len(data) > limits.EMIT_BYTES_MAX:
        fail(
            f"stdin: over {limits.EMIT_BYTES_MAX:,} bytes; a source in flow.toml has no such bound"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        fail(f"stdin: not UTF-8 at byte {error.start}")


def _rows(plan: Plan, event: str, text: str) -> list[dict[str, Any]]:
    """The events, checked; each fault names its place."""
    from flowc_engine.codec import CodecError, read_event

    rows = []
    for where, value in _values(event, text):
        try:
            rows.append(read_event(plan, event, value))
        except CodecError as error:
            fail(f"{event}: {where}{error}")
    return rows


def _values(event: str, text: str) -> list[tuple[str, Any]]:
    """Each value, with words for its place: of the whole text as JSON, or else of its lines."""
    from flowc_engine.codec import CodecError, parse_json

    try:
        whole = parse_json(text)
    except CodecError as error:
        lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or not _is_json(lines[0][1]):
            fail(f"{event}: {error}")
        values = []
        for number, line in lines:
            try:
                values.append((f"line {number}: ", parse_json(line)))
            except CodecError as at:
                fail(f"{event}: line {number}: {at}")
        return values
    if isinstance(whole, list):
        return [(f"event {i}: ", value) for i, value in enumerate(whole, 1)]
    return [("", whole)]


def _is_json(line: str) -> bool:
    from flowc_engine.codec import CodecError, parse_json

    try:
        parse_json(line)
    except CodecError:
        return False
    return True


def _deliver(planned: Planned, publisher: Publisher) -> bool:
    """Publish through the run that is up (True), or through a broker of our own."""
    from flowc_engine.emitting import EmitError, one_at_a_time
    from flowc_engine.state import StateHeldError, broker_endpoint

    state = planned.state
    state.create()
    deadline = time.monotonic() + limits.EMIT_MS_MAX / 1000
    with one_at_a_time(state):
        while time.monotonic() < deadline:
            try:
                handle = state.lock()
            except StateHeldError:
                sockets = state.sockets()
                if sockets is not None and publisher.deliver(broker_endpoint(sockets), _ATTEMPT_MS):
                    return True
                continue
            with handle:
                _deliver_alone(planned, publisher)
                return False
    raise EmitError(
        f"the run that holds {state.path} did not confirm in {limits.EMIT_MS_MAX // 1000} s; "
        f"{'they may be in its log' if publisher.begun else 'nothing was sent'}"
    )


def _deliver_alone(planned: Planned, publisher: Publisher) -> None:
    """Start a broker just for this."""
    from flowc_engine.emitting import EmitError
    from flowc_engine.supervisor.compat import PlanChangedError, adopt_plan
    from flowc_engine.supervisor.holding import sockets_of
    from flowc_engine.supervisor.launch import RunFiles
    from flowc_engine.supervisor.lone_broker import BrokerFailedError, lone_broker

    try:
        adopt_plan(planned.state, planned.plan)
        with sockets_of(planned.state) as sockets:
            files = RunFiles(planned.root, planned.state, sockets)
            with lone_broker(files):
                if not publisher.deliver(files.broker, limits.EMIT_MS_MAX):
                    raise EmitError(f"the broker did not confirm; see {files.state.logs}")
    except PlanChangedError as error:  # several lines, of the declaration's own names
        click.echo(f"error: {error}", err=True)
        sys.exit(ExitCode.FAILURE)
    except (BrokerFailedError, ValueError) as error:
        raise EmitError(str(error)) from None


def _say(file: Path, event: str, count: int, first: int | None, *, was_up: bool) -> None:
    what = f"{count:,} {event}" if count > 1 else event
    place = ""
    if first is not None and first >= 0:
        place = (
            f" at offset {first}" if count == 1 else f" at offsets {first} to {first + count - 1}"
        )
    click.echo(f"{what} durable{place}")
    if not was_up:
        click.echo(f"no run is up: `flowc run {shown_path(file)}` will consume it", err=True)
