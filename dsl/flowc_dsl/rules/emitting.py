"""1xx in the services' Python source: events that code emits, and its handlers don't declare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import FlowGraph
from flowc_dsl.model import Event, Handler, Service, System
from flowc_dsl.record import Record
from flowc_dsl.rules.code import code_span
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.wording import nearest, quoted
from flowc_dsl.source import Span

if TYPE_CHECKING:  # most systems that are checked have no code beside them
    from flowc_dsl.pysource.emission import Emission, Names, Place
    from flowc_dsl.pysource.facts import Code, Module


class Undeclared(Record):
    """`handler` is None where a function that handlers call makes the event."""

    event: Event
    service: Service
    function: str
    handler: Handler | None
    emitters: tuple[str, ...]
    at: Span

    def report(self) -> Report:
        event, name = self.event.name, self.service.name
        if self.handler is None:
            message = f"service `{name}` emits `{event}`, which none of its handlers declares"
            place = Label(self.service.span, f"`{name}` declares no handler that emits it")
        else:
            function = f"{name}.{self.function}"
            message = f"`{function}` emits `{event}`, which its handler does not declare"
            place = Label(self.handler.span, f"declares {self._declared(self.handler)}")
        return Report(
            message,
            self.at,
            "emitted here",
            (place, Label(self.event.span, self._owner())),
            help=self._help(),
            subjects=(event, name),
            witness=(f"{name}.{self.function}", event),
        )

    @staticmethod
    def _declared(handler: Handler) -> str:
        names = dict.fromkeys(ref.name for ref in handler.output_refs())
        return f"only {quoted(names)}" if names else "no output"

    def _owner(self) -> str:
        if self.event.external:
            return "declared `external`: its emitter is outside"
        return f"emitted by {quoted(self.emitters)}" if self.emitters else "declared here"

    def _help(self) -> str:
        others = [other for other in self.emitters if other != self.service.name]
        if self.event.kind == "event" and (others or self.event.external):
            return "emit an event of its own, and declare it behind `->`"
        return f"declare it: `-> {self.event.name}`, with `|`, `,` or `?`; or don't emit it"


class UnknownClass(Record):
    name: str
    service: Service
    at: Span
    candidate: str | None

    def report(self) -> Report:
        hint = f"did you mean `{self.candidate}`? " if self.candidate else ""
        return Report(
            f"code of service `{self.service.name}` names `{self.name}`, which is not declared",
            self.at,
            "no event, type or enum of the program",
            (Label(code_span(self.service), f"what `{self.service.name}` runs"),),
            help=f"{hint}`flowc types` writes the classes of what is declared",
            subjects=(self.service.name,),
        )


@rule("FLW109", "undeclared-emit", Level.WARNING, "service code emits an event it does not declare")
def undeclared_emit(graph: FlowGraph) -> Iterator[Finding]:
    code = graph.code
    if code is None:
        return
    from flowc_dsl.pysource.emission import Names  # noqa: PLC0415  # lazy: as above

    names = Names(code)
    for name, entry in code.entries.items():
        yield from _undeclared(graph, names, graph.system.services[name], code.modules.get(entry))
    yield from _unknown(graph.system, code, names)


def _undeclared(
    graph: FlowGraph, names: Names, service: Service, module: Module | None
) -> Iterator[Finding]:
    from flowc_dsl.pysource.emission import emissions  # noqa: PLC0415  # lazy: as above

    events, seen = graph.system.events, set()
    of_service = {ref.name for handler in service.handlers for ref in handler.output_refs()}
    for function, handlers in _handlers(service).items():
        at = _function(names, service, module, function) if module is not None else None
        declared = {ref.name for handler in handlers for ref in handler.output_refs()}
        for emission in emissions(names, at) if at is not None else ():
            name = emission.event
            if name not in events or name in (declared if emission.direct else of_service):
                continue
            key = (name, function if emission.direct else emission.span)
            if key not in seen:
                seen.add(key)
                yield _fault(graph, service, function, handlers[0], emission)


def _fault(
    graph: FlowGraph, service: Service, function: str, handler: Handler, emission: Emission
) -> Undeclared:
    return Undeclared(
        graph.system.events[emission.event],
        service,
        function,
        handler if emission.direct else None,
        graph.emitters(emission.event),
        emission.span,
    )


def _handlers(service: Service) -> dict[str, list[Handler]]:
    """The handlers that each function of the service's code is for."""
    from flowc_dsl.python_names import function_names  # noqa: PLC0415  # lazy: as above

    found: dict[str, list[Handler]] = {}
    for handler in service.handlers:
        for function in function_names(handler):
            found.setdefault(function, []).append(handler)
    return found


def _function(names: Names, service: Service, module: Module, function: str) -> Place | None:
    """Where the code of a handler is: in the class that the service runs, or in its module."""
    from flowc_dsl.pysource.emission import Place  # noqa: PLC0415  # lazy: as above

    owner = service.run.target.partition(":")[2] if service.run is not None else ""
    if owner:
        at = names.resolve(module, (owner,))
        return names.member(at.module, at.name, function) if isinstance(at, Place) else None
    at = names.resolve(module, (function,))
    return at if isinstance(at, Place) else None


def _unknown(system: System, code: Code, names: Names) -> Iterator[Finding]:
    """Names that code takes from a module of event classes, and that nothing declares."""
    from flowc_dsl.pysource.reach import reach  # noqa: PLC0415  # lazy: as above

    declared = {*system.events, *system.types, *system.enums}
    entries, seen = frozenset(code.entries.values()), set()
    for service, entry in code.entries.items():
        for path in reach(code, entry, entries.__contains__):
            module = code.modules.get(path)
            if module is None or path in seen or (path in entries and path != entry):
                continue
            seen.add(path)
            for name, span in _taken(module, names):
                if name not in declared and not name.startswith("_") and name not in _NO_CLASSES:
                    candidate = nearest(name, declared)
                    yield UnknownClass(name, system.services[service], span, candidate)


_NO_CLASSES = frozenset({"*", "SCHEMA", "annotations", "flowc"})


def _taken(module: Module, names: Names) -> Iterator[tuple[str, Span]]:
    from flowc_dsl.pysource.emission import EventClass  # noqa: PLC0415  # lazy: as above

    for found in module.imports:
        if found.name and names.is_events(found.module):
            yield found.name, found.span
    for name, span in module.attributes:
        meant = names.resolve(module, name)
        if isinstance(meant, EventClass) and len(name) > 1:
            yield meant.name, span
