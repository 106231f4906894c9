"""206, 503, 506 and 507: what happens outside, and what becomes of events that fail."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, Node
from flowc_dsl.model import Expect, Handler, Service
from flowc_dsl.record import Record
from flowc_dsl.rules.ownership import strings
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.source import Span

_ADDRESS: Final = r"(?!file:)[A-Za-z][A-Za-z0-9+.-]*://"


class Unwatched(Record):
    service: Service
    handler: Handler
    node: HandlerNode

    def report(self) -> Report:
        service = self.service.name
        retry = self.handler.retry
        return Report(
            f"service `{service}` parks events of `{self.node}`, and nobody is named who watches",
            (retry.span if retry else None) or self.handler.span,
            "parked, and then?",
            help=f'name who drains them: `service {service} owner "…"`, or exempt it with how',
            subjects=(service, *(ref.name for ref in self.handler.triggers)),
            witness=(str(self.node), "parked"),
        )


@rule("FLW206", "parked-unwatched", Level.WARNING, "parked events nobody watches")
def parked_unwatched(graph: FlowGraph) -> Iterator[Finding]:
    """Where a handler says what it does with events that keep failing; one finding a service."""
    done: set[str] = set()
    for node, (service, handler) in graph.handlers.items():
        retry = handler.retry
        if retry is None or not (retry.says_then and retry.then == "park"):
            continue
        if handler.triggers and service.owner is None and service.name not in done:
            done.add(service.name)
            yield Unwatched(service, handler, node)


class NotIdempotent(Record):
    service: Service
    handler: Handler
    node: HandlerNode
    address: Span | None  # None: it says `replay skip`
    key: str | None

    def report(self) -> Report:
        said = "" if self.address else "says `replay skip`: "
        return Report(
            f"handler `{self.node}` acts outside, and is not `idempotent`",
            self.handler.span,
            f"{said}a crash before its ack makes it act twice",
            (Label(self.address, "an address outside"),) if self.address else (),
            help="make it so that twice is once, and say so: "
            f"`idempotent by {self.key or 'FIELD'}`",
            subjects=(self.service.name, *(ref.name for ref in self.handler.triggers)),
            witness=(str(self.node), "effect", "crash before ack", str(self.node), "effect again"),
        )


@rule("FLW503", "not-idempotent", Level.WARNING, "a handler acts outside, and is not idempotent")
def not_idempotent(graph: FlowGraph) -> Iterator[Finding]:
    """It acts outside if it says `replay skip`, or if its service is given an address."""
    for node, (service, handler) in graph.handlers.items():
        if handler.idempotent or handler.replay == "safe" or not handler.triggers:
            continue
        address = None if handler.replay == "skip" else address_outside(service)
        if handler.replay == "skip" or address is not None:
            key = _common_key(graph, handler)
            yield NotIdempotent(service, handler, node, address, key)


def _common_key(graph: FlowGraph, handler: Handler) -> str | None:
    """The key of all events that the handler takes, if it is one."""
    events = [graph.system.events.get(ref.name) for ref in handler.triggers]
    keys = {event.key.name if event and event.key else None for event in events}
    return keys.pop() if len(keys) == 1 else None


class ReplayUnsaid(Record):
    service: Service
    handler: Handler
    node: HandlerNode
    address: Span

    def report(self) -> Report:
        return Report(
            f"handler `{self.node}` acts outside, and does not say what a replay does",
            self.handler.span,
            "is called again when memory is rebuilt",
            (Label(self.address, "an address outside"),),
            help="say `replay skip`, or `replay safe` if acting again does no harm",
            subjects=(self.service.name, *(ref.name for ref in self.handler.triggers)),
            witness=("replay", str(self.node), "effect"),
        )


@rule("FLW507", "replay-unsaid", Level.WARNING, "an external effect without `replay skip|safe`")
def replay_unsaid(graph: FlowGraph) -> Iterator[Finding]:
    """A `stateless` service has no memory to rebuild, so nothing is replayed to it."""
    for node, (service, handler) in graph.handlers.items():
        if service.stateless or handler.replay is not None or not handler.triggers:
            continue
        address = address_outside(service)
        if address is not None:
            yield ReplayUnsaid(service, handler, node, address)


def address_outside(service: Service) -> Span | None:
    """Where a service that has code is given an address, as `https://…`; no file is one: it is
    declared to act outside."""
    if service.run is None or service.run.kind == "mock":
        return None
    if service.run.kind == "exec" and re.search(rf"(?<![\w+.-]){_ADDRESS}", service.run.target):
        return service.run.span
    for _, value, span in service.args:
        if any(re.match(_ADDRESS, text) for text in strings(value)):
            return span
    return None


class Lossy(Record):
    node: HandlerNode
    handler: Handler
    event: str
    how: str
    at: Span
    expect: Expect
    path: tuple[str, ...]

    def report(self) -> Report:
        return Report(
            f"expectation `{self.expect.name}` needs every `{self.event}`, and `{self.node}` "
            f"{self.how}",
            self.at,
            "may lose events",
            (Label(self.expect.span, "needs them"),),
            help="deliver all of them and park what fails, or drop the expectation",
            subjects=(self.node.service, self.event, self.expect.name),
            witness=self.path,
        )


@rule("FLW506", "lossy-needed", Level.WARNING, "lossy delivery of an event that an expect needs")
def lossy_needed(graph: FlowGraph) -> Iterator[Finding]:
    """A handler that may lose events, on a path by which `A leads to B` has to come true."""
    lossy = {node: how for node, (_, h) in graph.handlers.items() if (how := _how_lossy(h))}
    if not lossy:
        return
    found: set[HandlerNode] = set()
    for expect in graph.system.expects:
        if expect.form != "leads_to":
            continue
        starts = [EventNode(ref.name) for ref in expect.events]
        ends = [EventNode(ref.name) for ref in expect.targets]
        ahead = _closure(starts, graph, forward=True)
        behind = _closure(ends, graph, forward=False)
        for node, how in lossy.items():
            if node in ahead and node in behind and node not in found:
                found.add(node)
                yield _lossy(graph, node, how, expect)


def _lossy(graph: FlowGraph, node: HandlerNode, how: str, expect: Expect) -> Lossy:
    handler = graph.handlers[node][1]
    there = _first_path(graph, ((EventNode(ref.name), node) for ref in expect.events))
    on = _first_path(graph, ((node, EventNode(ref.name)) for ref in expect.targets))
    at = handler.retry.span if handler.retry and how.startswith("drops") else None
    path = tuple(str(step) for step in (*there, *on[1:]))
    return Lossy(node, handler, str(there[-2]), how, at or handler.span, expect, path)


def _first_path(graph: FlowGraph, pairs: Iterable[tuple[Node, Node]]) -> tuple[Node, ...]:
    return next(filter(None, (graph.shortest_path(start, end) for start, end in pairs)))


def _how_lossy(handler: Handler) -> str:
    if handler.retry is not None and handler.retry.then == "drop":
        return "drops what keeps failing"
    return "takes the latest alone" if handler.delivery == "latest" else ""


def _closure(start: Iterable[Node], graph: FlowGraph, *, forward: bool) -> set[Node]:
    neighbours = graph.successors if forward else graph.predecessors
    seen: set[Node] = set(start)
    queue = deque(seen)
    while queue:
        for node in neighbours.get(queue.popleft(), ()):
            if node not in seen:
                seen.add(node)
                queue.append(node)
    return seen
