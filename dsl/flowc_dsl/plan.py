"""The plan: all that the engine needs of a program that checks without errors.

Frozen, serialisable (`to_json`/`from_json`), hashed over its canonical JSON. The engine, the log
process and each service process read the same plan. Times are ms.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Literal

PLAN_FORMAT = 3
FORMATS_READ = (1, 2, 3)
"""A plan of format 1 says nothing of upcasts, one of format 2 nothing of what a replay does, nor of
stores."""
SCALARS = (
    "string", "bool", "int", "float", "decimal", "uuid", "timestamp", "date", "duration", "bytes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TypePlan:
    """`kind` is a name of SCALARS, or `list`, `map`, `struct`, `enum`.

    `name` is the struct's or enum's; `args` are the element types (`map` has key and value).
    """

    kind: str
    optional: bool = False
    name: str = ""
    precision: int = 0
    scale: int = 0
    args: tuple[TypePlan, ...] = ()

    @property
    def text(self) -> str:
        """The type as the declaration writes it."""
        text = self.name or self.kind
        if self.kind == "decimal":
            text = f"decimal({self.precision},{self.scale})"
        elif self.args:
            text = f"{self.kind}<{', '.join(arg.text for arg in self.args)}>"
        return f"{text}?" if self.optional else text


@dataclass(frozen=True, slots=True)
class FieldPlan:
    name: str
    type: TypePlan
    pii: bool = False
    doc: str = ""


@dataclass(frozen=True, slots=True)
class UpcastPlan:
    """How events of version `from_version` become those of the next.

    `sets` are fields with the constant that they get, as JSON; `renames` are old and new names.
    """

    from_version: int
    sets: tuple[tuple[str, str], ...] = ()
    renames: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EventPlan:
    """`waits`: "" for what is declared. Else flowc makes it, for one handler of one service, which
    alone reads it: the place in the log at which a deadline (`after`) was due, at which the last of
    the partners of a join (`join`) came, or at which a timer (`every`) ticked. `of` are the events
    that it repeats.
    """

    name: str
    kind: Literal["event", "command"]
    version: int
    key: str | None
    fields: tuple[FieldPlan, ...]
    external: bool = False
    exported: bool = False
    retain_ms: int | None = None
    doc: str = ""
    upcasts: tuple[UpcastPlan, ...] = ()  # by version
    waits: Literal["", "after", "join", "every"] = ""
    of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputPlan:
    event: str
    many: Literal["one", "maybe", "any"] = "one"


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """How often a handler that raises is called again before `then`.

    Defaults: 5 times, 100 ms to 2 s, park.
    """

    attempts: int = 5
    backoff_min_ms: int = 100
    backoff_max_ms: int = 2_000
    then: Literal["park", "drop", "halt"] = "park"


@dataclass(frozen=True, slots=True)
class HandlerPlan:
    """`name` is what the user's code is called: `as NAME`, else "" (each trigger has its own
    function).

    `outputs`: of every inner tuple exactly one is emitted (`one`), unless its `many` says
    otherwise. `replay`: what is declared; "" where nothing is. A handler of `delivery` "latest"
    sees nothing of what was there before its process.
    """

    triggers: tuple[str, ...]
    outputs: tuple[tuple[OutputPlan, ...], ...] = ()
    name: str = ""
    retry: RetryPlan = RetryPlan()
    within_ms: int | None = None
    delivery: Literal["all", "latest"] = "all"
    replay: Literal["", "skip", "safe"] = ""

    @property
    def replayed(self) -> bool:
        """Whether it is called again for events of the past, to rebuild memory."""
        return self.replay != "skip" and self.delivery != "latest"


@dataclass(frozen=True, slots=True)
class DeadlinePlan:
    """`event` is emitted when an event `of` is `after_ms` old and no `unless` of its key has come
    since."""

    event: str
    of: str
    unless: tuple[str, ...]
    after_ms: int


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """`event` is emitted when there is one of each of `of` with the same value of `by`."""

    event: str
    of: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True)
class TimerPlan:
    """`event` is emitted once in each period."""

    event: str
    every_ms: int


@dataclass(frozen=True, slots=True)
class StorePlan:
    """A database that a service's handlers write to: one file, or one for each partition."""

    name: str
    engine: str = "sqlite"
    per_partition: bool = False

    @property
    def since_key(self) -> str:
        """The slot's entry that says where the log ended when the store was declared: up to there
        it may be filled from the log."""
        return f"store {self.name}"


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """`replicas` are the fewest that it has, `replicas_max` the most."""

    name: str
    run: Literal["python", "mock"]
    target: str  # "package.module" or "package.module:Class"; "" for mock
    handlers: tuple[HandlerPlan, ...]
    context: str = ""
    replicas: int = 1
    stateless: bool = False
    deadlines: tuple[DeadlinePlan, ...] = ()
    joins: tuple[JoinPlan, ...] = ()
    timers: tuple[TimerPlan, ...] = ()
    stores: tuple[StorePlan, ...] = ()
    replicas_max: int = 1  # raised to `replicas`, as in a plan of an older flowc

    def __post_init__(self) -> None:
        object.__setattr__(self, "replicas_max", max(self.replicas, self.replicas_max))

    @property
    def subscribes(self) -> tuple[str, ...]:
        """The events it reads, sorted, each once."""
        waited_for = {e for d in self.deadlines for e in (d.of, *d.unless)}
        waited_for |= {e for j in self.joins for e in j.of}
        return tuple(sorted({t for h in self.handlers for t in h.triggers} | waited_for))

    @property
    def emits(self) -> tuple[str, ...]:
        """The events it may emit, sorted, each once."""
        outputs = {o.event for h in self.handlers for group in h.outputs for o in group}
        return tuple(sorted(outputs.union(self.waits)))

    @property
    def latest(self) -> bool:
        """Whether a handler wants nothing of what was there before its process."""
        return any(h.delivery == "latest" for h in self.handlers)

    @property
    def waits(self) -> tuple[str, ...]:
        """The events that flowc makes for its handlers that wait."""
        found = [d.event for d in self.deadlines]
        return (*found, *(j.event for j in self.joins), *(t.event for t in self.timers))


@dataclass(frozen=True, slots=True)
class Plan:
    system: str
    events: tuple[EventPlan, ...]
    services: tuple[ServicePlan, ...]
    structs: dict[str, tuple[FieldPlan, ...]]
    enums: dict[str, tuple[str, ...]]
    partitions: int = 64
    format: int = PLAN_FORMAT

    def event(self, name: str) -> EventPlan:
        """Raises `KeyError` for a name that is no event or command."""
        for event in self.events:
            if event.name == name:
                return event
        raise KeyError(name)

    def service(self, name: str) -> ServicePlan:
        """Raises `KeyError` for a name that is no service."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def to_json(self) -> str:
        """Canonical: sorted keys, no spaces; equal plans give equal text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """The first 16 hex digits of SHA-256 over the canonical JSON."""
        return sha256(self.to_json().encode()).hexdigest()[:16]

    @staticmethod
    def from_json(text: str) -> Plan:
        """The inverse of `to_json`.

        Raises `ValueError` for another format or a text that is no plan.
        """
        try:
            return _plan(json.loads(text))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a plan: {error}") from error


def _type(value: dict[str, Any]) -> TypePlan:
    return TypePlan(**{**value, "args": tuple(_type(a) for a in value["args"])})


def _fields(values: list[dict[str, Any]]) -> tuple[FieldPlan, ...]:
    return tuple(FieldPlan(**{**v, "type": _type(v["type"])}) for v in values)


def _event(value: dict[str, Any]) -> EventPlan:
    upcasts = tuple(_upcast(upcast) for upcast in value.get("upcasts", ()))
    fields, of = _fields(value["fields"]), tuple(value.get("of", ()))
    return EventPlan(**{**value, "fields": fields, "upcasts": upcasts, "of": of})


def _upcast(value: dict[str, Any]) -> UpcastPlan:
    sets, renames = (tuple((a, b) for a, b in value[name]) for name in ("sets", "renames"))
    return UpcastPlan(value["from_version"], sets, renames)


def _handler(value: dict[str, Any]) -> HandlerPlan:
    outputs = tuple(tuple(OutputPlan(**o) for o in group) for group in value["outputs"])
    retry = RetryPlan(**value["retry"])
    triggers = tuple(value["triggers"])
    return HandlerPlan(**{**value, "outputs": outputs, "retry": retry, "triggers": triggers})


def _service(value: dict[str, Any]) -> ServicePlan:
    deadlines = (
        DeadlinePlan(**{**d, "unless": tuple(d["unless"])}) for d in value.get("deadlines", ())
    )
    return ServicePlan(
        **{
            **value,
            "handlers": tuple(_handler(h) for h in value["handlers"]),
            "deadlines": tuple(deadlines),
            "joins": tuple(JoinPlan(**{**j, "of": tuple(j["of"])}) for j in value.get("joins", ())),
            "timers": tuple(TimerPlan(**t) for t in value.get("timers", ())),
            "stores": tuple(StorePlan(**s) for s in value.get("stores", ())),
        }
    )


def _plan(value: dict[str, Any]) -> Plan:
    if value["format"] not in FORMATS_READ:
        raise ValueError(f"plan format {value['format']}, this flowc reads {PLAN_FORMAT}")
    return Plan(
        system=value["system"],
        events=tuple(_event(e) for e in value["events"]),
        services=tuple(_service(s) for s in value["services"]),
        structs={name: _fields(f) for name, f in value["structs"].items()},
        enums={name: tuple(members) for name, members in value["enums"].items()},
        partitions=value["partitions"],
    )
