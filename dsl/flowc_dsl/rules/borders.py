"""1xx: contexts own their events, and a file belongs to one store."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import normpath

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import FlowGraph, Use
from flowc_dsl.model import Event, Store
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule


def _place(context: str | None) -> str:
    return f"context `{context}`" if context else "no context"


class LeavesContext(Record):
    event: Event
    home: str | None
    use: Use
    verb: str

    def report(self) -> Report:
        event, use = self.event, self.use
        return Report(
            f"internal {event.kind} `{event.name}` of {_place(self.home)} is {self.verb} by "
            f"`{use.service.name}` of {_place(use.service.context)}",
            use.ref.span,
            f"{self.verb} in {_place(use.service.context)}",
            (Label(event.span, f"internal to {_place(self.home)}"),),
            help=f"drop `internal`, or let {_place(self.home)} emit an event that is meant for "
            "others",
            subjects=(event.name, use.service.name, *(n for n in (use.service.context,) if n)),
            witness=(event.name, str(use.node)) if self.verb != "sent" else (str(use.node),),
        )


@rule("FLW104", "internal-crosses", Level.ERROR, "an `internal` event crosses a context")
def internal_crosses(graph: FlowGraph) -> Iterator[Finding]:
    """Its context is the one that it is declared in, else its emitter's."""
    for event in graph.system.events.values():
        if event.scope != "internal":
            continue
        emits = graph.emits.get(event.name, ())
        reads = (*graph.triggers.get(event.name, ()), *graph.watches.get(event.name, ()))
        home = event.context
        if home is None:  # it is whoever owns it
            owners = reads if event.kind == "command" else emits
            if not owners:
                continue  # FLW202, or FLW107
            home = owners[0].service.context
        verb = "handled" if event.kind == "command" else "read"
        uses = [(use, verb) for use in reads]
        if event.kind == "command":  # an event's emitter elsewhere is FLW106
            uses += [(use, "sent") for use in emits]
        first = {(use.service.name, how): use for use, how in reversed(uses)}
        for (_, how), use in first.items():
            if use.service.context != home:
                yield LeavesContext(event, home, use, how)


class SameFile(Record):
    path: str
    first: Store
    second: Store
    owners: tuple[str, str]

    def report(self) -> Report:
        one, other = self.first.name, self.second.name
        return Report(
            f"stores `{one}` of `{self.owners[0]}` and `{other}` of `{self.owners[1]}` are one "
            f"file: `{self.path}`",
            self.second.span,
            f"the file of `{one}` as well",
            (Label(self.first.span, "the first store of this file"),),
            help=f"give `{other}` a `path` of its own",
            subjects=(one, other, *self.owners),
            witness=(self.owners[0], self.path, self.owners[1]),
        )


@rule("FLW105", "same-file", Level.ERROR, "two stores resolve to one file")
def same_file(graph: FlowGraph) -> Iterator[Finding]:
    """Stores of one name are one store, and FLW102's matter."""
    owners: dict[str, tuple[str, Store]] = {}
    for service in graph.system.services.values():
        for store in service.stores:
            if store.path is None:
                continue
            path = normpath(store.path)
            owner, first = owners.setdefault(path, (service.name, store))
            if first is not store and first.name != store.name:
                yield SameFile(path, first, store, (owner, service.name))


class ForeignEmitter(Record):
    event: Event
    use: Use

    def report(self) -> Report:
        event, use = self.event, self.use
        return Report(
            f"event `{event.name}` of context `{event.context}` is emitted by "
            f"`{use.service.name}` of {_place(use.service.context)}",
            use.ref.span,
            f"emitted in {_place(use.service.context)}",
            (Label(event.span, f"belongs to context `{event.context}`"),),
            help="declare the event where its emitter is, or let the emitter send a command",
            subjects=(event.name, use.service.name, str(event.context)),
            witness=(str(use.node), event.name),
        )


@rule("FLW106", "foreign-emitter", Level.ERROR, "an event is emitted outside its own context")
def foreign_emitter(graph: FlowGraph) -> Iterator[Finding]:
    """An event that is declared in no context belongs to none.

    One that its own context emits too has several emitters, which is FLW101 and no second fault.
    """
    for event in graph.system.events.values():
        if event.kind == "command" or event.context is None or event.external:
            continue
        emits = graph.emits.get(event.name, ())
        if emits and all(use.service.context != event.context for use in emits):
            yield ForeignEmitter(event, emits[0])
