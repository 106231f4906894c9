"""`flowc run FILE`: every service as a process of its own, on a durable event log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from flowc_engine.cli.common import ExitCode, fail, look_for, shown_path
from flowc_engine.cli.endpoints import listen_option
from flowc_engine.cli.planned import Planned, plan_program

if TYPE_CHECKING:
    from flowc_engine.supervisor.driver import Screen
    from flowc_engine.supervisor.summary import RunSummary


def how_it_is_run(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `flowc run` and `flowc broker` share."""
    for option in (
        click.option(
            "-q", "--quiet", is_flag=True, help="Show only what goes wrong, and the summary."
        ),
        click.option(
            "--json", "as_json", is_flag=True, help="Write the summary as JSON to stdout."
        ),
        click.option(
            "--skip-unsupported",
            is_flag=True,
            help="Leave out the constructs that can't be run yet, instead of refusing to run.",
        ),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--until-idle",
    is_flag=True,
    help="End when every source is exhausted and everything is consumed.",
)
@click.option("--fresh", is_flag=True, help="Start over: delete this system's journal and log.")
@click.option("--no-sources", is_flag=True, help="Start no sources; events come by `flowc emit`.")
@listen_option(required=False)
@click.option(
    "--without",
    "left_out",
    multiple=True,
    metavar="SERVICE",
    help="Do not start SERVICE here: it comes from another machine, by `flowc service`.",
)
@how_it_is_run
def command(
    file: Path,
    until_idle: bool,
    fresh: bool,
    no_sources: bool,
    listen: str | None,
    left_out: tuple[str, ...],
    skip_unsupported: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the program whose main file is FILE.

    \b
    Examples:
      flowc run shop.flow
      flowc run shop.flow --until-idle --json
      flowc run shop.flow --listen tcp://10.0.0.5:5555 --without Payments

    Its state is kept in .flow/SYSTEM beside the project's flow.toml; another run goes on where this
    one stops. The first Ctrl-C drains: sources stop, services finish what they hold. The second
    stops at once; that loses nothing either. Sources are declared in flow.toml.

    Exit codes: 0 ended well, 1 the program has errors, 2 usage, 3 a service, a source, the broker
    or the log failed, 130 stopped by the second Ctrl-C.
    """
    planned = plan_program(file, skip_unsupported=skip_unsupported)
    _check_left_out(planned, left_out)
    how = How(until_idle=until_idle, sources=not no_sources, listen=listen, left_out=left_out)
    run_planned(planned, file, how, fresh=fresh, as_json=as_json, quiet=quiet)


@dataclass(frozen=True, slots=True)
class How:
    """What of a program is run here. `left_out`: services that come from other machines."""

    until_idle: bool = False
    sources: bool = True
    listen: str | None = None
    left_out: Sequence[str] = ()


def run_planned(
    planned: Planned, file: Path, how: How, *, fresh: bool, as_json: bool, quiet: bool
) -> NoReturn:
    """Run it, report, and end the process with the run's exit code."""
    for note in () if quiet else planned.notes:
        click.echo(note, err=True)
    if how.listen is not None:
        _check_keys(planned, file, how.listen)
    from flowc_engine.supervisor.compat import PlanChangedError
    from flowc_engine.supervisor.holding import HeldError, clear, hold

    try:
        with hold(planned.state):
            if fresh:
                clear(planned.state)
            summary = _run(planned, how, quiet=quiet)
    except (HeldError, PlanChangedError, ValueError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(ExitCode.FAILURE)
    except OSError as error:
        fail(f"{planned.state.path}: {error.strerror or error}", ExitCode.FAILURE)
    _report(summary, planned, file, as_json=as_json)
    sys.exit(summary.exit_code)


def _check_left_out(planned: Planned, left_out: Sequence[str]) -> None:
    from flowc_engine.config import did_you_mean

    names = [service.name for service in planned.plan.services]
    for name in left_out:
        if name not in names:
            fail(f"--without {name}: there is no service {name}{did_you_mean(name, names)}")


def _check_keys(planned: Planned, file: Path, listen: str) -> None:
    """There have to be keys before anything listens."""
    from flowc_engine.keys import KeyRing, KeysError

    try:
        KeyRing(planned.state.keys, planned.plan.system).entries()
    except KeysError as error:
        fail(f"{listen}: {str(error).replace('FILE', shown_path(file))}", ExitCode.FAILURE)
    if listen.startswith(("tcp://*:", "tcp://0.0.0.0:", "tcp://[::]:")):
        click.echo(f"note: {listen} is every address that this machine has", err=True)


def _run(planned: Planned, how: How, *, quiet: bool) -> RunSummary:
    from flowc_engine.supervisor.children import Child, Kind
    from flowc_engine.supervisor.compat import adopt_plan
    from flowc_engine.supervisor.core import RunCore
    from flowc_engine.supervisor.driver import RunDriver
    from flowc_engine.supervisor.holding import sockets_of
    from flowc_engine.supervisor.launch import Processes, RunFiles
    from flowc_engine.supervisor.scaling import scalers_of
    from flowc_engine.supervisor.summary import summarise

    plan, state = planned.plan, planned.state
    adopt_plan(state, plan)
    sources = planned.config.sources if how.sources else ()
    hosts = [Child(Kind.HOST, s.name, i) for s in plan.services for i in range(s.replicas)]
    core = RunCore(
        [host for host in hosts if host.name not in how.left_out],
        [Child(Kind.SOURCE, s.name) for s in sources],
        until_idle=how.until_idle,
        elsewhere=[host for host in hosts if host.name in how.left_out],
        scalers=[one for one in scalers_of(plan) if one.bounds.service not in how.left_out],
    )
    with sockets_of(state) as sockets:
        files = RunFiles(planned.root, state, sockets, listen=how.listen)
        processes = Processes(files, sources)
        driver = RunDriver(core, processes, files.broker, _screen(plan.system, quiet=quiet))
        code = driver.run()
    return summarise(plan.system, core, driver.tally, code, driver.uptime_ms)


def _screen(system: str, *, quiet: bool) -> Screen:
    if sys.stderr.isatty() and look_for(sys.stderr).color and not quiet:
        from flowc_engine.supervisor.live import LiveScreen

        return LiveScreen(system)
    from flowc_engine.supervisor.plain import PlainScreen

    return PlainScreen(quiet=quiet)


def _report(summary: RunSummary, planned: Planned, file: Path, *, as_json: bool) -> None:
    from flowc_engine.supervisor.plain import printable
    from flowc_engine.supervisor.summary import write_summary

    if as_json:
        click.echo(summary.to_json())
    else:
        write_summary(summary, sys.stdout, color=look_for(sys.stdout).color)
    for failure in summary.failures:
        click.echo(printable(f"error: {failure}"), err=True)
    if summary.failures:
        click.echo(f"what they wrote is in {shown_path(planned.state.logs)}/", err=True)
    if not as_json and summary.offset:
        shown = shown_path(file)
        if parked := sum(service.parked for service in summary.services):
            click.echo(f"{parked:,} parked: `flowc parked list {shown}` says why")
        click.echo(f"next: `flowc log {shown}` shows the events, `flowc trace {shown} OFFSET`")
