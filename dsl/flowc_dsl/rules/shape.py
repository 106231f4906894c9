"""3xx: the shape of the graph."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, Node, Use
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.source import Span


class Cycle(Record):
    nodes: tuple[Node, ...]  # begins and ends with the same event
    emit: Use  # the output that goes on to the second event
    next_read: Use

    def report(self) -> Report:
        event = str(self.nodes[0])
        way = [str(node) for node in self.nodes if isinstance(node, EventNode)]
        through = f" by way of `{way[1]}`" if len(way) > 2 else ""
        return Report(
            f"event `{event}` leads back to itself{through}",
            self.emit.ref.span,
            "the cycle goes on here",
            (Label(self.next_read.ref.span, "and from here"),),
            help="break the cycle, or, where it is meant, say so: "
            f'`allow FLW301 on {event} because "…"`',
            subjects=tuple(n.service if isinstance(n, HandlerNode) else n.name for n in self.nodes),
            witness=tuple(str(node) for node in self.nodes),
        )


@rule("FLW301", "handler-cycle", Level.WARNING, "events lead back to themselves through handlers")
def handler_cycle(graph: FlowGraph) -> Iterator[Finding]:
    """One finding for each handler on a cycle that no finding before it shows."""
    for component in graph.cyclic_components():
        shown: set[Node] = set()
        for handler in graph.in_order(component):
            if not isinstance(handler, HandlerNode) or handler in shown:
                continue
            path = graph.shortest_path(handler, handler, component)
            shown |= set(path)
            yield _cycle(graph, path[:-1])


def _cycle(graph: FlowGraph, ring: tuple[Node, ...]) -> Cycle:
    """The ring from its first handler on, told from the event that triggers it."""
    nodes = (ring[-1], *ring)
    emit = next(use for use in graph.emits[str(nodes[2])] if use.node == nodes[1])
    reader = nodes[3] if len(nodes) > 3 else nodes[1]
    read = next(use for use in graph.triggers[str(nodes[2])] if use.node == reader)
    return Cycle(nodes, emit, read)


class SelfTrigger(Record):
    event: str
    handler: HandlerNode
    emit: Use
    trigger: Span

    def report(self) -> Report:
        service = self.handler.service
        return Report(
            f"service `{service}` answers every `{self.event}` with another `{self.event}`",
            self.emit.ref.span,
            "always emitted",
            (Label(self.trigger, "and triggers the same handler"),),
            help=f"emit another event, or make the output an alternative (`{self.event}?`)",
            subjects=(self.event, service),
            witness=(self.event, str(self.handler), self.event),
        )


@rule("FLW302", "self-trigger", Level.ERROR, "a handler always emits an event that triggers it")
def self_trigger(graph: FlowGraph) -> Iterator[Finding]:
    for node, (_, handler) in graph.handlers.items():
        if handler.kind == "join" or handler.unless:
            continue  # it waits for another event, or another event stops it
        spans = {ref.name: ref.span for ref in handler.triggers}
        for group in handler.outputs:
            always = all(output.many == "one" and output.chance in (None, 1) for output in group)
            if not always or not all(output.event.name in spans for output in group):
                continue
            name = group[0].event.name
            emit = next(u for u in graph.emits[name] if u.ref is group[0].event)
            yield SelfTrigger(name, node, emit, spans[name])
