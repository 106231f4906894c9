"""`run mock`: a service without code, made from its declaration.

Each input emits exactly what the declaration lets it: one of the alternatives, `A?` or not, none
to two of `A*`. What is chosen is a hash of the input's key (its offset, where it has none), so a
run gives the same again. A field is copied from the input's field of the same name and type;
others get the plainest value of their type.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import xxhash

from flowc.classes import Classes, maker
from flowc.context import Context
from flowc.event import Event
from flowc.load import Function, Handler
from flowc_dsl.plan import EventPlan, HandlerPlan, OutputPlan, ServicePlan, TypePlan
from flowc_dsl.python_names import attribute_name, handler_name

_MANY: Final = {"one": (1,), "maybe": (0, 1), "any": (0, 1, 2)}
_PLAIN: Final[dict[str, Callable[[Context], Any]]] = {
    "string": lambda _: "",
    "bool": lambda _: False,
    "int": lambda _: 0,
    "float": lambda _: 0.0,
    "decimal": lambda _: Decimal(0),
    "uuid": lambda ctx: uuid.UUID(int=xxhash.xxh3_128_intdigest(b"%d" % ctx.offset)),
    "timestamp": lambda ctx: ctx.time,
    "date": lambda ctx: ctx.time.date(),
    "duration": lambda _: dt.timedelta(),
    "bytes": lambda _: b"",
    "list": lambda _: [],
    "map": lambda _: {},
}


def mock_handlers(classes: Classes, service: ServicePlan) -> list[Handler]:
    """A handler for each trigger of the service's declared handlers."""
    handlers = []
    for declared in service.handlers:
        for trigger in declared.triggers:
            name = f"{service.name}.{declared.name or handler_name(trigger)} (mock)"
            call = _Mock(classes, classes.plan.event(trigger), declared)
            handlers.append(Handler(trigger, Function(name, call, context=True), declared))
    return handlers


class _Mock:
    """A handler: call it with an event and its context."""

    def __init__(self, classes: Classes, trigger: EventPlan, declared: HandlerPlan) -> None:
        self._outputs = declared.outputs
        self._makers = {
            o.event: _Filler(classes, trigger, o.event) for group in self._outputs for o in group
        }

    def __call__(self, event: Event | tuple[Event, ...], ctx: Context) -> list[Event]:
        events = event if isinstance(event, tuple) else (event,)
        emitted = []
        for number, group in enumerate(self._outputs):
            chosen: OutputPlan = group[_choose(ctx, f"{number}", len(group))]
            counts = _MANY[chosen.many]
            count = counts[_choose(ctx, f"{number}:{chosen.event}", len(counts))]
            emitted += [self._makers[chosen.event](events, ctx) for _ in range(count)]
        return emitted


def _choose(ctx: Context, what: str, among: int) -> int:
    of = ctx.offset if ctx.key is None else ctx.key
    return xxhash.xxh3_64_intdigest(f"{of}:{what}".encode()) % among


def _given(classes: Classes, trigger: EventPlan) -> list[dict[str, TypePlan]]:
    """The fields of each event that a handler of `trigger` is given."""
    match trigger.waits:
        case "every":
            sides = []
        case "join":
            sides = [classes.plan.event(name) for name in trigger.of]
        case _:
            sides = [trigger]
    return [{f.name: f.type for f in side.fields} for side in sides]


class _Filler:
    """Makes one event type from what a handler is given."""

    def __init__(self, classes: Classes, trigger: EventPlan, event: str) -> None:
        given = _given(classes, trigger)
        self._classes = classes
        self._make = maker(classes.event(event))
        self._fields = [
            (
                next((i for i, fields in enumerate(given) if fields.get(f.name) == f.type), None),
                attribute_name(f.name),
                f.type,
            )
            for f in classes.plan.event(event).fields
        ]

    def __call__(self, events: tuple[Event, ...], ctx: Context) -> Event:
        values = [
            self._plain(kind, ctx) if side is None else getattr(events[side], name)
            for side, name, kind in self._fields
        ]
        return self._make(*values)

    def _plain(self, kind: TypePlan, ctx: Context) -> Any:
        if kind.optional:
            return None
        if kind.kind == "enum":
            return self._classes.plan.enums[kind.name][0]
        if kind.kind == "struct":
            fields = self._classes.plan.structs[kind.name]
            return self._classes.record_maker(kind.name)(
                *(self._plain(f.type, ctx) for f in fields)
            )
        return _PLAIN[kind.kind](ctx)
