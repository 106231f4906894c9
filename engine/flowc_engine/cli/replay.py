"""`flowc replay FILE SERVICE`: a service's code of today over its recorded inputs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from flowc_dsl.python_names import handler_name
from flowc_dsl.rules.wording import counted
from flowc_engine.cli.common import ExitCode, fail, shown_path
from flowc_engine.cli.planned import Planned, plan_program

if TYPE_CHECKING:
    from flowc_dsl.plan import ServicePlan
    from flowc_engine.replaying.compare import Comparison
    from flowc_engine.replaying.drive import Outcome, Replaying
    from flowc_engine.replaying.fork import Fork
    from flowc_engine.replaying.original import Original

_LIMIT_DEFAULT: Final = 20
_offset = click.IntRange(min=0)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("service")
@click.option("--from", "begin", type=_offset, metavar="OFFSET", help="The first input.  [0]")
@click.option("--to", "end", type=_offset, metavar="OFFSET", help="Up to, without it.  [the end]")
@click.option("--at", type=_offset, metavar="OFFSET", help="This one input alone.")
@click.option(
    "--diff", is_flag=True, help="Compare with what was emitted then; 1 if anything differs."
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=_LIMIT_DEFAULT,
    show_default=True,
    help="Show at most so many inputs that differ.",
)
@click.option(
    "--into", type=click.Path(path_type=Path), help="A folder for the fork, which is made."
)
@click.option("--effects", is_flag=True, help="Let handlers act outside, though none says so.")
@click.option("--skip-unsupported", is_flag=True, help="As of `flowc run`.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(file: Path, service: str, skip_unsupported: bool, **options: Any) -> None:
    """Run SERVICE's code of today over the events that FILE's log has for it.

    \b
    Examples:
      flowc replay shop.flow Payments --diff
      flowc replay shop.flow Payments --from 120000 --to 180000 --diff --json
      flowc replay shop.flow Payments --at 1234
      flowc log shop.flow --fork Payments-0-180000-1 "SELECT count(*) FROM PaymentTaken"

    The log stays as it is: what is emitted goes into a fork of it, a folder of its own. Memory is
    built first, from the events before --from; what is emitted meanwhile is dropped. Handlers are
    called with `replaying` set in their context, and those that say `replay skip` are not called.
    A handler that raises is tried as often as it is declared, without pauses. A run may be up.

    --at shows one event and what comes of it, and leaves no fork. On a terminal the code has it:
    `breakpoint()` stops there.

    Exit codes: 0 replayed (with --diff: all is the same), 1 something differs, or the program has
    errors, 2 usage, 3 the service's process failed.
    """
    planned = plan_program(file, skip_unsupported=skip_unsupported)
    with _explained(file):
        _replay(planned, file, service, **options)


def _replay(
    planned: Planned,
    file: Path,
    service: str,
    *,
    begin: int | None,
    end: int | None,
    at: int | None,
    diff: bool,
    limit: int,
    into: Path | None,
    effects: bool,
    as_json: bool,
) -> None:
    from flowc_engine.cli.replayed import Replayed, show_input
    from flowc_engine.replaying.original import event_at

    if at is not None and (begin is not None or end is not None):
        fail("--at is one input: leave --from and --to out")
    if at is not None:
        begin, end = at, at + 1
    what = _what(planned, service, begin, end, effects=effects)
    event = None if at is None else event_at(what.original, at)
    if event is not None:
        _has_to_handle(what.service, event.event, at)
        what = replace(what, terminal=not as_json and sys.stdin.isatty() and sys.stdout.isatty())
    kept = event is None or into is not None
    with _new_fork(planned, what, into, kept=kept) as fork:
        outcome = _filled(fork, what)
        compared = _compared(fork, what, limit) if diff or event is not None else None
        folder = fork.folder if kept else None
        done = Replayed(planned.plan.system, what.service, what.span, folder, outcome, compared)
        document = json.dumps(done.document(), ensure_ascii=False)
        fork.report_file.write_text(f"{document}\n", encoding="utf-8")
        if event is not None:
            show_input(fork, done, event, planned.plan, as_json=as_json)
    if event is None and as_json:
        click.echo(document)
    elif event is None:
        done.show(shown_path(file))
    differs = diff and compared is not None and compared.differing > 0
    sys.exit(ExitCode.FINDINGS if differs else ExitCode.CLEAN)


def _what(
    planned: Planned, name: str, begin: int | None, end: int | None, *, effects: bool
) -> Replaying:
    """What is to be replayed, without anything being done."""
    from flowc_engine.journal.recovery import state_at
    from flowc_engine.replaying.drive import Replaying
    from flowc_engine.replaying.original import find_original, share_of

    service = _service(planned, name)
    _mind_effects(planned, service, effects=effects)
    original = find_original(planned.state, planned.plan)
    span = _span(original, service, begin, end)
    share = share_of(state_at(original.journal, original.end), service)
    return Replaying(planned.root, original, service, share, span)


def _has_to_handle(service: ServicePlan, event: str, at: int | None) -> None:
    triggers = sorted({trigger for h in service.handlers for trigger in h.triggers})
    if event not in triggers:
        fail(
            f"event {at} is a {event}, which {service.name} does not handle; it handles "
            f"{', '.join(triggers)}"
        )


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """What goes wrong ends the process with a message."""
    import duckdb

    from flowc_engine.journal.reader import JournalRotError
    from flowc_engine.replaying.drive import ReplayFailedError
    from flowc_engine.replaying.original import NoOriginalError, OriginalError

    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads our output has seen enough: click ends quietly
    except NoOriginalError as error:
        fail(f"{error}; start it with `flowc run {shown_path(file)}`")
    except (ReplayFailedError, OriginalError) as error:  # they may have lines
        click.echo(f"error: {error}", err=True)
        sys.exit(ExitCode.FAILURE)
    except JournalRotError as error:
        fail(f"the journal is damaged: {error}", ExitCode.FAILURE)
    except (duckdb.Error, OSError) as error:
        fail(f"the fork can't be made: {error}", ExitCode.FAILURE)


def _service(planned: Planned, name: str) -> ServicePlan:
    from flowc_engine.config import did_you_mean

    try:
        return planned.plan.service(name)
    except KeyError:
        known = [service.name for service in planned.plan.services]
        fail(f"{planned.plan.system} has no service {name}{did_you_mean(name, known)}")


def _mind_effects(planned: Planned, service: ServicePlan, *, effects: bool) -> None:
    """Say which handlers may act outside; refuse if the service is declared to."""
    unsaid = [h for h in service.handlers if not h.replay]
    if service.run == "mock" or not unsaid or effects:
        return
    functions = [h.name or handler_name(t) for h in unsaid for t in h.triggers]
    named = ", ".join(f"`{service.name}.{name}`" for name in dict.fromkeys(functions))
    does = "does" if len(functions) == 1 else "do"
    said = f"{named} {does} not say what a replay does (`replay skip`, `replay safe`)"
    if service.name in planned.outside:
        fail(
            f"{service.name} acts outside, and {said}; say it, or add --effects to have it all "
            "happen again"
        )
    click.echo(f"note: {said}: called with `replaying` set, as when memory is rebuilt", err=True)


def _span(
    original: Original, service: ServicePlan, begin: int | None, end: int | None
) -> tuple[int, int]:
    last = original.end.offset
    begin, end = original.begin if begin is None else begin, last if end is None else end
    if begin >= last or end > last or begin >= end:
        fail(f"from {begin:,} to {end:,}: the log has {counted(last, 'event')}, from 0 on")
    remembers = not service.stateless or service.waits or service.stores
    if original.begin and (remembers or begin < original.begin):
        fail(
            f"the journal begins with event {original.begin:,}: what {service.name} read before it "
            "is gone"
        )
    return begin, end


@contextmanager
def _new_fork(
    planned: Planned, what: Replaying, into: Path | None, *, kept: bool
) -> Iterator[Fork]:
    """A folder that is there as a whole, or not at all; afterwards only if it is `kept`."""
    from flowc_engine.replaying.fork import Fork, make_fork

    if into is None:
        begin, end = what.span
        fork = make_fork(planned.state.replays, f"{what.service.name}-{begin}-{end}")
    else:
        try:
            into.mkdir(parents=True, mode=0o700)
        except FileExistsError:
            fail(f"{into} is there already; name a folder that is not")
        fork = Fork(into)
    whole, before = False, os.umask(0o077)  # DuckDB makes its files for all to read
    try:
        yield fork
        whole = True
    finally:
        os.umask(before)
        if not (whole and kept):
            shutil.rmtree(fork.folder, ignore_errors=True)


def _filled(fork: Fork, what: Replaying) -> Outcome:
    import signal

    from flowc_engine.cli.watching import progress_line
    from flowc_engine.replaying.drive import replay_into

    if what.terminal:  # Ctrl-C is the debugger's
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return replay_into(fork, what, lambda _what, _through: None)
        finally:
            signal.signal(signal.SIGINT, before)
    end = what.span[1]
    with progress_line() as show:
        return replay_into(fork, what, lambda how, at: show(f"{how}: {at:,} of {end:,}"))


def _compared(fork: Fork, what: Replaying, limit: int) -> Comparison:
    from flowc_engine.replaying.compare import compare
    from flowc_engine.replaying.fork import open_fork

    with open_fork(fork) as log:
        return compare(log, what.original.history.plan, what.service, what.share, limit)
