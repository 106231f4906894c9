"""`flowc parked list|show|retry|drop`: the events that a handler gave up on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from flowc_dsl.rules.wording import counted
from flowc_engine import limits
from flowc_engine.cli.asking import asked_log, asked_state, print_blocks, state_of
from flowc_engine.cli.common import ExitCode, fail, look_for, shown_path

if TYPE_CHECKING:
    from flowc_engine.log.query import FileLog, LiveLog
    from flowc_engine.state import StateDir
    from flowc_engine.unparking import LetGo

_LISTED_DEFAULT: Final = 100
_NO: Final = ExitCode.FINDINGS
_EXAMPLES: Final = """
    \b
    Examples:
      flowc parked {verb} shop.flow 1042 1077
      flowc parked {verb} shop.flow --service Payments
      flowc parked {verb} shop.flow --all --dry-run
"""


class Parked(NamedTuple):
    """One event that one service has parked."""

    offset: int
    service: str
    event: str


@click.group()
def command() -> None:
    """See the events that a handler gave up on, and have them handled again.

    \b
    Examples:
      flowc parked list shop.flow
      flowc parked show shop.flow 1042
      flowc parked retry shop.flow --service Payments
      flowc parked drop shop.flow 1042

    An event is parked when its handler has failed on every attempt. It waits, and holds up nobody.
    """


def _narrowing(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--event", metavar="NAME", help="Those of this event type alone."),
        click.option("--service", metavar="NAME", help="Those of this service alone."),
    ):
        function = option(function)
    return function


# ---- looking


@command.command("list")
@click.argument("file", type=click.Path())
@_narrowing
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=_LISTED_DEFAULT,
    show_default=True,
    help="Show at most so many.",
)
def list_parked(
    file: str, service: str | None, event: str | None, limit: int, *, as_json: bool
) -> None:
    """List what is parked now, the newest first.

    \b
    Examples:
      flowc parked list shop.flow
      flowc parked list shop.flow --service Payments --json
    """
    from flowc_engine.log.shown import to_json_value

    where = _where(service, event)
    columns = "_offset, event, service, handler, attempts, times, time, error"
    with asked_log(file) as (_, log):
        _known_service(log, service)
        rows = log.query(
            f"SELECT {columns} FROM _parked_now{where} ORDER BY time DESC, _offset DESC",  # noqa: S608 - names are quoted
            limit,
        ).table.to_pylist()
        total = log.query(f"SELECT count(*) AS n FROM _parked_now{where}", as_of=0)  # noqa: S608 - as above
    count: int = total.table.to_pylist()[0]["n"]
    if as_json:
        listed = [{k.lstrip("_"): to_json_value(v) for k, v in row.items()} for row in rows]
        value = {"format_version": "1.0", "total": count, "parked": listed}
        click.echo(json.dumps(value, ensure_ascii=False))
        return
    if rows:
        heads = ["offset", "event", "service", "attempts", "times", "parked at", "error"]
        cells = [
            [r["_offset"], r["event"], r["service"], r["attempts"], r["times"], r["time"],
             _first_line(r["error"])]
            for r in rows
        ]  # fmt: skip
        print_blocks(heads, cells)
    _say_total(count, len(rows), shown_path(Path(file)))


def _say_total(count: int, shown: int, file: str) -> None:
    if not count:
        click.echo("nothing is parked", err=True)
        return
    more = f", the newest {shown} are shown" if shown < count else ""
    click.echo(f"{counted(count, 'event')} parked{more}", err=True)
    click.echo(
        f"next: `flowc parked show {file} OFFSET`, `flowc parked retry {file} OFFSET`", err=True
    )


@command.command("show")
@click.argument("file", type=click.Path())
@click.argument("offset", type=click.IntRange(min=0))
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def show_parked(file: str, offset: int, *, as_json: bool) -> None:
    """Show a parked event: what it says, and each failure.

    \b
    Examples:
      flowc parked show shop.flow 1042
    """
    from flowc_dsl.sqltext import quote
    from flowc_engine.log.shown import to_json_value, to_text

    with asked_log(file) as (_, log):
        failures = log.query(
            f"SELECT * FROM _parked WHERE _offset = {offset} ORDER BY time"  # noqa: S608 - an integer
        ).table.to_pylist()
        if not failures:
            fail(f"event {offset} was never parked; `flowc parked list` lists what is", _NO)
        table = quote(failures[0]["event"])
        sql = f"SELECT * FROM {table} WHERE _offset = {offset}"  # noqa: S608 - quoted
        (event,) = log.query(sql, as_of=0).table.to_pylist()
        sql = f"SELECT service FROM _parked_now WHERE _offset = {offset}"  # noqa: S608 - an integer
        waiting = {row["service"] for row in log.query(sql, as_of=0).table.to_pylist()}
    if as_json:
        value = {
            "format_version": "1.0",
            "event": {k: to_json_value(v) for k, v in event.items()},
            "parked_now_by": sorted(waiting),
            "failures": [{k: to_json_value(v) for k, v in f.items()} for f in failures],
        }
        click.echo(json.dumps(value, ensure_ascii=False))
        return
    look = look_for(sys.stdout)
    for name, value in event.items():
        click.echo(f"{name}: {look.show('NULL' if value is None else to_text(value))}")
    for failed in failures:
        click.echo()
        click.echo(
            f"{failed['handler']} gave up after "
            f"{counted(failed['attempts'], 'attempt')} at {to_text(failed['time'])}:"
        )
        for line in failed["error"].splitlines():
            click.echo(f"  {look.show(line)}")
    state = f"parked by {', '.join(sorted(waiting))}" if waiting else "no longer parked"
    shown = shown_path(Path(file))
    click.echo(f"\n{state}; `flowc trace {shown} {offset}` shows what led to it", err=True)


# ---- letting go


def _letting_go(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Write JSON."),
        click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        click.option("--all", "every", is_flag=True, help="All that is parked."),
        _narrowing,
        click.argument("offsets", nargs=-1, type=click.IntRange(min=0), metavar="[OFFSET]..."),
        click.argument("file", type=click.Path()),
    ):
        function = decorate(function)
    return function


@command.command(
    "retry",
    help="Have parked events handled again, by the service that gave up on them alone."
    + _EXAMPLES.format(verb="retry")
    + """
    They are handled now, behind what came later; with all attempts. While a run is up it happens at
    once, else in the next run.
    """,
)
@_letting_go
def retry_parked(file: str, offsets: tuple[int, ...], **options: Any) -> None:
    """Have them handled again."""
    _let_go(file, offsets, retry=True, **options)


@command.command(
    "drop",
    help="Drop parked events: nobody handles them any more. They stay in the log."
    + _EXAMPLES.format(verb="drop"),
)
@_letting_go
def drop_parked(file: str, offsets: tuple[int, ...], **options: Any) -> None:
    """Let them be."""
    _let_go(file, offsets, retry=False, **options)


def _let_go(
    file: str,
    offsets: tuple[int, ...],
    *,
    retry: bool,
    service: str | None,
    event: str | None,
    every: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    if not (offsets or service or event or every):
        fail("name offsets, --service, --event or --all; `flowc parked list` lists what is parked")
    if every and (offsets or service or event):
        fail("--all takes all: name no offsets, --service or --event with it")
    state = state_of(file)
    chosen = _chosen(state, file, offsets, service, event)
    found: dict[str, LetGo] = {}
    was_up = True
    if chosen and not dry_run:
        was_up, found = _through_a_broker(state, chosen, retry=retry)
    if as_json:
        value = {
            "format_version": "1.0",
            "action": "retry" if retry else "drop",
            "dry_run": dry_run,
            "chosen": [c._asdict() for c in chosen],
            "services": {name: _as_json(one) for name, one in found.items()},
        }
        click.echo(json.dumps(value))
    else:
        _tell(chosen, found, retry=retry, dry_run=dry_run)
        if retry and not was_up and found:
            shown = shown_path(Path(file))
            click.echo(f"no run is up: `flowc run {shown}` will handle them", err=True)
    unfinished = any(one.later for one in found.values())
    sys.exit(ExitCode.FINDINGS if unfinished or not chosen else ExitCode.CLEAN)


def _as_json(one: LetGo) -> dict[str, list[int]]:
    return {"done": list(one.done), "later": list(one.later), "gone": list(one.gone)}


def _chosen(
    state: StateDir,
    file: str,
    offsets: tuple[int, ...],
    service: str | None,
    event: str | None,
) -> list[Parked]:
    """What is parked of what was asked for; offsets that are not are named, and nothing is done."""
    where = _where(service, event)
    with asked_state(state, file) as log:
        _known_service(log, service)
        sql = f"SELECT _offset, service, event FROM _parked_now{where} ORDER BY ALL"  # noqa: S608 - names are quoted
        rows = log.query(sql).table.to_pylist()
    parked = [Parked(r["_offset"], r["service"], r["event"]) for r in rows]
    if not offsets:
        return parked
    strange = sorted(set(offsets) - {p.offset for p in parked})
    if strange:
        named = ", ".join(map(str, strange[: limits.NAMES_LISTED_MAX]))
        more = ", …" if len(strange) > limits.NAMES_LISTED_MAX else ""
        whose = f" by {service}" if service else ""
        fail(f"not parked{whose}: {named}{more}; `flowc parked list` lists what is", _NO)
    return [p for p in parked if p.offset in set(offsets)]


def _where(service: str | None, event: str | None) -> str:
    from flowc_dsl.sqltext import literal

    wanted = [("service", service), ("event", event)]
    said = [f"{name} = {literal(value)}" for name, value in wanted if value is not None]
    return f" WHERE {' AND '.join(said)}" if said else ""


def _known_service(log: LiveLog | FileLog, service: str | None) -> None:
    """Ends with 1 for a service that has never parked anything: it is misspelt, or all is well."""
    if service is None:
        return
    from flowc_engine.config import did_you_mean

    sql = "SELECT DISTINCT service FROM _parked"
    known = [row["service"] for row in log.query(sql).table.to_pylist()]
    if service not in known:
        fail(f"{service} has never parked anything{did_you_mean(service, known)}", _NO)


def _through_a_broker(
    state: StateDir, chosen: list[Parked], *, retry: bool
) -> tuple[bool, dict[str, LetGo]]:
    """Whether a run was up, and what became of each service's."""
    from flowc_engine.state import StateHeldError, broker_endpoint
    from flowc_engine.supervisor.holding import sockets_of
    from flowc_engine.supervisor.launch import RunFiles
    from flowc_engine.supervisor.lone_broker import BrokerFailedError, lone_broker
    from flowc_engine.unparking import UnparkError, let_go

    by_service: dict[str, list[int]] = {}
    for one in chosen:
        by_service.setdefault(one.service, []).append(one.offset)

    def all_of(endpoint: str) -> dict[str, LetGo]:
        return {
            name: let_go(endpoint, name, offsets, retry=retry)
            for name, offsets in by_service.items()
        }

    try:
        try:
            handle = state.lock()
        except StateHeldError as held:
            sockets = state.sockets()
            if sockets is None:
                fail(f"{held}; try again", ExitCode.FAILURE)
            return True, all_of(broker_endpoint(sockets))
        with handle, sockets_of(state) as sockets:
            files = RunFiles(state.path.parent.parent, state, sockets)
            with lone_broker(files):
                return False, all_of(files.broker)
    except (UnparkError, BrokerFailedError) as error:
        fail(str(error), ExitCode.FAILURE)
    except OSError as error:
        fail(f"{state.path}: {error.strerror or error}", ExitCode.FAILURE)


def _tell(chosen: list[Parked], found: dict[str, LetGo], *, retry: bool, dry_run: bool) -> None:
    if not chosen:
        click.echo("nothing is parked", err=True)
        return
    what = "handled again" if retry else "dropped"
    if dry_run:
        for one in chosen[:_LISTED_DEFAULT]:
            click.echo(f"{one.offset}  {one.event}  {one.service}")
        click.echo(f"{counted(len(chosen), 'event')} would be {what}", err=True)
        return
    for name, went in found.items():
        verb = "is" if len(went.done) == 1 else "are"
        click.echo(f"{counted(len(went.done), 'event')} of {name} {verb} {what}")
        if went.later:
            click.echo(
                f"{len(went.later):,} wait: a service retries "
                f"{limits.DEFERRED_PER_SLOT_MAX:,} at once; say it again when it has", err=True
            )  # fmt: skip
        if went.gone:
            click.echo(f"{len(went.gone):,} were not parked any more", err=True)


def _first_line(error: str) -> str:
    lines = error.strip().splitlines()
    return lines[0] if lines else ""
