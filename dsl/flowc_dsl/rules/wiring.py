"""2xx: what is emitted is read, what is read is emitted, and everything can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeGuard

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, Node, Use, once_a_graph
from flowc_dsl.lower.work import BUILT_IN
from flowc_dsl.model import Event, Expect, Field, Ref, Service, System, TypeRef
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.wording import meant, quoted
from flowc_dsl.source import Span


class Unread(Record):
    event: Event
    emit: Use | None  # None: it comes from outside

    def report(self) -> Report:
        event, emit = self.event, self.emit
        by = f"emitted by `{emit.service.name}`" if emit else "external"
        out = ", declare it `exported` if it is read outside," if emit else ""
        return Report(
            f"{event.kind} `{event.name}` is {by}, and nobody reads it",
            event.span,
            "nobody reads it",
            (Label(emit.ref.span, f"emitted here, by `{emit.service.name}`"),) if emit else (),
            help=f"read it in a service{out} or remove it",
            subjects=(event.name, *((emit.service.name,) if emit else ())),
            witness=(str(emit.node), event.name) if emit else (event.name,),
        )


@rule("FLW201", "unread-event", Level.WARNING, "an event is emitted, nobody reads it, not exported")
def unread_event(graph: FlowGraph) -> Iterator[Finding]:
    for event in graph.system.events.values():
        if event.kind == "command" and not graph.triggers.get(event.name):
            continue  # FLW107, or handled outside
        emits = graph.emits.get(event.name, ())
        if (emits or event.external) and not is_read(graph, event):
            yield Unread(event, emits[0] if emits else None)


class Unemitted(Record):
    event: Event
    read: Use | None  # None: it is exported

    def report(self) -> Report:
        event, read = self.event, self.read
        if event.kind == "command":
            by, verb = "handled", "sends"
        else:
            by, verb = "read", "emits"
        reader = f"{by} by `{read.service.name}`" if read else "exported"
        return Report(
            f"{event.kind} `{event.name}` is {reader}, and nobody {verb} it",
            event.span,
            f"nobody {verb} it",
            (Label(read.ref.span, f"{by} here, by `{read.service.name}`"),) if read else (),
            help=f"let a service {verb[:-1]} it, or declare it `external` if it comes from outside",
            subjects=(event.name, *((read.service.name,) if read else ())),
            witness=(event.name, str(read.node)) if read else (event.name,),
        )


@rule("FLW202", "unemitted-event", Level.ERROR, "an event is read, nobody emits it, not external")
def unemitted_event(graph: FlowGraph) -> Iterator[Finding]:
    for event in graph.system.events.values():
        reads = (*graph.triggers.get(event.name, ()), *graph.watches.get(event.name, ()))
        if (reads or event.exported) and not is_emitted(graph, event):
            yield Unemitted(event, reads[0] if reads else None)


class Unused(Record):
    kind: str
    name: str
    span: Span

    def report(self) -> Report:
        return Report(
            f"{self.kind} `{self.name}` is never used",
            self.span,
            "declared here, and used nowhere",
            help="use it, or remove it",
            subjects=(self.name,),
        )


@rule("FLW203", "unused-declaration", Level.WARNING, "a declaration is used nowhere")
def unused_declaration(graph: FlowGraph) -> Iterator[Finding]:
    system = graph.system
    missed = {ref.name for expect in system.expects for ref in never_emitted(graph, expect)}
    for event in system.events.values():
        used = is_read(graph, event) or is_emitted(graph, event)
        if event.kind == "event" and not used and event.name not in missed:  # missed: FLW904
            yield Unused("event", event.name, event.span)
    needed = _used_types(system)
    for struct in system.types.values():
        if struct.name not in needed:
            yield Unused("type", struct.name, struct.span)
    for enum in system.enums.values():
        if enum.name not in needed:
            yield Unused("enum", enum.name, enum.span)
    uses = {ref.name for service in system.services.values() for ref in service.uses}
    libraries = uses | meant(uses, system.libraries)
    for library in system.libraries.values():
        if library.name not in libraries:
            yield Unused("library", library.name, library.span)


def is_read(graph: FlowGraph, event: Event) -> bool:
    return event.exported or bool(graph.readers(event.name)) or event.name in graph.misread


def is_emitted(graph: FlowGraph, event: Event) -> bool:
    return event.external or bool(graph.emits.get(event.name)) or event.name in graph.misemitted


def never_emitted(graph: FlowGraph, expect: Expect) -> tuple[Ref, ...]:
    """What an expectation waits for and nobody emits; of alternatives on the right, only if all
    of them are such."""

    def lost(ref: Ref) -> bool:
        event = graph.system.events.get(ref.name)
        return event is not None and not is_emitted(graph, event)

    subjects = tuple(filter(lost, expect.events))
    targets = tuple(filter(lost, expect.targets))
    whole = len(targets) == len(expect.targets) or expect.form == "never_with"
    return (*subjects, *(targets if whole else ()))


def _used_types(system: System) -> set[str]:
    """Types and enums that an event needs, and what only unused types need: the fault is theirs."""
    needs = {struct.name: _type_names(struct.fields) for struct in system.types.values()}
    used: set[str] = set()
    names = _type_names(field for event in system.events.values() for field in event.fields)
    _add_all(names | meant(names - BUILT_IN, needs.keys() | system.enums.keys()), needs, used)
    for name, own in needs.items():  # a first unused type stands for all that hang on it
        others = [other for other in needs if other != name and name in needs[other]]
        if name not in used and not others:
            _add_all(own - {name}, needs, used)
    for name, own in needs.items():  # what is left hangs on a ring of types that need each other
        if name not in used:
            _add_all(own - {name}, needs, used, spare=name)
    return used


def _add_all(
    names: set[str], needs: Mapping[str, set[str]], used: set[str], spare: str | None = None
) -> None:
    pending = sorted(names)
    while pending:
        name = pending.pop()
        if name not in used and name != spare:
            used.add(name)
            pending += sorted(needs.get(name, ()))


def _type_names(fields: Iterable[Field]) -> set[str]:
    names: set[str] = set()
    pending: list[TypeRef] = [found.type for found in fields]
    while pending:
        ref = pending.pop()
        names.add(ref.name)
        if ref.args:
            pending += ref.args
    return names


class NoTrigger(Record):
    service: Service

    def report(self) -> Report:
        return Report(
            f"service `{self.service.name}` has no trigger",
            self.service.span,
            "nothing ever calls it",
            help="add an `on EVENT`, `every` or `after` handler, or remove the service",
            subjects=(self.service.name,),
        )


@rule("FLW204", "no-trigger", Level.WARNING, "a service has no handler, so nothing ever calls it")
def no_trigger(graph: FlowGraph) -> Iterator[Finding]:
    for service in graph.system.services.values():
        if not service.handlers:
            yield NoTrigger(service)


class Unreachable(Record):
    """A ring that only its own members start, and what hangs on it."""

    event: Event
    ring: tuple[Node, ...]  # first = last
    waiting: tuple[str, ...]
    started_by: Use

    def report(self) -> Report:
        name = self.event.name
        notes = (f"{quoted(self.waiting)} can't happen either",) if self.waiting else ()
        return Report(
            f"{self.event.kind} `{name}` can't be reached from any external event or timer",
            self.event.span,
            "only its own consequences cause it",
            (Label(self.started_by.ref.span, f"by `{self.started_by.service.name}`"),),
            notes,
            help=f"let an `external` event or a timer lead to `{name}`, or remove the ring",
            subjects=tuple(n.service if isinstance(n, HandlerNode) else n.name for n in self.ring),
            witness=tuple(str(node) for node in self.ring),
        )


@rule("FLW205", "unreachable", Level.WARNING, "nothing external and no timer leads to an event")
def unreachable(graph: FlowGraph) -> Iterator[Finding]:
    events = graph.system.events
    reached = from_roots(graph)
    if len(reached) == len(graph.successors):
        return
    lost = {node for node in graph.successors if node not in reached}
    for component in graph.cyclic_components(lost):
        if any(p in lost - component for n in component for p in graph.predecessors[n]):
            continue  # it waits for another ring
        first = next(n for n in graph.in_order(component) if _is_event(n))
        ring = graph.shortest_path(first, first, component)
        emit = next(u for u in graph.emits[first.name] if u.node in component)
        behind = graph.reached_from(component, reached) - reached - component
        waiting = tuple(n.name for n in graph.in_order(behind) if _is_event(n))
        yield Unreachable(events[first.name], ring, waiting, emit)


@once_a_graph
def from_roots(graph: FlowGraph) -> set[Node]:
    """What can happen at all."""
    return graph.reached_from(node for node in graph.successors if is_root(graph, node))


def is_root(graph: FlowGraph, node: Node) -> bool:
    """What happens by itself, or would if another finding (FLW202, FLW207) were mended."""
    if isinstance(node, HandlerNode):
        return not graph.predecessors[node]
    event = graph.system.events.get(node.name)
    return event is None or event.external or not graph.emits.get(node.name)


def _is_event(node: Node) -> TypeGuard[EventNode]:
    return isinstance(node, EventNode)
