"""`flowc service FILE NAME --connect tcp://…`: one service, on another machine than the broker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from flowc_engine.cli.common import ExitCode, fail, shown_path
from flowc_engine.cli.endpoints import TcpEndpoint
from flowc_engine.cli.planned import Planned, plan_program

if TYPE_CHECKING:
    from flowc_dsl.plan import ServicePlan
    from flowc_engine.bus import wire
    from flowc_engine.bus.curve import Credentials
    from flowc_engine.state import ServiceDir


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("name", metavar="NAME")
@click.option(
    "--connect",
    "endpoint",
    type=TcpEndpoint(),
    required=True,
    metavar="tcp://HOST:PORT",
    help="Where `flowc broker` listens.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    help="The file that `flowc keys export` wrote.",
)
@click.option("--replica", type=click.IntRange(min=0), help="Which of them, from 0.")
@click.option(
    "--skip-unsupported", is_flag=True, help="As the broker was started with it, or without."
)
def command(
    file: Path,
    name: str,
    endpoint: str,
    key: Path,
    replica: int | None,
    skip_unsupported: bool,
) -> None:
    """Run the service NAME of FILE's system here, while its broker is on another machine.

    \b
    Examples:
      flowc service shop.flow Payments --connect tcp://10.0.0.5:5555 --key payments.key
      flowc service shop.flow Orders --replica 1 --connect tcp://10.0.0.5:5555 --key orders.key

    FILE and the service's code are here too, and say the same as on the broker's machine. The
    service's process is started again when it dies, and waits for a broker that is away: nothing is
    lost meanwhile. Its stores and what it writes are in .flow/SYSTEM/services here. Ctrl-C drains.

    Exit codes: 0 drained, 1 the program has errors, 2 usage, 3 the service can't go on (its code,
    its key, another version of the program), 130 stopped by the second Ctrl-C.
    """
    planned = plan_program(file, skip_unsupported=skip_unsupported)
    service = _service(planned, name)
    slot = _slot(service, replica)
    from flowc_engine.state import ServiceDir
    from flowc_engine.supervisor.holding import HeldError, hold

    state = ServiceDir(planned.root, planned.plan.system, name, slot)
    credentials = _credentials(planned, name, key)
    try:
        with hold(state):
            sys.exit(_run(planned, state, endpoint, key.resolve(), credentials))
    except HeldError as error:
        fail(str(error), ExitCode.FAILURE)
    except OSError as error:
        fail(f"{state.path}: {error.strerror or error}", ExitCode.FAILURE)


def _service(planned: Planned, name: str) -> ServicePlan:
    from flowc_engine.config import did_you_mean

    names = [service.name for service in planned.plan.services]
    if name not in names:
        fail(f"there is no service {name}{did_you_mean(name, names)}")
    return planned.plan.service(name)


def _slot(service: ServicePlan, replica: int | None) -> int:
    last = service.replicas_max - 1  # how many there are now, the broker says
    if replica is None and service.replicas > 1:
        fail(f"{service.name} has {last + 1} replicas: say which, with --replica 0 to {last}")
    if (replica or 0) > last:
        fail(f"{service.name} has the replicas 0 to {last}, and no {replica}")
    return replica or 0


def _credentials(planned: Planned, name: str, key: Path) -> Credentials:
    from flowc_engine.core.access import Principal
    from flowc_engine.keys import KeysError, read_key

    try:
        wanted = Principal("service", name)
        return read_key(key).credentials(planned.plan.system, wanted, key)
    except KeysError as error:
        fail(str(error), ExitCode.FAILURE)


def _run(
    planned: Planned, state: ServiceDir, endpoint: str, key: Path, credentials: Credentials
) -> int:
    from flowc_engine.bus import wire
    from flowc_engine.bus.asking import ask_schemas
    from flowc_engine.bus.client import Client
    from flowc_engine.files import write_atomically
    from flowc_engine.supervisor.children import Child, Kind
    from flowc_engine.supervisor.launch import Processes, RunFiles
    from flowc_engine.supervisor.lone_service import LoneService

    plan = planned.plan
    answer = ask_schemas(
        endpoint, plan.hash, credentials, lambda: False, lambda why: _say(f"{endpoint}: {why}")
    )
    if isinstance(answer, wire.Refused):
        _refused(planned, endpoint, answer)
    _say(f"connected to {endpoint}; {state.service} starts, and Ctrl-C drains it")
    write_atomically(state.plan_file, plan.to_json().encode())
    files = RunFiles(planned.root, state, state.path, remote=endpoint, key=key)
    child = Child(Kind.HOST, state.service, state.slot)
    with Client(endpoint, wire.SchemasRequest(plan.hash), credentials) as probe:
        code = LoneService(Processes(files, ()), child, probe, _say).run()
    if code == ExitCode.FAILURE:
        _say(f"what it wrote is in {shown_path(state.logs)}/")
    return code


def _refused(planned: Planned, endpoint: str, refused: wire.Refused) -> NoReturn:
    if refused.code != "plan":
        fail(f"{endpoint}: {refused.why}", ExitCode.FAILURE)
    fail(
        f"{endpoint}: {planned.plan.system} here is {refused.why}; bring one side up to date, so "
        "that both have the same .flow files",
        ExitCode.FAILURE,
    )


def _say(text: str) -> None:
    from flowc_engine.supervisor.plain import printable

    click.echo(printable(text), err=True)
