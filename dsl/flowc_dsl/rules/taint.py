"""Where personal data goes: from field to field, through the handlers that read and emit it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, once_a_graph
from flowc_dsl.model import Field, System, TypeRef
from flowc_dsl.record import Record

Place = tuple[str, str]  # an event, and one of its fields
Step = tuple[Place, tuple[HandlerNode, ...]]  # from where, and through whom


class Taint(Record):
    """Where personal data is: each place with the place, and the handlers, that it came by."""

    came_by: dict[Place, Step | None]

    def path(self, place: Place) -> tuple[str, ...]:
        """From where it entered, `Event.field` and handlers in turn."""
        found = [".".join(place)]
        while (step := self.came_by[place]) is not None:
            place, nodes = step
            found += [*map(str, reversed(nodes)), ".".join(place)]
        return tuple(reversed(found))

    def origin(self, place: Place) -> Place:
        while (step := self.came_by[place]) is not None:
            place = step[0]
        return place


@once_a_graph
def taint(graph: FlowGraph) -> Taint:
    """All places of personal data.

    It enters by external events first, then by each event that says `@pii` and got it from nobody.
    It goes on where a handler that reads a field emits one of the same name and type; where another
    handler of a service that remembers does, and has no such field from its own trigger; out of a
    `type` that holds it; and under another name into a field that says `@pii` itself.
    """
    events = graph.system.events.values()
    personal = personal_types(graph.system)
    if not any(is_personal(field, personal) for event in events for field in event.fields):
        return Taint({})
    fields = {e.name: {f.name: f for f in e.fields} for e in events}
    given = {
        node: {name for ref in handler.triggers for name in fields.get(ref.name, ())}
        for node, (_, handler) in graph.handlers.items()
    }
    spreading = _Spreading(graph, fields, personal, {}, given, _siblings(graph, fields, given))
    entering = sorted(events, key=lambda event: not event.external)
    said = [(e.name, f.name) for e in entering for f in e.fields]
    for event, name in said:
        field = spreading.fields[event][name]
        if (event, name) not in spreading.came_by and is_personal(field, spreading.personal):
            spreading.came_by[event, name] = None
            spreading.spread((event, name))
    return Taint(spreading.came_by)


def _siblings(
    graph: FlowGraph, fields: dict[str, dict[str, Field]], given: dict[HandlerNode, set[str]]
) -> dict[str, tuple[HandlerNode, ...]]:
    """The handlers of each service that emit a field which none of their triggers has: only into
    such a field can go what another handler was told."""
    found: dict[str, list[HandlerNode]] = {}
    for node in graph.handlers:
        if any(fields.get(str(after), {}).keys() - given[node] for after in graph.successors[node]):
            found.setdefault(node.service, []).append(node)
    return {name: tuple(nodes) for name, nodes in found.items()}


class _Spreading(Record):
    graph: FlowGraph
    fields: dict[str, dict[str, Field]]
    personal: set[str]
    came_by: dict[Place, Step | None]
    given: dict[HandlerNode, set[str]]  # the names of the fields of its triggers
    siblings: dict[str, tuple[HandlerNode, ...]]  # by service

    def spread(self, start: Place) -> None:
        queue = deque([start])
        while queue:
            place = queue.popleft()
            for way in self._ways(place):
                given = self.given[way[-1]]
                for after in self.graph.successors[way[-1]]:
                    for field in self.fields.get(str(after), {}).values():
                        target = (str(after), field.name)
                        own = field.name in given
                        if target in self.came_by or (own and len(way) > 1):
                            continue  # else the emitter has it from its own trigger
                        if self._carries(place, field, renamed=not own and len(way) == 1):
                            self.came_by[target] = (place, way)
                            queue.append(target)

    def _ways(self, place: Place) -> Iterator[tuple[HandlerNode, ...]]:
        """Handlers that read a field, each alone, and then those to which it may have told it."""
        event, name = place
        readers = [
            node
            for node in self.graph.successors[EventNode(event)]
            if isinstance(node, HandlerNode) and self._reads(node, name)
        ]
        yield from ((node,) for node in readers)
        for node in readers:
            service, _ = self.graph.handlers[node]
            others = () if service.stateless else self.siblings.get(service.name, ())
            yield from ((node, other) for other in others if other != node)

    def _reads(self, node: HandlerNode, name: str) -> bool:
        reads = self.graph.handlers[node][1].reads
        return reads is None or any(ref.name == name for ref in reads)

    def _carries(self, place: Place, field: Field, *, renamed: bool) -> bool:
        """Whether a field has the data of a place; `renamed` if it may have it by another name."""
        source = self.fields[place[0]][place[1]]
        same = field.type.name == source.type.name
        personal = is_personal(field, self.personal)
        if field.name == source.name:
            return same or personal
        if renamed and same and personal:
            return True
        return any(f.name == field.name and f.type.name == field.type.name
                   for f in self._held(source))  # fmt: skip

    def _held(self, field: Field) -> Iterator[Field]:
        """The personal fields inside a field's type, at any depth."""
        pending, seen = [field.type], set[str]()
        while pending:
            ref = pending.pop()
            pending += ref.args
            struct = self.graph.system.types.get(ref.name)
            if struct is None or ref.name in seen:
                continue
            seen.add(ref.name)
            for inner in struct.fields:
                if inner.pii:
                    yield inner
                pending.append(inner.type)


def personal_types(system: System) -> set[str]:
    """The types that hold a `@pii` field, at any depth."""
    found: set[str] = set()
    while True:
        more = {
            struct.name
            for struct in system.types.values()
            if struct.name not in found and any(is_personal(f, found) for f in struct.fields)
        }
        if not more:
            return found
        found |= more


def is_personal(field: Field, personal: set[str]) -> bool:
    """Whether it says `@pii`, or its type is or names one of the types `personal`."""
    return field.pii or _names_any(field.type, personal)


def _names_any(type_: TypeRef, names: set[str]) -> bool:
    return type_.name in names or any(_names_any(arg, names) for arg in type_.args)
