"""1xx: one emitter an event, one owner a store, one handler a command; no service names another."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import FlowGraph, Use
from flowc_dsl.model import Event, Literal_, Service, Store
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.wording import counted, quoted
from flowc_dsl.source import Span

_WORD = re.compile(r"\w+")


class SeveralEmitters(Record):
    event: Event
    first_uses: tuple[Use, ...]  # one a service

    def report(self) -> Report:
        names = [use.service.name for use in self.first_uses]
        event = self.event
        if event.external:
            message = f"external event `{event.name}` is also emitted by {quoted(names)}"
            at, label = self.first_uses[0], f"emitted here, by `{names[0]}`"
            related: tuple[Label, ...] = (
                Label(event.span, "declared `external`: its emitter is outside"),
            )
            help_ = f"drop `external` if `{names[0]}` is its emitter, or emit an event of its own"
        else:
            message = f"event `{event.name}` has {counted(len(names), 'emitter')}: {quoted(names)}"
            at, label = self.first_uses[1], f"emitted here too, by `{names[1]}`"
            related = (
                Label(self.first_uses[0].ref.span, f"first emitted here, by `{names[0]}`"),
                Label(event.span, "declared here"),
            )
            help_ = (
                "give each service an event of its own, or make one the owner and send it a command"
            )
        return Report(
            message,
            at.ref.span,
            label,
            related,
            help=help_,
            subjects=(event.name, *names),
            witness=(str(at.node), event.name),
        )


@rule("FLW101", "several-emitters", Level.ERROR, "an event has more than one emitter")
def several_emitters(graph: FlowGraph) -> Iterator[Finding]:
    for event in graph.system.events.values():
        if event.kind == "command":
            continue
        if len(graph.emitters(event.name)) + event.external < 2:
            continue
        uses = {u.service.name: u for u in reversed(graph.emits.get(event.name, ()))}
        first_uses = tuple(uses[name] for name in graph.emitters(event.name))
        yield SeveralEmitters(event, first_uses)


class SharedStore(Record):
    store: Store
    owner: str
    intruder: str
    at: Span
    redeclared: bool

    def report(self) -> Report:
        verb = "declared again" if self.redeclared else "used"
        return Report(
            f"store `{self.store.name}` of `{self.owner}` is {verb} by `{self.intruder}`",
            self.at,
            f"{verb} here, by `{self.intruder}`",
            (Label(self.store.span, f"belongs to `{self.owner}`"),),
            help=f"let `{self.owner}` emit what `{self.intruder}` needs, or give "
            f"`{self.intruder}` a store of its own",
            subjects=(self.store.name, self.owner, self.intruder),
            witness=(self.intruder, self.store.name, self.owner),
        )


@rule("FLW102", "shared-store", Level.ERROR, "a store is reached by more than one service")
def shared_store(graph: FlowGraph) -> Iterator[Finding]:
    owners: dict[str, tuple[str, Store]] = {}
    for service in graph.system.services.values():
        for store in service.stores:
            owner, first = owners.setdefault(store.name, (service.name, store))
            if owner != service.name:
                yield SharedStore(first, owner, service.name, store.span, redeclared=True)
    for service in graph.system.services.values():
        for ref in (*service.store_refs, *service.uses):
            if ref.name in graph.system.libraries or ref.name not in owners:
                continue
            owner, store = owners[ref.name]
            if owner != service.name:
                yield SharedStore(store, owner, service.name, ref.span, redeclared=False)


class NamesService(Record):
    named: Service
    service: str
    at: Span
    where: str

    def report(self) -> Report:
        return Report(
            f"service `{self.service}` names service `{self.named.name}` {self.where}",
            self.at,
            f"`{self.named.name}` is a service",
            (Label(self.named.span, "declared here"),),
            help="connect them by an event, or share code through a `library`",
            subjects=(self.service, self.named.name),
            witness=(self.service, self.named.name),
        )


@rule("FLW103", "names-service", Level.ERROR, "a service names another service")
def names_service(graph: FlowGraph) -> Iterator[Finding]:
    system = graph.system
    stores = {store.name for service in system.services.values() for store in service.stores}
    libraries = stores.union(system.libraries)
    for service in system.services.values():
        for handler in service.handlers:
            for ref in (*handler.triggers, *handler.unless, *handler.output_refs()):
                if ref.name not in system.events and ref.name in system.services:
                    named = system.services[ref.name]
                    yield NamesService(named, service.name, ref.span, "where an event is expected")
        for ref in service.uses:
            if ref.name in system.services and ref.name not in libraries:
                named = system.services[ref.name]
                yield NamesService(named, service.name, ref.span, "where a library is expected")
        for text, span, where in _texts(service):
            first = {word[0]: word.start() for word in reversed([*_WORD.finditer(text)])}
            for word in sorted((first.keys() & system.services.keys()) - {service.name}):
                at = _inside(span, text, first[word], word)
                yield NamesService(system.services[word], service.name, at, where)


def _texts(service: Service) -> Iterator[tuple[str, Span, str]]:
    if service.run is not None:
        yield service.run.target, service.run.span, "in its command"
    for name, value, span in service.args:
        for text in strings(value):
            yield text, span, f"in `{name}` of its arguments or environment"


def strings(value: Literal_) -> Iterator[str]:
    """Every string in a value, keys of objects too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)


def _inside(span: Span, text: str, at: int, word: str) -> Span:
    """The word alone, where `span` is exactly the quoted text; else all of `span`."""
    if span.end - span.start != len(text) + 2:
        return span
    start = span.start + 1 + at
    return Span(span.path, start, start + len(word))


class CommandHandlers(Record):
    command: Event
    uses: tuple[Use, ...]
    sender: Use | None

    def report(self) -> Report:
        name = self.command.name
        if not self.uses:
            sent = self.sender
            return Report(
                f"command `{name}` has no handler",
                self.command.span,
                "nobody handles it",
                (Label(sent.ref.span, f"sent here, by `{sent.service.name}`"),) if sent else (),
                help="handle it in one service, or declare it `exported` if its handler is outside",
                subjects=(name,),
                witness=(str(sent.node), name) if sent else (name,),
            )
        handlers = [str(use.node) for use in self.uses]
        services = dict.fromkeys(use.service.name for use in self.uses)
        return Report(
            f"command `{name}` has {counted(len(self.uses), 'handler')}: {quoted(handlers)}",
            self.uses[1].ref.span,
            f"handled here too, by `{self.uses[1].service.name}`",
            (
                Label(self.uses[0].ref.span, f"first by `{self.uses[0].service.name}`"),
                Label(self.command.span, "declared here"),
            ),
            help="keep one handler; make it an `event` if several services have to know",
            subjects=(name, *services),
            witness=(name, handlers[1]),
        )


@rule("FLW107", "command-handlers", Level.ERROR, "a command has no handler, or several")
def command_handlers(graph: FlowGraph) -> Iterator[Finding]:
    for command in graph.system.events.values():
        if command.kind != "command":
            continue
        by_handler = {
            use.node: use
            for use in reversed(graph.triggers.get(command.name, ()))
            if use.handler.kind != "after"  # a deadline watches, it does not carry out
        }
        uses = tuple(by_handler[node] for node in graph.handlers if node in by_handler)
        if len(uses) > 1 or not (uses or command.exported or command.name in graph.misread):
            senders = graph.emits.get(command.name, ())
            yield CommandHandlers(command, uses, senders[0] if senders else None)
