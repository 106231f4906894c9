"""From the model to the plan; and what a plan can't carry yet, by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flowc_dsl import limits
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label, Level
from flowc_dsl.model import Event, Field, Handler, Service, System, TypeRef, Upcast
from flowc_dsl.plan import (
    EventPlan,
    FieldPlan,
    HandlerPlan,
    OutputPlan,
    Plan,
    RetryPlan,
    ServicePlan,
    StorePlan,
    TypePlan,
    UpcastPlan,
)
from flowc_dsl.source import Span
from flowc_dsl.waiting import Waiting, cannot_wait, event_struct


def make_plan(system: System) -> Plan:
    """The plan of a system without errors. What `unsupported` names is left out of it."""
    services = [s for s in system.services.values() if s.run is None or s.run.kind != "exec"]
    events = {event.name: _event(system, event) for event in system.events.values()}
    waiting = {s.name: [Waiting(s, h, events) for h in _honoured(system, s)] for s in services}
    made = [one.event for found in waiting.values() for one in found]
    joined = {name for event in made if event.waits == "join" for name in event.of}
    structs = {s.name: _fields(system, s.fields) for s in system.types.values()}
    structs |= {event_struct(name): events[name].fields for name in sorted(joined)}
    return Plan(
        system=system.name,
        events=(*events.values(), *made),
        services=tuple(_service(service, waiting[service.name]) for service in services),
        structs=structs,
        enums={e.name: tuple(member.name for member in e.members) for e in system.enums.values()},
        partitions=limits.PARTITIONS,
    )


def _event(system: System, event: Event) -> EventPlan:
    return EventPlan(
        name=event.name,
        kind=event.kind,
        version=event.version,
        key=event.key.name if event.key else None,
        fields=_fields(system, event.fields),
        external=event.external,
        exported=event.exported,
        retain_ms=event.retain_ms,
        doc=event.doc,
        upcasts=tuple(_upcast(upcast) for upcast in event.upcasts),
    )


def _upcast(upcast: Upcast) -> UpcastPlan:
    sets = ((target.name, json.dumps(value)) for target, value in upcast.sets)
    renames = ((old.name, new.name) for old, new in upcast.renames)
    return UpcastPlan(upcast.from_version, tuple(sets), tuple(renames))


def _fields(system: System, fields: tuple[Field, ...]) -> tuple[FieldPlan, ...]:
    return tuple(FieldPlan(f.name, _type(system, f.type), f.pii, f.doc) for f in fields)


def _type(system: System, type_: TypeRef) -> TypePlan:
    if type_.name in system.types:
        return TypePlan("struct", type_.optional, type_.name)
    if type_.name in system.enums:
        return TypePlan("enum", type_.optional, type_.name)
    args = tuple(_type(system, arg) for arg in type_.args)
    precision, scale = type_.precision or 0, type_.scale or 0
    return TypePlan(type_.name, type_.optional, "", precision, scale, args)


def _honoured(system: System, service: Service) -> list[Handler]:
    """The handlers that wait, and can be run."""
    return [
        handler
        for handler in service.handlers
        if handler.kind != "on" and cannot_wait(system, handler) is None
    ]


def _service(service: Service, waiting: Sequence[Waiting]) -> ServicePlan:
    python = service.run is not None and service.run.kind == "python"
    handlers = [_handler(h) for h in service.handlers if h.kind == "on"]
    for one in waiting:
        declared = replace(_handler(one.handler), triggers=(one.event.name,), name=one.function)
        handlers.append(declared)
    return ServicePlan(
        name=service.name,
        run="python" if python else "mock",
        target=service.run.target if service.run is not None and python else "",
        handlers=tuple(handlers),
        context=service.context or "",
        replicas=service.replicas_min,
        replicas_max=service.replicas_max,
        stateless=service.stateless,
        deadlines=tuple(one.deadline for one in waiting if one.handler.kind == "after"),
        joins=tuple(one.join for one in waiting if one.handler.kind == "join"),
        timers=tuple(one.timer for one in waiting if one.handler.kind == "every"),
        stores=tuple(_stores(service)) if python else (),
    )


def _stores(service: Service) -> Iterator[StorePlan]:
    """The one store that is run, if it can be."""
    if not any(_of_stores(service)):
        yield from (StorePlan(s.name, s.engine, s.per_partition) for s in service.stores)


def _handler(handler: Handler) -> HandlerPlan:
    retry = RetryPlan()
    if handler.retry is not None:
        found = handler.retry
        retry = RetryPlan(found.attempts, found.backoff_min_ms, found.backoff_max_ms, found.then)
    return HandlerPlan(
        triggers=tuple(trigger.name for trigger in handler.triggers),
        outputs=tuple(
            tuple(OutputPlan(output.event.name, output.many) for output in group)
            for group in handler.outputs
        ),
        name=handler.name.name if handler.name else "",
        retry=retry,
        within_ms=handler.within_ms,
        delivery=handler.delivery,
        replay=handler.replay or "",
    )


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A construct that `flowc run` can't honour yet. `refuses` is False where it runs with less."""

    construct: str
    subject: str  # the service or event that has it
    span: Span
    text: str
    refuses: bool = True

    def diagnostic(self) -> Diagnostic:
        """FLW091: an error where the run is refused, else an info."""
        return Diagnostic(
            "FLW091",
            Level.ERROR if self.refuses else Level.INFO,
            f"`{self.construct}` of `{self.subject}` is not run yet: {self.text}",
            Label(self.span),
            subjects=(self.subject,),
        )


def unsupported(system: System) -> list[Unsupported]:
    """In the order of the text."""
    return [one for service in system.services.values() for one in _of_service(system, service)]


def _of_service(system: System, service: Service) -> Iterator[Unsupported]:
    name, run = service.name, service.run
    if run is None:
        text = "it has no code; `run mock` plays its outputs"
        yield Unsupported("service without run", name, service.span, text)
    elif run.kind == "exec":
        yield Unsupported("run exec", name, run.span, "only Python services run so far")
    yield from _of_stores(service)
    for key, _, span in service.args:
        yield Unsupported("args", name, span, f"`{key}` is not handed to the service yet")
    for handler in service.handlers:
        yield from _of_handler(system, name, handler)


def _of_stores(service: Service) -> Iterator[Unsupported]:
    if service.run is not None and service.run.kind != "python":
        return  # nobody writes to it
    for store in service.stores:
        if store.engine != "sqlite":
            text = "only SQLite is run so far; write `engine sqlite`, or leave it out"
            yield Unsupported(f"engine {store.engine}", service.name, store.span, text)
        if store.path is not None:
            text = "flowc decides where the file is, below `.flow`; leave `path` out"
            yield Unsupported("store path", service.name, store.span, text)
    for store in service.stores[1:]:
        text = "a service has one store: two files can't be committed as one; put its tables there"
        yield Unsupported("a second store", service.name, store.span, text)


def _of_handler(system: System, service: str, handler: Handler) -> Iterator[Unsupported]:
    at = handler.span
    why = cannot_wait(system, handler)
    if why is not None:
        yield Unsupported(handler.kind, service, at, why)
    if handler.ordered_by is not None and handler.kind == "on":
        keys = {_key(system, trigger.name) for trigger in handler.triggers}
        if keys != {handler.ordered_by.name}:
            text = "order holds by key alone"
            yield Unsupported("ordered by", service, handler.ordered_by.span, text)


def _key(system: System, name: str) -> str | None:
    event = system.events.get(name)
    return event.key.name if event is not None and event.key is not None else None
