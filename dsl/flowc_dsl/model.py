"""What a program means, after names are resolved: frozen values, no text and no I/O.

A `System` is the closure of the files of one program. Every node keeps the `Span` of the name
that a finding about it should point at. References are kept as `Ref` (name and where it was
written); whether a name exists is decided by the passes, and a `System` may hold references to
names that do not exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from flowc_dsl.source import Span

Many = Literal["one", "maybe", "any"]  # `A`, `A?`, `A*`
# What is inside of a list or an object is a `Literal_` again; so written, the decoder of the cache
# can't read the type.
Literal_ = str | int | float | bool | None | tuple[Any, ...] | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ref:
    """A name as it was written somewhere."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class TypeRef:
    """`string`, `decimal(12,2)`, `list<Line>`, `Reason`, each possibly optional (`?`)."""

    name: str  # scalar, "decimal", "list", "map", or the name of a type or enum
    span: Span
    args: tuple[TypeRef, ...] = ()
    precision: int | None = None
    scale: int | None = None
    optional: bool = False

    @property
    def text(self) -> str:
        """The type as its author writes it."""
        text = self.name
        if self.precision is not None:
            text += f"({self.precision},{self.scale or 0})"
        if self.args:
            text += f"<{', '.join(arg.text for arg in self.args)}>"
        return text + "?" * self.optional


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: TypeRef
    span: Span
    pii: bool = False
    deprecated: bool = False
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Upcast:
    from_version: int
    sets: tuple[tuple[Ref, Literal_], ...]
    renames: tuple[tuple[Ref, Ref], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Event:
    """An event or a command."""

    name: str
    span: Span
    kind: Literal["event", "command"] = "event"
    scope: Literal["internal", "plain", "external", "exported"] = "plain"
    version: int = 1
    key: Ref | None = None
    retain_ms: int | None = None
    rate_per_s: float | None = None
    deprecated: bool = False
    fields: tuple[Field, ...] = ()
    upcasts: tuple[Upcast, ...] = ()
    context: str | None = None
    doc: str = ""

    @property
    def external(self) -> bool:
        return self.scope == "external"

    @property
    def exported(self) -> bool:
        return self.scope == "exported"


@dataclass(frozen=True, slots=True)
class Struct:
    name: str
    fields: tuple[Field, ...]
    span: Span
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Enum:
    name: str
    members: tuple[Ref, ...]
    span: Span
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Library:
    name: str
    path: str
    span: Span


@dataclass(frozen=True, slots=True)
class Output:
    """One name on the right of `->`."""

    event: Ref
    many: Many = "one"
    chance: float | None = None  # 0..1


@dataclass(frozen=True, slots=True)
class Retry:
    attempts: int
    backoff_min_ms: int
    backoff_max_ms: int
    then: Literal["park", "drop", "halt"] = "park"
    span: Span | None = None
    says_then: bool = False  # whether `then` is written


@dataclass(frozen=True, slots=True)
class Takes:
    """`takes lognormal(20ms, 5ms)`: a service time for the simulator, in ms."""

    distribution: str
    args_ms: tuple[float, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Handler:
    """`on A | B -> C`, `on X & Y by k -> Z`, `every 5s -> Tick` or `after 15m of A unless B -> C`.

    `outputs` is a conjunction (`,`) of alternatives (`|`): exactly one of each inner tuple is
    emitted.
    """

    kind: Literal["on", "join", "every", "after"]
    span: Span  # the smallest span that names it: its triggers
    triggers: tuple[Ref, ...] = ()
    outputs: tuple[tuple[Output, ...], ...] = ()
    unless: tuple[Ref, ...] = ()
    by: Ref | None = None  # of a join
    period_ms: int | None = None  # of `every` and `after`
    name: Ref | None = None  # `as NAME`
    reads: tuple[Ref, ...] | None = None
    ordered_by: Ref | None = None
    idempotent_by: Ref | None = None
    idempotent: bool = False
    within_ms: int | None = None
    retry: Retry | None = None
    replay: Literal["skip", "safe"] | None = None
    delivery: Literal["all", "latest"] = "all"
    takes: Takes | None = None

    def output_refs(self) -> tuple[Ref, ...]:
        return tuple([o.event for group in self.outputs for o in group])


@dataclass(frozen=True, slots=True)
class Run:
    kind: Literal["python", "exec", "mock"]
    target: str
    span: Span
    speaks: str | None = None


@dataclass(frozen=True, slots=True)
class Store:
    name: str
    span: Span
    engine: str = "sqlite"
    per_partition: bool = False
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    span: Span
    context: str | None = None
    run: Run | None = None
    replicas_min: int = 1
    replicas_max: int = 1
    replicas_span: Span | None = None
    stateless: bool = False
    sees_pii: bool = False
    args: tuple[tuple[str, Literal_, Span], ...] = ()  # `args { … }` and `env { … }`
    stores: tuple[Store, ...] = ()
    store_refs: tuple[Ref, ...] = ()  # `uses store X` of another service's store, as written
    uses: tuple[Ref, ...] = ()
    handlers: tuple[Handler, ...] = ()
    doc: str = ""
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    name: str
    span: Span
    owner: str | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Law:
    """`forbid A reaches B [via V]`, `require A reaches B`, `limit WHAT N`."""

    kind: Literal["forbid", "require", "limit"]
    span: Span
    source: Ref | None = None
    target: Ref | None = None
    via: Ref | None = None
    measure: str | None = None  # fan_out, depth, exchange
    bound: int | None = None


@dataclass(frozen=True, slots=True)
class Exemption:
    """`allow CODE on NAME because "…" until DATE`."""

    code: Ref
    subject: Ref
    reason: str
    span: Span
    until: str | None = None  # ISO date


@dataclass(frozen=True, slots=True)
class Expect:
    """A property that every run has to keep.

    - `leads_to`: each event of `events` is followed by one of `targets`, within `within_ms`;
    - `at_most`: no more than `bound` of `events`, in any `within_ms` if there is one;
    - `never_with`: an event of `events` and one of `targets` don't both happen, or not within
      `within_ms` of each other.

    With `by`, each value of that field stands for itself; without it the whole system does.
    """

    name: str
    span: Span
    form: Literal["leads_to", "at_most", "never_with"]
    events: tuple[Ref, ...]  # the subject
    targets: tuple[Ref, ...] = ()  # alternatives on the right; empty for `at_most`
    bound: int | None = None  # of `at_most`
    within_ms: int | None = None
    by: Ref | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """`load A 200/s for 10m`; without `for` it lasts as long as its scenario."""

    event: Ref
    rate_per_s: float
    span: Span
    for_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """`crash A every 3m for 30s` or `partition A at 4m for 1m`.

    It begins `at_ms` after the start and again `every_ms`, and lasts `for_ms`; what is None was
    not said.
    """

    service: Ref
    span: Span
    at_ms: int | None = None
    every_ms: int | None = None
    for_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load, what goes wrong under it, and the expectations that hold nevertheless."""

    name: str
    span: Span
    loads: tuple[Load, ...] = ()
    crashes: tuple[Outage, ...] = ()
    partitions: tuple[Outage, ...] = ()
    duplicate: float = 0.0  # the chance of a delivery to come twice, 0..1
    checks: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """An event with some of its fields, as JSON that `flowc emit` takes: a `decimal` is its text,
    an enum member its name, a map is an object.

    `given` and `stub` have the other fields made up; `then` and `never` match any value of them.
    """

    event: Ref
    values: dict[str, Literal_] = field(default_factory=dict)
    fields: tuple[Ref, ...] = ()  # where the names in `values` are written
    within_ms: int | None = None  # of a `then`


@dataclass(frozen=True, slots=True)
class Stub:
    """`stub Payments -> A { … }, B { … }`: what a service answers, in place of its code."""

    service: Ref
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Test:
    name: str
    span: Span
    given: tuple[Sample, ...] = ()
    stubs: tuple[Stub, ...] = ()
    then: tuple[Sample, ...] = ()
    never: tuple[Sample, ...] = ()

    def samples(self) -> tuple[Sample, ...]:
        """All of them: `given`, those of the stubs, `then` and `never`."""
        stubbed = tuple(sample for stub in self.stubs for sample in stub.samples)
        return (*self.given, *stubbed, *self.then, *self.never)


@dataclass(frozen=True, slots=True)
class System:
    name: str
    span: Span
    files: tuple[str, ...] = ()
    types: dict[str, Struct] = field(default_factory=dict)
    enums: dict[str, Enum] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    libraries: dict[str, Library] = field(default_factory=dict)
    contexts: dict[str, Context] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    laws: tuple[Law, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    expects: tuple[Expect, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    tests: tuple[Test, ...] = ()

    def owner_of(self, service: Service) -> str | None:
        """The team of a service: its own, or that of its context."""
        context = self.contexts.get(service.context or "")
        return service.owner or (context.owner if context else None)
