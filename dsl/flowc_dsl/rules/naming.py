"""601, 602 and 606: names that say what they are, and words for those who come after."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.diagnostics.diagnostic import Level
from flowc_dsl.graph import FlowGraph
from flowc_dsl.model import Event
from flowc_dsl.record import Record
from flowc_dsl.rules.english import is_no_order, tells_past
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.source import Span


class NotPast(Record):
    event: Event

    def report(self) -> Report:
        name = self.event.name
        return Report(
            f"the name of event `{name}` does not say what has happened",
            self.event.span,
            "no past tense",
            help="name it by what has happened, as in `OrderPlaced`; what is to be done is a "
            "`command`",
            subjects=(name,),
        )


@rule("FLW601", "not-past-tense", Level.INFO, "the name of an event is not in the past tense")
def not_past_tense(graph: FlowGraph) -> Iterator[Finding]:
    """Names from outside are given; the ticks of a timer have not happened to anything."""
    for event in graph.system.events.values():
        if event.kind == "command" or event.external or tells_past(event.name):
            continue
        emits = graph.emits.get(event.name, ())
        if not emits or any(use.handler.kind != "every" for use in emits):
            yield NotPast(event)


class NotImperative(Record):
    event: Event

    def report(self) -> Report:
        name = self.event.name
        return Report(
            f"the name of command `{name}` does not say what to do",
            self.event.span,
            "no imperative",
            help="name it by what is to be done, as in `PlaceOrder`; what has happened is an "
            "`event`",
            subjects=(name,),
        )


@rule("FLW602", "not-imperative", Level.INFO, "the name of a command is not an imperative")
def not_imperative(graph: FlowGraph) -> Iterator[Finding]:
    for event in graph.system.events.values():
        if event.kind == "command" and not event.external and is_no_order(event.name):
            yield NotImperative(event)


class Undocumented(Record):
    what: str
    name: str
    at: Span
    lacks: str
    help: str

    def report(self) -> Report:
        return Report(
            f"{self.what} `{self.name}` has no {self.lacks}",
            self.at,
            f"no {self.lacks}",
            help=self.help,
            subjects=(self.name,),
        )


@rule(
    "FLW606", "undocumented", Level.INFO, "an exported event without doc, a service without owner"
)
def undocumented(graph: FlowGraph) -> Iterator[Finding]:
    """Docs are asked of what others rely on, owners once one is named anywhere."""
    system = graph.system
    for event in system.events.values():
        if event.exported and not event.doc:
            help_ = "say in a `///` comment above it what it means to those outside"
            yield Undocumented(f"exported {event.kind}", event.name, event.span, "doc", help_)
    owned = any(context.owner for context in system.contexts.values())
    if not owned and not any(service.owner for service in system.services.values()):
        return
    for service in system.services.values():
        if not system.owner_of(service):
            help_ = 'write `owner "…"` behind its name, or behind its context\'s'
            yield Undocumented("service", service.name, service.span, "owner", help_)
