"""`flowc scale FILE SERVICE N`: another number of a service's replicas, while it runs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from flowc_dsl.rules.wording import counted
from flowc_engine.cli.asking import state_of
from flowc_engine.cli.common import ExitCode, fail, shown_path


@click.command()
@click.argument("file", type=click.Path())
@click.argument("service")
@click.argument("replicas", metavar="N", type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(file: str, service: str, replicas: int, *, as_json: bool) -> None:
    """Have SERVICE run with N replicas, of those that it declares (`replicas 1 to 4`).

    \b
    Examples:
      flowc scale shop.flow Payments 3

    A run has to be up. The service stops for a moment: its replicas end, and as many as are wanted
    start; one that keeps a memory sees its past again. Nothing is lost. Later the number follows
    the lag again, within what is declared; and the next run begins with the number that there is.

    Exit codes: 0 it has so many replicas, 2 usage, 3 no run is up, or it could not be done.
    """
    from flowc_engine.state import StateHeldError, broker_endpoint
    from flowc_engine.wishing import WishError, wish

    state, shown = state_of(file), shown_path(Path(file))
    none = f"no run of {state.system} is up; start one with `flowc run {shown}`"
    if not state.lock_file.exists():
        fail(none, ExitCode.FAILURE)
    try:
        state.lock().close()
        fail(none, ExitCode.FAILURE)
    except StateHeldError:
        sockets = state.sockets()
    if sockets is None:
        fail(none, ExitCode.FAILURE)
    try:
        done = wish(broker_endpoint(sockets), service, replicas)
    except WishError as error:
        fail(str(error), ExitCode.FAILURE)
    if as_json:
        value = {
            "format_version": "1.0", "service": service, "before": done.before,
            "replicas": replicas, "ready": done.ready,
        }  # fmt: skip
        click.echo(json.dumps(value))
        return
    change = "has" if done.before == replicas else f"had {done.before}, and has"
    click.echo(f"{service} {change} {counted(replicas, 'replica')} now")
    if not done.ready:
        click.echo("not all are ready yet: they see the service's past again", err=True)
