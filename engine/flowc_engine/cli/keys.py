"""`flowc keys init|list|show|add|revoke|rotate|export`: who may come over TCP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from flowc_engine.cli.asking import state_of
from flowc_engine.cli.common import ExitCode, fail, shown_path

if TYPE_CHECKING:
    from flowc_engine.cli.planned import Planned
    from flowc_engine.core.access import Principal
    from flowc_engine.keys import Entry, KeyRing
    from flowc_engine.state import StateDir

FORMAT_VERSION: Final = "1.0"
_BROKER: Final = "broker"
_FINGERPRINT_CHARS: Final = 12


@click.group()
def command() -> None:
    """Make and withdraw the keys of those that come over TCP.

    \b
    Examples:
      flowc keys init shop.flow
      flowc keys list shop.flow
      flowc keys export shop.flow Payments -o payments.key
      flowc keys revoke shop.flow Payments

    A key is good for one service, or one source, and lets its owner do what the program declares
    for it, and nothing else. Keys are kept in .flow/SYSTEM/keys; secrets are never shown. A broker
    that is up follows every change within a second.
    """


def _file_and_name(function: Callable[..., Any]) -> Callable[..., Any]:
    for argument in (
        click.argument("name", metavar="NAME"),
        click.argument("file", metavar="FILE", type=click.Path()),
    ):
        function = argument(function)
    return function


@command.command("init")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def init(file: Path) -> None:
    """Make the keys of the broker, of every service, and of every source in flow.toml.

    \b
    Example:
      flowc keys init shop.flow

    What there is stays as it is: after a change of the program, only new services get a key.
    """
    planned = _planned(file)
    with _faults():
        ring = _ring(planned.state)
        planned.state.create()
        made = ring.init(_declared(planned))
    for who in made:
        click.echo(f"made a key for {who}")
    if not made:
        click.echo("every service and source has had a key; nothing was made")
    click.echo(
        f"next: `flowc keys export {shown_path(file)} NAME` writes what another machine needs",
        err=True,
    )


@command.command("list")
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_keys(file: str, *, as_json: bool) -> None:
    """List who has a key, and who had one.

    \b
    Example:
      flowc keys list shop.flow
    """
    with _faults():
        ring = _ring(state_of(file))
        entries, broker = ring.entries(), ring.broker().public
    if as_json:
        keys = [_as_json(entry) for entry in entries]
        head = {"format_version": FORMAT_VERSION, "system": ring.system, "broker": broker}
        click.echo(json.dumps({**head, "keys": keys}, indent=2))
        return
    width = max((len(e.name) for e in entries), default=0)
    click.echo(f"broker   {'':{width}}  {broker[:_FINGERPRINT_CHARS]}")
    for entry in entries:
        state = f"revoked {entry.revoked}" if entry.revoked else f"since {entry.added}"
        public = entry.public[:_FINGERPRINT_CHARS]
        click.echo(f"{entry.role:8} {entry.name:{width}}  {public}  {state}")


@command.command("show")
@_file_and_name
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def show(file: str, name: str, *, as_json: bool) -> None:
    """Show a key, and what it lets its owner do.

    \b
    Example:
      flowc keys show shop.flow Payments
    """
    planned = _planned(Path(file))
    with _faults():
        ring = _ring(planned.state)
        who = _named(ring, name, _declared(planned))
        entry = next((e for e in ring.entries() if e.principal == who), None)
    if entry is None:
        fail(f"{who} has no key; `flowc keys add {shown_path(Path(file))} {name}` makes one")
    may = _may(planned, who)
    if as_json:
        found = {"format_version": FORMAT_VERSION, **_as_json(entry), **may}
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"{who}, key {entry.public}")
    click.echo(f"  revoked {entry.revoked}" if entry.revoked else f"  let in since {entry.added}")
    for verb, events in may.items():
        click.echo(f"  {verb} {', '.join(events) or 'nothing'}")


@command.command("add")
@_file_and_name
def add(file: str, name: str) -> None:
    """Make a key for a service or source that has none, or whose key was revoked.

    \b
    Example:
      flowc keys add shop.flow Payments
    """
    planned = _planned(Path(file))
    with _faults():
        ring = _ring(planned.state)
        who = _named(ring, name, _declared(planned))
        ring.add(who)
    click.echo(f"{who} has a key; `flowc keys export {shown_path(Path(file))} {name}` writes it")


@command.command("revoke")
@_file_and_name
def revoke(file: str, name: str) -> None:
    """Let a key in no more, also on the connections that it has now.

    \b
    Example:
      flowc keys revoke shop.flow Payments
    """
    with _faults():
        ring = _ring(state_of(file))
        who = _named(ring, name)
        ring.revoke(who)
    click.echo(f"the key of {who} is revoked; a broker that is up has dropped it within a second")


@command.command("rotate")
@_file_and_name
def rotate(file: str, name: str) -> None:
    """Replace a key; the old one is let in no more. NAME may be `broker`.

    \b
    Example:
      flowc keys rotate shop.flow Payments
    """
    with _faults():
        ring = _ring(state_of(file))
        if name == _BROKER:
            ring.rotate_broker()
            click.echo(
                "the broker has another key: restart it, and export every key again "
                "(who has an old file can't tell it from a stranger)"
            )
            return
        who = _named(ring, name)
        ring.rotate(who)
    shown = shown_path(Path(file))
    click.echo(f"{who} has another key; `flowc keys export {shown} {name}` writes it")


@command.command("export")
@_file_and_name
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file, NAME.key if not.")
def export(file: str, name: str, output: Path | None) -> None:
    """Write what another machine needs to be NAME: its key, and the broker's public one.

    \b
    Example:
      flowc keys export shop.flow Payments -o payments.key

    The file is a secret: move it there over a safe way, such as scp, with mode 0600.
    """
    out = output or Path(f"{name.rpartition(':')[2]}.key")
    with _faults():
        ring = _ring(state_of(file))
        who = _named(ring, name)
        ring.export(who, out)
    click.echo(f"{shown_path(out)}: the key of {who}; keep it secret")


# ---- inside


@contextmanager
def _faults() -> Iterator[None]:
    from flowc_engine.bus.curve import CurveError
    from flowc_engine.keys import KeysError

    try:
        yield
    except (KeysError, CurveError) as error:
        fail(str(error), ExitCode.FAILURE)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", ExitCode.FAILURE)


def _ring(state: StateDir) -> KeyRing:
    from flowc_engine.keys import KeyRing

    return KeyRing(state.keys, state.system)


def _planned(file: Path) -> Planned:
    from flowc_engine.cli.planned import plan_program

    return plan_program(file, skip_unsupported=True)


def _declared(planned: Planned) -> list[Principal]:
    from flowc_engine.core.access import Principal

    services = [Principal("service", s.name) for s in planned.plan.services]
    return services + [Principal("source", s.name) for s in planned.config.sources]


def _named(ring: KeyRing, name: str, declared: list[Principal] | None = None) -> Principal:
    """The party of this name, of those that are declared, or that have a key. `source:NAME` is the
    source where a service has the same name."""
    from flowc_engine.config import did_you_mean

    role, _, plain = name.rpartition(":")
    known = declared or [entry.principal for entry in ring.entries()]
    found = [who for who in known if who.name == plain and role in ("", who.role)]
    if len(found) > 1:
        fail(f"there are a service and a source {plain}: say `service:{plain}` or `source:{plain}`")
    if not found:
        what = "service or source" if declared else "key of a service or source"
        fail(f"there is no {what} {plain}{did_you_mean(plain, {who.name for who in known})}")
    return found[0]


def _may(planned: Planned, who: Principal) -> dict[str, list[str]]:
    """What the declaration lets it do."""
    if who.role == "service":
        service = planned.plan.service(who.name)
        return {"emits": sorted(service.emits), "reads": sorted(service.subscribes)}
    return {"emits": sorted(e.name for e in planned.plan.events if e.external), "reads": []}


def _as_json(entry: Entry) -> dict[str, str]:
    return {
        "role": entry.role,
        "name": entry.name,
        "public": entry.public,
        "added": entry.added,
        "revoked": entry.revoked,
    }
