"""307 and 603 to 605: services and events that do too much, or too little alone."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import FlowGraph, HandlerNode, handler_label
from flowc_dsl.model import Event, Handler, Service
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.traffic import exchanges
from flowc_dsl.rules.wording import counted, quoted


class Hub(Record):
    service: Service
    reads: tuple[str, ...]
    emits: tuple[str, ...]
    most: int

    def report(self) -> Report:
        name, total = self.service.name, len(self.reads) + len(self.emits)
        return Report(
            f"service `{name}` is a hub: it reads {counted(len(self.reads), 'type')} and emits "
            f"{counted(len(self.emits), 'type')}",
            self.service.span,
            f"{counted(total, 'type')} in all",
            notes=(f"over {self.most} is a hub",),
            help="let services react to each other's events, and split what is left",
            subjects=(name,),
            witness=(self.reads[0], name, self.emits[0]),
        )


@rule("FLW307", "hub", Level.INFO, "very many event types go through one service")
def hub(graph: FlowGraph) -> Iterator[Finding]:
    """Who only reads (an archive), or only emits (a gateway), is no hub."""
    most = graph.thresholds.hub_types
    for service in graph.system.services.values():
        read = _names(r.name for h in service.handlers for r in (*h.triggers, *h.unless))
        emitted = _names(ref.name for h in service.handlers for ref in h.output_refs())
        if read and emitted and len(read) + len(emitted) > most:
            yield Hub(service, read, emitted, most)


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


class SeveralJobs(Record):
    service: Service
    groups: tuple[tuple[Handler, ...], ...]

    def report(self) -> Report:
        one, other = (handler_label(group[0]) for group in self.groups[:2])
        name = self.service.name
        return Report(
            f"service `{name}` does {counted(len(self.groups), 'job')} that share nothing: "
            f"{quoted(handler_label(group[0]) for group in self.groups)}",
            self.groups[1][0].span,
            f"shares no store, key or event with `{one}`",
            (Label(self.groups[0][0].span, "another job"),),
            help=f"split `{name}` into {counted(len(self.groups), 'service')}",
            subjects=(name,),
            witness=(f"{name}.{one}", f"{name}.{other}"),
        )


@rule("FLW603", "several-jobs", Level.INFO, "the handlers of a service form disjoint groups")
def several_jobs(graph: FlowGraph) -> Iterator[Finding]:
    """Only of a `stateless` service: what others remember is shared by all of their handlers."""
    for service in graph.system.services.values():
        if not service.stateless or service.stores or service.store_refs:
            continue
        groups = _groups([(h, _ties(graph, h)) for h in service.handlers])
        if len(groups) > 1:
            yield SeveralJobs(service, groups)


def _ties(graph: FlowGraph, handler: Handler) -> set[Hashable]:
    """What ties a handler to others: the events it touches, and their keys."""
    ties: set[Hashable] = set()
    for ref in (*handler.triggers, *handler.unless, *handler.output_refs()):
        ties.add(("event", ref.name))
        event = graph.system.events.get(ref.name)
        if event is not None and event.key is not None:
            ties.add(("key", event.key.name))
    return ties


def _groups(items: list[tuple[Handler, set[Hashable]]]) -> tuple[tuple[Handler, ...], ...]:
    groups: list[tuple[list[Handler], set[Hashable]]] = []
    for handler, ties in items:
        joined = [group for group in groups if group[1] & ties]
        rest = [group for group in groups if not group[1] & ties]
        members = [h for group in joined for h in group[0]]
        groups = [*rest, ([*members, handler], ties.union(*(group[1] for group in joined)))]
    ordered = sorted(groups, key=lambda group: min(h.span.start for h in group[0]))
    return tuple(tuple(members) for members, _ in ordered)


class Chatty(Record):
    one: Service
    other: Service
    there: tuple[str, ...]
    back: tuple[str, ...]
    most: int

    def report(self) -> Report:
        one, other = self.one.name, self.other.name
        total = counted(len(self.there) + len(self.back), "type")
        return Report(
            f"services `{one}` and `{other}` exchange {total}, both ways",
            self.other.span,
            f"{len(self.back)} to `{one}`",
            (Label(self.one.span, f"{len(self.there)} to `{other}`"),),
            (f"over {self.most} is one job in two places",),
            help="merge them, or move what they ask of each other to where it is known",
            subjects=(one, other),
            witness=(one, self.there[0], other, self.back[0], one),
        )


@rule("FLW604", "chatty-pair", Level.INFO, "two services exchange many types both ways")
def chatty_pair(graph: FlowGraph) -> Iterator[Finding]:
    services, most = graph.system.services, graph.thresholds.exchange_types
    for (one, other), (there, back) in exchanges(graph).items():
        both_ways = len(there) > 1 and len(back) > 1
        if both_ways and len(there) + len(back) > most:
            yield Chatty(services[one], services[other], there, back, most)


class GodEvent(Record):
    event: Event
    groups: tuple[tuple[str, ...], ...]  # fields that are read together
    readers: tuple[HandlerNode, ...]  # one a group

    def report(self) -> Report:
        event = self.event
        return Report(
            f"event `{event.name}` is {counted(len(self.groups), 'event')} in one: its readers "
            "depend on different fields",
            event.span,
            f"{counted(len(event.fields), 'field')}, and nobody needs all of them",
            notes=tuple(
                f"`{node}` reads {quoted(fields)}"
                for node, fields in zip(self.readers, self.groups, strict=True)
            )[:3],
            help="split it by who needs what",
            subjects=(event.name, *dict.fromkeys(node.service for node in self.readers)),
            witness=(event.name, *(str(node) for node in self.readers[:2])),
        )


@rule("FLW605", "god-event", Level.INFO, "the readers of a large event depend on disjoint fields")
def god_event(graph: FlowGraph) -> Iterator[Finding]:
    """Only of events all of whose readers say what they `reads`, and that stay inside."""
    least = graph.thresholds.god_event_fields
    for event in graph.system.events.values():
        uses = graph.triggers.get(event.name, ())
        if event.exported or len(event.fields) < least or len(uses) < 2:
            continue
        key = event.key.name if event.key else None
        groups: list[tuple[set[str], HandlerNode]] = []
        for use in uses:
            fields = {ref.name for ref in use.handler.reads or ()} - {key}
            if not fields:
                groups = []
                break
            joined = [group for group in groups if group[0] & fields]
            first = joined[0][1] if joined else use.node
            groups = [group for group in groups if not group[0] & fields]
            groups.append((fields.union(*(group[0] for group in joined)), first))
        if len(groups) > 1:
            names = [field.name for field in event.fields]
            yield GodEvent(
                event,
                tuple(tuple(n for n in names if n in fields) for fields, _ in groups),
                tuple(node for _, node in groups),
            )
