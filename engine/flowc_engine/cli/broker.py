"""`flowc broker FILE --listen tcp://…`: the log of a system whose services run elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from flowc_engine.cli.endpoints import listen_option
from flowc_engine.cli.planned import plan_program
from flowc_engine.cli.run import How, how_it_is_run, run_planned


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@listen_option(required=True)
@click.option("--fresh", is_flag=True, help="Start over: delete this system's journal and log.")
@how_it_is_run
def command(
    file: Path,
    listen: str,
    fresh: bool,
    skip_unsupported: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the broker and the log of FILE's system, and none of its services.

    \b
    Examples:
      flowc keys init shop.flow
      flowc broker shop.flow --listen tcp://10.0.0.5:5555
      flowc broker shop.flow --listen 'tcp://*:5555' --json

    Services come from other machines: `flowc service FILE NAME --connect …` there, with the key
    that `flowc keys export` wrote here. They may come and go; what they miss waits in the log.
    Sources come by the same port, with `flowc.Publisher`. To run some services here, and some
    elsewhere, take `flowc run --listen … --without NAME`.

    The first Ctrl-C drains: services finish what they hold. The second stops at once; that loses
    nothing either.

    Exit codes: 0 ended well, 1 the program has errors, 2 usage, 3 the broker or the log failed, the
    endpoint can't be had, or keys are missing, 130 stopped by the second Ctrl-C.
    """
    planned = plan_program(file, skip_unsupported=skip_unsupported)
    services = [service.name for service in planned.plan.services]
    how = How(sources=False, listen=listen, left_out=services)
    run_planned(planned, file, how, fresh=fresh, as_json=as_json, quiet=quiet)
