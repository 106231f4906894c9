"""5xx: what a handler asks of delivery, and what its events' keys can give."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.diagnostics.diagnostic import Edit, Label, Level
from flowc_dsl.graph import FlowGraph, HandlerNode, once_a_graph
from flowc_dsl.model import Event, Handler, Ref, Retry, Service, Store
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.wording import duration
from flowc_dsl.source import Span


class Demand(Record):
    """A handler that needs the events of `trigger` keyed by `field`."""

    node: HandlerNode
    field: Ref
    trigger: Ref | None  # None: a timer has no event
    event: Event | None
    how: str
    only_key: bool = False  # whether all triggers have one key, by one name

    @property
    def words(self) -> str:
        return f"handler `{self.node}` {self.how} `{self.field.name}`"


@once_a_graph
def _demands(graph: FlowGraph) -> tuple[Demand, ...]:
    return tuple(_each_demand(graph))


def _each_demand(graph: FlowGraph) -> Iterator[Demand]:
    events = graph.system.events
    for node, (_, handler) in graph.handlers.items():
        asked: dict[str, tuple[Ref, str]] = {}
        if handler.by is not None:
            asked[handler.by.name] = (handler.by, "joins by")
        if handler.ordered_by is not None:
            asked.setdefault(handler.ordered_by.name, (handler.ordered_by, "is ordered by"))
        for ref, how in asked.values():
            known = [events[t.name] for t in handler.triggers if t.name in events]
            if not all(_has(event, ref.name) for event in known):
                continue
            keys = {_key_name(events.get(t.name)) for t in handler.triggers}
            only_key = len(keys) == 1 and None not in keys
            for trigger in {t.name: t for t in handler.triggers}.values():
                if trigger.name in events:
                    yield Demand(node, ref, trigger, events[trigger.name], how, only_key)
            if not handler.triggers:
                yield Demand(node, ref, None, None, how)


def _key_name(event: Event | None) -> str | None:
    """The key, if it is a field."""
    key = event.key.name if event is not None and event.key is not None else None
    return key if event is not None and key is not None and _has(event, key) else None


def _has(event: Event, name: str) -> bool:
    """A field that is not there is FLW404, and no second fault."""
    return name in [field.name for field in event.fields]


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
            edits=(Edit(demand.field.span, self.key.name, "safe"),) if demand.only_key else (),
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


class UnkeyedReplicas(Record):
    service: Service
    trigger: Ref
    event: Event
    node: HandlerNode

    def report(self) -> Report:
        service, event = self.service, self.event
        store = service.stores[0]
        return Report(
            f"service `{service.name}` has replicas and the store `{store.name}`, but "
            f"`{event.name}` has no key",
            self.trigger.span,
            "no key says which replica gets it",
            (
                Label(event.span, "declare it with a key"),
                Label(service.replicas_span or service.span, "more than one replica"),
            ),
            help=f"give `{event.name}` a key, or run `{service.name}` once",
            subjects=(service.name, event.name, store.name),
            witness=(event.name, str(self.node), store.name),
        )


@rule("FLW502", "unkeyed-replicas", Level.ERROR, "replicas over 1 with a store, and no key")
def unkeyed_replicas(graph: FlowGraph) -> Iterator[Finding]:
    """One finding a service, at its first trigger without a key."""
    done: set[str] = set()
    for node, (service, handler) in graph.handlers.items():
        if service.replicas_max <= 1 or not service.stores or service.name in done:
            continue
        for ref in handler.triggers:
            event = graph.system.events.get(ref.name)
            if event is not None and event.key is None:
                done.add(service.name)
                yield UnkeyedReplicas(service, ref, event, node)
                break


class OverBudget(Record):
    node: HandlerNode
    handler: Handler
    retry: Retry
    within_ms: int
    budget_ms: int

    def report(self) -> Report:
        within, budget = duration(self.within_ms), duration(self.budget_ms)
        return Report(
            f"the retries of `{self.node}` wait {budget} in all, and it has to be done within "
            f"{within}",
            self.retry.span or self.handler.span,
            f"waits {budget} in all",
            help=f"allow more than {budget}, or retry less or faster",
            subjects=(self.node.service, *(ref.name for ref in self.handler.triggers)),
            witness=(str(self.node),),
        )


@rule("FLW504", "retry-over-within", Level.WARNING, "the retries wait longer than `within` allows")
def retry_over_within(graph: FlowGraph) -> Iterator[Finding]:
    """The pauses double from the smaller backoff to the larger; the handler's time is not added."""
    for node, (_, handler) in graph.handlers.items():
        retry, within_ms = handler.retry, handler.within_ms
        if retry is None or within_ms is None:
            continue
        budget_ms = backoffs_ms(retry)
        if budget_ms > within_ms:
            yield OverBudget(node, handler, retry, within_ms, budget_ms)


def backoffs_ms(retry: Retry) -> int:
    """The sum of all pauses, in ms."""
    total, pause = 0, retry.backoff_min_ms
    for number in range(retry.attempts):
        if pause >= retry.backoff_max_ms or pause == 0:
            return total + min(pause, retry.backoff_max_ms) * (retry.attempts - number)
        total += pause
        pause *= 2
    return total


class ForgottenBeforeDeadline(Record):
    event: Event
    node: HandlerNode
    trigger: Ref
    deadline_ms: int

    def report(self) -> Report:
        event = self.event
        kept, due = duration(event.retain_ms or 0), duration(self.deadline_ms)
        return Report(
            f"{event.kind} `{event.name}` is kept for {kept}, and a deadline of it is due after "
            f"{due}",
            self.trigger.span,
            f"due after {due}",
            (Label(event.span, f"kept for {kept}"),),
            help=f"keep it for {due} at least, or shorten the deadline",
            subjects=(event.name, self.node.service),
            witness=(event.name, str(self.node)),
        )


@rule("FLW505", "retention-too-short", Level.WARNING, "an event is gone before its deadline is due")
def retention_too_short(graph: FlowGraph) -> Iterator[Finding]:
    for event in graph.system.events.values():
        if event.retain_ms is None:
            continue
        due = [u for u in graph.triggers.get(event.name, ()) if u.handler.kind == "after"]
        if not due:
            continue
        longest = max(due, key=lambda use: use.handler.period_ms or 0)
        if (longest.handler.period_ms or 0) > event.retain_ms:
            yield ForgottenBeforeDeadline(
                event, longest.node, longest.ref, longest.handler.period_ms or 0
            )


class SingleWriter(Record):
    service: Service
    store: Store

    def report(self) -> Report:
        service, store = self.service, self.store
        end = store.span.end
        return Report(
            f"service `{service.name}` has up to {service.replicas_max} replicas, and its store "
            f"`{store.name}` has one writer",
            store.span,
            f"`{store.engine}` is embedded: one process writes",
            (Label(service.replicas_span or service.span, "more than one replica"),),
            help=f"write `store {store.name} per partition`, or run `{service.name}` once",
            subjects=(service.name, store.name),
            witness=(service.name, store.name),
            edits=(Edit(Span(store.span.path, end, end), " per partition", "unsafe"),),
        )


@rule("FLW510", "single-writer", Level.ERROR, "replicas over 1 on an embedded single-writer store")
def single_writer(graph: FlowGraph) -> Iterator[Finding]:
    for service in graph.system.services.values():
        for store in service.stores if service.replicas_max > 1 else ():
            if not store.per_partition:  # every engine that can be named is embedded
                yield SingleWriter(service, store)
