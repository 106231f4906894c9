"""4xx: the fields that handlers name, and those that nobody needs."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl import limits
from flowc_dsl.diagnostics.diagnostic import Edit, Label, Level
from flowc_dsl.graph import FlowGraph, HandlerNode, Use
from flowc_dsl.model import Event, Field, Handler, Ref
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.wording import Guess, guess, quoted


class MissingField(Record):
    node: HandlerNode
    clause: str
    field: Ref
    event: Event
    alternatives: int  # triggers of the same handler
    guesses: bool = True  # whether there is time to look for what was meant

    def report(self) -> Report:
        event, name = self.event, self.field.name
        near = guess(name, [field.name for field in event.fields]) if self.guesses else None
        both = " (every alternative needs it)" if self.alternatives > 1 else ""
        meant = f"did you mean `{near.name}`?" if near else f"declare `{name}` in `{event.name}`"
        return Report(
            f"`{self.clause} {name}` of `{self.node}`: `{event.name}` has no field `{name}`",
            self.field.span,
            f"not a field of `{event.name}`{both}",
            (Label(event.span, "declared here"),),
            help=meant,
            subjects=(self.node.service, event.name, name),
            witness=(event.name, str(self.node)),
            edits=self._edits(near),
        )

    def _edits(self, near: Guess | None) -> tuple[Edit, ...]:
        if near is None:
            return ()
        key = self.event.key.name if self.event.key else None
        ordered = self.clause == "reads" or self.clause.startswith("idem") or near.name == key
        safe = near.sure and self.alternatives == 1 and ordered  # else FLW501 would come of it
        return (Edit(self.field.span, near.name, "safe" if safe else "unsafe"),)


def named_fields(handler: Handler) -> Iterator[tuple[str, Ref]]:
    """Each field that a handler names of its triggers, with the clause that does."""
    for ref in handler.reads or ():
        yield "reads", ref
    for clause, named in (
        ("ordered by", handler.ordered_by),
        ("idempotent by", handler.idempotent_by),
        ("by", handler.by),
    ):
        if named is not None:
            yield clause, named


@rule("FLW404", "missing-field", Level.ERROR, "a field that is named does not exist")
def missing_field(graph: FlowGraph) -> Iterator[Finding]:
    names = {e.name: {field.name for field in e.fields} for e in graph.system.events.values()}
    comparisons = 0
    for node, (_, handler) in graph.handlers.items():
        for clause, ref in named_fields(handler):
            for trigger in handler.triggers:
                if trigger.name in names and ref.name not in names[trigger.name]:
                    event = graph.system.events[trigger.name]
                    comparisons += len(event.fields)
                    in_time = comparisons <= limits.COMPARISONS_MAX
                    yield MissingField(node, clause, ref, event, len(handler.triggers), in_time)
            if not handler.triggers and clause != "ordered by":  # which is FLW509
                yield FieldOfTimer(node, clause, ref)


class FieldOfTimer(Record):
    node: HandlerNode
    clause: str
    field: Ref

    def report(self) -> Report:
        name = self.field.name
        return Report(
            f"`{self.clause} {name}` of `{self.node}`: a timer has no event, and no field `{name}`",
            self.field.span,
            "a timer has no fields",
            help="remove it",
            subjects=(self.node.service, name),
        )


class UnreadField(Record):
    event: Event
    field: Field
    readers: tuple[str, ...]

    def report(self) -> Report:
        name = self.field.name
        return Report(
            f"nobody reads field `{name}` of `{self.event.name}`",
            self.field.span,
            f"not in the `reads` of {quoted(self.readers)}",
            help="remove the field, or add it to the `reads` that needs it",
            subjects=(self.event.name, name),
            witness=(self.event.name, name),
        )


@rule("FLW405", "unread-field", Level.INFO, "all readers say what they read, and a field is not")
def unread_field(graph: FlowGraph) -> Iterator[Finding]:
    """Only where every reader says what it `reads`: a handler that does not may need all."""
    expected = {expect.by.name for expect in graph.system.expects if expect.by is not None}
    for event in graph.system.events.values():
        uses = graph.triggers.get(event.name, ())
        if event.exported or not uses or any(use.handler.reads is None for use in uses):
            continue
        needed = expected | ({event.key.name} if event.key else set())
        needed |= {ref.name for use in uses for _, ref in named_fields(use.handler)}
        readers = tuple(dict.fromkeys(use.service.name for use in uses))
        for field in event.fields:
            if field.name not in needed and not field.deprecated:
                yield UnreadField(event, field, readers)


class StillRead(Record):
    what: str
    name: str
    at: Ref
    declared: Label
    use: Use
    event: str

    def report(self) -> Report:
        return Report(
            f"deprecated {self.what} `{self.name}` is still read by `{self.use.service.name}`",
            self.at.span,
            "still read here",
            (self.declared,),
            help="read what replaces it, or drop `deprecated`",
            subjects=(self.name, self.event, self.use.service.name),
            witness=(self.event, str(self.use.node)),
        )


@rule("FLW406", "deprecated-read", Level.WARNING, "a deprecated event or field is still read")
def deprecated_read(graph: FlowGraph) -> Iterator[Finding]:
    """An event once a service; a field wherever a `reads` names it."""
    for event in graph.system.events.values():
        uses = (*graph.triggers.get(event.name, ()), *graph.watches.get(event.name, ()))
        if event.deprecated:
            place = Label(event.span, "deprecated here")
            for use in {use.service.name: use for use in reversed(uses)}.values():
                yield StillRead(event.kind, event.name, use.ref, place, use, event.name)
            continue
        old = {field.name: field for field in event.fields if field.deprecated}
        for use in uses if old else ():
            for ref in use.handler.reads or ():
                if ref.name in old:
                    place = Label(old[ref.name].span, "deprecated here")
                    yield StillRead("field", ref.name, ref, place, use, event.name)
