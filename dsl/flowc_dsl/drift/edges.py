"""The declared edges, and which of them were seen.

An edge is a trigger, a service and what it emits: `OrderPlaced -> Stock -> StockReserved`. What a
service merely reads leaves no trace in the log, and is no edge here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from flowc_dsl.drift.observed import EdgeSeen, Observed
from flowc_dsl.graph import FlowGraph, HandlerNode
from flowc_dsl.model import Ref

Key = tuple[str | None, str, str]
"""Trigger (None: a timer), service, event."""


@dataclass(frozen=True, slots=True)
class DeclaredEdge:
    key: Key
    node: HandlerNode
    output: Ref
    optional: bool  # one of several, or `?`, `*`, `chance`, or of a deadline with `unless`
    seen: EdgeSeen | None
    triggers: int  # events of the trigger that are in the log; of a join, of its rarest one


@dataclass(frozen=True, slots=True)
class Coverage:
    """`declared` in the order of the text; `undeclared` by offset."""

    declared: tuple[DeclaredEdge, ...]
    undeclared: tuple[EdgeSeen, ...]

    @property
    def seen(self) -> int:
        """How many declared edges were seen."""
        return sum(edge.seen is not None for edge in self.declared)


def cover(graph: FlowGraph, observed: Observed) -> Coverage:
    """The edges of both sides, matched.

    What a join emits is caused by the last of its events: it was seen for all of them.
    """
    by_key = {(e.trigger, e.emitter, e.event): e for e in observed.edges}
    declared: dict[Key, DeclaredEdge] = {}
    for node, (service, handler) in graph.handlers.items():
        triggers: list[str | None] = [ref.name for ref in handler.triggers] or [None]
        stored = {name: observed.events.get(name, 0) if name else 0 for name in triggers}
        rarest = min(stored.values())
        for group in handler.outputs:
            for output in group:
                loose = len(group) > 1 or output.many != "one" or output.chance is not None
                loose = loose or bool(handler.unless)
                keys = [(trigger, service.name, output.event.name) for trigger in triggers]
                joined = _together([by_key[key] for key in keys if key in by_key])
                for key in keys:
                    join = handler.kind == "join"
                    seen = joined and replace(joined, trigger=key[0]) if join else by_key.get(key)
                    count = rarest if join else stored[key[0]]
                    edge = DeclaredEdge(key, node, output.event, loose, seen, count)
                    declared.setdefault(key, edge)
    external = {e.name for e in graph.system.events.values() if e.external}
    undeclared = [
        edge
        for key, edge in by_key.items()
        if key not in declared and not (edge.trigger is None and edge.event in external)
    ]
    undeclared.sort(key=lambda edge: edge.first_offset)
    return Coverage(tuple(declared.values()), tuple(undeclared))


def _together(edges: list[EdgeSeen]) -> EdgeSeen | None:
    """Several edges as one."""
    if not edges:
        return None
    return replace(
        edges[0],
        count=sum(e.count for e in edges),
        first_offset=min(e.first_offset for e in edges),
        last_offset=max(e.last_offset for e in edges),
        first_us=min(e.first_us for e in edges),
        last_us=max(e.last_us for e in edges),
    )
