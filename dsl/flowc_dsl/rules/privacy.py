"""7xx: where personal data goes, how long it is kept, and secrets in the text."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Final

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, Use
from flowc_dsl.model import Event, Field, Literal_, Service, System, TypeRef
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.wording import duration
from flowc_dsl.source import Span

Place = tuple[str, str]  # an event, and one of its fields


class Taint(Record):
    """Where personal data is: each place with the place, and the handler, that it came by."""

    came_by: dict[Place, tuple[Place, HandlerNode] | None]

    def path(self, place: Place) -> tuple[str, ...]:
        """From where it entered, `Event.field` and handlers in turn."""
        found = [".".join(place)]
        while (step := self.came_by[place]) is not None:
            place, node = step
            found += [str(node), ".".join(place)]
        return tuple(reversed(found))

    def origin(self, place: Place) -> Place:
        while (step := self.came_by[place]) is not None:
            place = step[0]
        return place


def taint(graph: FlowGraph) -> Taint:
    """Data goes on where a handler that reads a field emits one of the same name and type.

    It enters by external events first, then by each event that says `@pii` and got it from nobody.
    """
    system = graph.system
    personal = _personal_types(system)
    fields = {e.name: {f.name: f for f in e.fields} for e in system.events.values()}
    came_by: dict[Place, tuple[Place, HandlerNode] | None] = {}
    events = sorted(system.events.values(), key=lambda event: not event.external)
    said = [(e.name, f.name) for e in events for f in e.fields if _is_personal(f, personal)]
    for place in said:
        if place not in came_by:
            came_by[place] = None
            _spread(graph, fields, place, came_by, personal)
    return Taint(came_by)


def _spread(
    graph: FlowGraph,
    fields: dict[str, dict[str, Field]],
    start: Place,
    came_by: dict[Place, tuple[Place, HandlerNode] | None],
    personal: set[str],
) -> None:
    queue = deque([start])
    while queue:
        event, name = queue.popleft()
        for node in graph.successors[EventNode(event)]:
            if not isinstance(node, HandlerNode):
                continue
            reads = graph.handlers[node][1].reads
            if reads is not None and all(ref.name != name for ref in reads):
                continue
            for after in graph.successors[node]:
                place = (str(after), name)
                copy = fields.get(str(after), {}).get(name)
                if copy is None or place in came_by:
                    continue
                same = copy.type.name == fields[event][name].type.name
                if same or _is_personal(copy, personal):
                    came_by[place] = ((event, name), node)
                    queue.append(place)


def _personal_types(system: System) -> set[str]:
    """The types that hold a `@pii` field, at any depth."""
    found: set[str] = set()
    while True:
        more = {
            struct.name
            for struct in system.types.values()
            if struct.name not in found and any(_is_personal(f, found) for f in struct.fields)
        }
        if not more:
            return found
        found |= more


def _is_personal(field: Field, personal: set[str]) -> bool:
    return field.pii or _names_any(field.type, personal)


def _names_any(type_: TypeRef, names: set[str]) -> bool:
    return type_.name in names or any(_names_any(arg, names) for arg in type_.args)


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
