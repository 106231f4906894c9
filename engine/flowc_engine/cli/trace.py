"""`flowc trace FILE OFFSET`: the causation tree of an event."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from flowc_engine.cli.asking import asked_log
from flowc_engine.cli.common import ExitCode, fail, look_for

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from flowc_dsl.diagnostics.width import Look
    from flowc_engine.log.trace import Node, Trace

_EVENTS_DEFAULT = 1_000


@click.command()
@click.argument("file", type=click.Path())
@click.argument("offset", type=click.IntRange(min=0))
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=_EVENTS_DEFAULT,
    show_default=True,
    help="Show at most so many events.",
)
def command(file: str, offset: int, limit: int, *, as_json: bool) -> None:
    """Show what led to the event at OFFSET, and all that came of it.

    \b
    Examples:
      flowc trace shop.flow 1042

    Each line is an event with its offset, its key, who emitted it, and how long after the first.
    """
    from flowc_engine.log.trace import NoSuchEventError, trace

    with asked_log(file) as (_, log):
        try:
            found = trace(log, offset, limit)
        except NoSuchEventError as error:
            fail(str(error), ExitCode.FINDINGS)
    if as_json:
        click.echo(json.dumps(_to_json(found), ensure_ascii=False))
    else:
        _print(found)


def _print(found: Trace) -> None:
    from rich.console import Console
    from rich.tree import Tree

    look = look_for(sys.stdout)
    tree = Tree(_label(found.root, found.offset, look))
    waiting: list[tuple[Tree, Node]] = [(tree, found.root)]
    while waiting:
        branch, node = waiting.pop()
        _add_parked(branch, node, look)
        waiting += [(branch.add(_label(e, found.offset, look)), e) for e in node.effects]
    Console(highlight=False, soft_wrap=True).print(tree)
    if found.cut:
        click.echo(f"the first {found.events} events; --limit shows more", err=True)


def _label(node: Node, asked: int, look: Look) -> Text:
    from rich.text import Text

    text = Text()
    text.append(node.event, style="bold reverse" if node.offset == asked else "bold")
    text.append(f" #{node.offset}", style="cyan")
    if node.offset == asked:
        text.append(" (asked for)", style="dim")
    if node.key is not None:
        text.append(f"  key {look.show(node.key)}")
    text.append(f"  from {look.show(node.source)}")
    text.append(f"  +{node.after_ms:.1f} ms", style="dim")
    return text


def _add_parked(branch: Tree, node: Node, look: Look) -> None:
    from rich.text import Text

    for parked in node.parked:
        name = f"{parked.service}.{parked.handler.removeprefix(parked.service + '.')}"
        what = f"parked by {name} after {parked.attempts} attempts"
        why = parked.error.strip().splitlines() or ["no text"]
        branch.add(Text(f"{what}: {look.show(why[0])}", style="red"))


def _to_json(found: Trace) -> dict[str, object]:
    """All events of the tree in offset order: deep chains would be too deep as nested JSON."""
    nodes = [found.root]
    for node in nodes:
        nodes += node.effects
    return {
        "format_version": "1.0",
        "offset": found.offset,
        "root": found.root.offset,
        "truncated": found.cut,
        "events": [_event(node) for node in sorted(nodes, key=lambda node: node.offset)],
    }


def _event(node: Node) -> dict[str, object]:
    from flowc_engine.log.shown import iso

    return {
        "offset": node.offset,
        "event": node.event,
        "key": node.key,
        "source": node.source,
        "time": iso(node.time),
        "after_ms": round(node.after_ms, 3),
        "cause": node.cause,
        "effects": [effect.offset for effect in node.effects],
        "parked": [asdict(parked) for parked in node.parked],
    }
