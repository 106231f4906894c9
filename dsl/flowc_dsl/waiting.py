"""The plan of handlers that wait: for time (`after`, `every`), or for a partner (joins).

What such a handler waits for gets a place in the log: an event that flowc makes, and that the
handler's own service alone emits and reads. The handler is then one like any other, of that event.
"""

from __future__ import annotations

from dataclasses import replace

from flowc_dsl.model import Handler, Service, System
from flowc_dsl.plan import (
    DeadlinePlan,
    EventPlan,
    FieldPlan,
    JoinPlan,
    TimerPlan,
    TypePlan,
)
from flowc_dsl.python_names import waiting_name


def event_struct(event: str) -> str:
    """The struct that has the fields of an event, for events that repeat it as a whole."""
    return f"{event}.fields"


class Waiting:
    """A handler that waits, and the event that it waits for.

    The event is named after service and function, with a dot between: no declared name has one.
    """

    def __init__(self, service: Service, handler: Handler, events: dict[str, EventPlan]) -> None:
        self.handler = handler
        self.function = waiting_name(handler)
        self._of = tuple(trigger.name for trigger in handler.triggers)
        self._name = f"{service.name}.{self.function}"
        self.event = self._event(events)

    def _event(self, events: dict[str, EventPlan]) -> EventPlan:
        match self.handler.kind:
            case "after":
                return replace(
                    events[self._of[0]], name=self._name, kind="event", external=False,
                    exported=False, doc="", waits="after", of=self._of,
                )  # fmt: skip
            case "join":
                return self._joined([events[name] for name in self._of])
            case _:
                number = FieldPlan("number", TypePlan("int"))
                return EventPlan(self._name, "event", 1, None, (number,), waits="every")

    def _joined(self, sides: list[EventPlan]) -> EventPlan:
        key = sides[0].key
        [by] = [field for field in sides[0].fields if field.name == key]
        repeated = [FieldPlan(e.name, TypePlan("struct", name=event_struct(e.name))) for e in sides]
        kept = [e.retain_ms for e in sides if e.retain_ms is not None]
        return EventPlan(
            self._name, "event", 1, key, (by, *repeated), retain_ms=min(kept, default=None),
            waits="join", of=self._of,
        )  # fmt: skip

    @property
    def deadline(self) -> DeadlinePlan:
        unless = tuple(other.name for other in self.handler.unless)
        return DeadlinePlan(self._name, self._of[0], unless, self.handler.period_ms or 0)

    @property
    def join(self) -> JoinPlan:
        by = self.handler.by.name if self.handler.by is not None else ""
        return JoinPlan(self._name, self._of, by)

    @property
    def timer(self) -> TimerPlan:
        return TimerPlan(self._name, self.handler.period_ms or 1)


def cannot_wait(system: System, handler: Handler) -> str | None:
    """Why a handler that waits can't be run, or None."""
    names = [ref.name for ref in (*handler.triggers, *handler.unless)]
    if handler.kind == "on" or len(names) == 1 or handler.kind == "every":
        return None
    if handler.kind == "join" and len(set(names)) < len(names):
        return "an event is not joined with another of its own type"
    kinds = {name: _key_type(system, name) for name in names}
    for name, kind in kinds.items():
        if kind is None:
            return f"`{name}` has no key, by which it would be known to belong to the others"
        if kind != kinds[names[0]]:
            first = names[0]
            return f"the key of `{name}` is {kind}, the one of `{first}` is {kinds[first]}"
    return None


def _key_type(system: System, name: str) -> str | None:
    event = system.events.get(name)
    if event is None or event.key is None:
        return None
    for field in event.fields:
        if field.name == event.key.name:
            kind = field.type
            scale = f"({kind.precision},{kind.scale})" if kind.precision is not None else ""
            return f"{kind.name}{scale}"
    return None
