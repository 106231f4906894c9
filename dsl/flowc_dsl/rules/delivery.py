"""5xx: what a handler asks of delivery, and what its events' keys can give."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import FlowGraph, HandlerNode
from flowc_dsl.model import Event, Ref
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule


class Demand(Record):
    """A handler that needs the events of `trigger` keyed by `field`."""

    node: HandlerNode
    field: Ref
    trigger: Ref | None  # None: a timer has no event
    event: Event | None
    how: str

    @property
    def words(self) -> str:
        return f"handler `{self.node}` {self.how} `{self.field.name}`"


def _demands(graph: FlowGraph) -> Iterator[Demand]:
    events = graph.system.events
    for node, (_, handler) in graph.handlers.items():
        asked: dict[str, tuple[Ref, str]] = {}
        if handler.by is not None:
            asked[handler.by.name] = (handler.by, "joins by")
        if handler.ordered_by is not None:
            asked.setdefault(handler.ordered_by.name, (handler.ordered_by, "is ordered by"))
        for ref, how in asked.values():
            for trigger in {t.name: t for t in handler.triggers}.values():
                if trigger.name in events:
                    yield Demand(node, ref, trigger, events[trigger.name], how)
            if not handler.triggers:
                yield Demand(node, ref, None, None, how)


class OtherKey(Record):
    demand: Demand
    event: Event
    key: Ref

    def report(self) -> Report:
        demand, event = self.demand, self.event
        return Report(
            f"{demand.words}, but `{event.name}` has the key `{self.key.name}`",
            demand.field.span,
            f"not the key of `{event.name}`",
            (Label(self.key.span, f"`{event.name}` is in order by this alone"),),
            help=f"use `{self.key.name}`, or give `{event.name}` the key `{demand.field.name}`",
            subjects=(demand.node.service, event.name),
            witness=(event.name, str(demand.node)),
        )


@rule(
    "FLW501", "other-key", Level.ERROR, "`ordered by` or a join names a field that is not the key"
)
def other_key(graph: FlowGraph) -> Iterator[Finding]:
    for demand in _demands(graph):
        event = demand.event
        if event and event.key is not None and event.key.name != demand.field.name:
            yield OtherKey(demand, event, event.key)


class NoKey(Record):
    demand: Demand

    def report(self) -> Report:
        demand, event = self.demand, self.demand.event
        if event is None:
            return Report(
                f"{demand.words}, but a timer has no key",
                demand.field.span,
                "a timer has no events to order",
                help="remove it",
                subjects=(demand.node.service,),
            )
        return Report(
            f"{demand.words}, but `{event.name}` has no key",
            demand.field.span,
            "needs a key",
            (Label(event.span, f"declare it `key {demand.field.name}`"),),
            help=f"write `{event.kind} {event.name} key {demand.field.name}`",
            subjects=(demand.node.service, event.name),
            witness=(event.name, str(demand.node)),
        )


@rule("FLW509", "no-key", Level.ERROR, "`ordered by` or a join reads an event without a key")
def no_key(graph: FlowGraph) -> Iterator[Finding]:
    for demand in _demands(graph):
        if demand.event is None or demand.event.key is None:
            yield NoKey(demand)
