"""7xx: where personal data goes, how long it is kept, and secrets in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import FlowGraph, HandlerNode, Use
from flowc_dsl.model import Event, Field, Literal_, Ref, Service
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.taint import Place, Taint, taint
from flowc_dsl.rules.wording import duration
from flowc_dsl.source import Span


class Leaves(Record):
    event: Event
    field: Field
    origin: tuple[Place, Field]
    path: tuple[str, ...]

    def report(self) -> Report:
        (source, name), first = self.origin
        from_ = f"`@pii` of `{source}.{name}`" if source != self.event.name else "`@pii`"
        related = (Label(first.span, "personal here"),) if first is not self.field else ()
        return Report(
            f"field `{self.field.name}` of exported {self.event.kind} `{self.event.name}` carries "
            f"{from_} outside",
            self.field.span,
            "leaves the system here",
            related,
            help="leave it out of what is exported, or say in an exemption on whose word it goes",
            subjects=(self.event.name, self.field.name, source),
            witness=self.path,
        )


class SeesPersonal(Record):
    service: Service
    use: Use
    field: Field
    origin: tuple[Place, Field]
    path: tuple[str, ...]

    def report(self) -> Report:
        (source, name), first = self.origin
        service = self.service.name
        return Report(
            f"service `{service}` reads `{self.use.ref.name}` with `@pii` of `{source}.{name}`, "
            "and does not say `sees pii`",
            self.use.ref.span,
            f"with field `{self.field.name}`",
            (Label(first.span, "personal here"),),
            help=f"say `sees pii` in `{service}`, or name what it `reads` without it",
            subjects=(service, self.use.ref.name, self.field.name, source),
            witness=(*self.path, str(self.use.node)),
        )


@rule("FLW701", "pii-spreads", Level.WARNING, "`@pii` reaches what is exported, or who is unlisted")
def pii_spreads(graph: FlowGraph) -> Iterator[Finding]:
    """Exported events always; services once one of them says `sees pii`, each once."""
    system = graph.system
    tainted = taint(graph)
    if not tainted.came_by:
        return
    by_name = {e.name: {f.name: f for f in e.fields} for e in system.events.values()}
    listed = any(service.sees_pii for service in system.services.values())
    done: set[str] = set()
    for place in tainted.came_by:
        event, field = system.events[place[0]], by_name[place[0]][place[1]]
        origin = tainted.origin(place)
        first = (origin, by_name[origin[0]][origin[1]])
        if event.exported:
            yield Leaves(event, field, first, tainted.path(place))
        for use in graph.triggers.get(event.name, ()) if listed else ():
            reads = use.handler.reads
            if use.service.sees_pii or use.service.name in done:
                continue
            if reads is None or any(ref.name == field.name for ref in reads):
                done.add(use.service.name)
                yield SeesPersonal(use.service, use, field, first, tainted.path(place))


class KeptLonger(Record):
    event: Event
    field: Field
    source: Event
    path: tuple[str, ...]

    def report(self) -> Report:
        event, source = self.event, self.source
        kept = f"for {duration(event.retain_ms)}" if event.retain_ms else "for ever"
        allowed = duration(source.retain_ms or 0)
        return Report(
            f"{event.kind} `{event.name}` keeps `@pii` of `{source.name}` {kept}, which has "
            f"{allowed}",
            event.span,
            f"kept {kept}",
            (Label(source.span, f"kept for {allowed}"),),
            help=f"write `retain {allowed}`, or leave `{self.field.name}` out",
            subjects=(event.name, self.field.name, source.name),
            witness=self.path,
        )


@rule("FLW702", "kept-longer", Level.WARNING, "a copy of `@pii` is kept beyond the original")
def kept_longer(graph: FlowGraph) -> Iterator[Finding]:
    """The policy is what an event that has the data says itself; one without `retain` sets none."""
    system = graph.system
    tainted = taint(graph)
    bounds: dict[Place, Event | None] = {}
    done: set[str] = set()
    for place, step in tainted.came_by.items():  # each behind the one that it came by
        event = system.events[place[0]]
        bound = bounds[step[0]] if step is not None else None
        if bound is not None and bound.retain_ms is not None and event.name not in done:
            longer = event.retain_ms is None or event.retain_ms > bound.retain_ms
            if longer:
                done.add(event.name)
                field = next(f for f in event.fields if f.name == place[1])
                yield KeptLonger(event, field, bound, tainted.path(place))
        strictest = bound is None or (bound.retain_ms or 0) > (event.retain_ms or 0)
        bounds[place] = event if event.retain_ms is not None and strictest else bound


class MayHold(Record):
    """A handler names a personal field in its `reads`, and emits one of its type that is new."""

    node: HandlerNode
    event: Event
    field: Field
    source: Place
    first: Field
    path: tuple[str, ...]

    def report(self) -> Report:
        name, source = f"`{self.field.name}` of `{self.event.name}`", ".".join(self.source)
        return Report(
            f"{name} may hold `@pii` of `{source}`, which `{self.node}` reads",
            self.field.span,
            "of the same type, and from nowhere else",
            (Label(self.first.span, "personal here"),),
            help=f'say `@pii` if it does; if not, `allow FLW704 on {self.event.name} because "…"`',
            subjects=(self.event.name, self.field.name, self.node.service, self.source[0]),
            witness=(*self.path, str(self.node), f"{self.event.name}.{self.field.name}"),
        )


@rule("FLW704", "pii-renamed", Level.INFO, "`@pii` may go on under a name that does not say so")
def pii_renamed(graph: FlowGraph) -> Iterator[Finding]:
    """Where a handler names what it `reads`, and no output field is known to be personal."""
    tainted = taint(graph)
    for node, (_, handler) in graph.handlers.items() if tainted.came_by else ():
        given = [(ref.name, field) for ref in handler.triggers for field in _fields(graph, ref)]
        named = {ref.name for ref in handler.reads or ()}
        read = [(e, f) for e, f in given if f.name in named and (e, f.name) in tainted.came_by]
        names = {field.name for _, field in given}
        for ref in handler.output_refs() if read else ():
            if ref.name in graph.system.events:
                yield from _may_hold(tainted, node, graph.system.events[ref.name], read, names)


def _fields(graph: FlowGraph, ref: Ref) -> tuple[Field, ...]:
    event = graph.system.events.get(ref.name)
    return event.fields if event else ()


def _may_hold(
    tainted: Taint,
    node: HandlerNode,
    event: Event,
    read: list[tuple[str, Field]],
    given: set[str],
) -> Iterator[MayHold]:
    """The first new field of an event that has no personal one."""
    if any((event.name, field.name) in tainted.came_by for field in event.fields):
        return
    for field in event.fields:
        for source, first in read if field.name not in given else ():
            if field.type.name == first.type.name:
                place = (source, first.name)
                yield MayHold(node, event, field, place, first, tainted.path(place))
                return


# As text: `re` compiles them when the first `args` are looked at, and most systems have none.
_NAMED_LIKE_ONE: Final = (
    r"(?:^|_)(?:password|passwd|passphrase|secret|token|credentials?|api_?key|access_?key|"
    r"private_?key|client_?secret)$"
)
_LOOKS_LIKE_ONE: Final = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|"
    r"\bxox[abprs]-[A-Za-z0-9-]{10,}|\bsk_live_[A-Za-z0-9]{16,}|"
    r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}|^[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s:@${]+@"
)
_REFERENCE: Final = r"^\s*$|\$\{?\w+\}?|^(?:env|file|vault|secret|ref):|^[./~]"


class SecretLiteral(Record):
    service: str
    where: str
    at: Span

    def report(self) -> Report:
        return Report(
            f"service `{self.service}` has what looks like a secret in {self.where}",
            self.at,
            "whoever reads this file has it",
            help="give it to the service by its environment, and here at most the variable's name",
            subjects=(self.service,),
        )


@rule("FLW703", "secret-literal", Level.WARNING, "a secret stands in the text")
def secret_literal(graph: FlowGraph) -> Iterator[Finding]:
    for service in graph.system.services.values():
        if service.run is not None and re.search(_LOOKS_LIKE_ONE, service.run.target):
            yield SecretLiteral(service.name, "its command", service.run.span)
        for name, value, span in service.args:
            if _holds_secret(name, value):
                yield SecretLiteral(service.name, f"`{name}`", span)


def _holds_secret(name: str, value: Literal_) -> bool:
    if isinstance(value, str):
        named = bool(re.search(_NAMED_LIKE_ONE, _snake(name))) and not re.search(_REFERENCE, value)
        return named or bool(re.search(_LOOKS_LIKE_ONE, value))
    if isinstance(value, tuple):
        return any(_holds_secret(name, item) for item in value)
    if isinstance(value, dict):
        return any(_holds_secret(key, item) for key, item in value.items())
    return False


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
