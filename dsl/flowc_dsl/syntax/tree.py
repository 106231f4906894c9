"""The syntax tree: what is written in one file, with the place of everything.

A tree always comes back, also from broken text: an item that could not be understood is a
`Broken`, and a name that is missing is a `Name` with an empty text. Nothing is judged here:
clauses may be repeated or contradict each other.

Each node covers the code points `start` to `end` of the file (from its first token to its last;
no comments around it). What the nodes leave out is in `Tree.tokens` (every token in order, as it
is written) and `Tree.comments` (every comment, in order). Together with the spaces between them
they are the text. A `///` comment documents the node that begins at the next token:
`Tree.doc(node)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from flowc_dsl.source import Source, Span
from flowc_dsl.syntax.values import (
    Broken,
    Constant,
    Date,
    Duration,
    Field,
    Frequency,
    ListValue,
    Name,
    Node,
    Number,
    ObjectValue,
    Pair,
    Percent,
    Text,
    Type,
    Value,
    Word,
)

if TYPE_CHECKING:
    from flowc_dsl.syntax.faults import SyntaxFault

__all__ = [
    "After", "Alias", "Allow", "Args", "AtMost", "Backoff", "Broken", "By", "Check", "Comment",
    "Constant", "Context", "Date", "Delivery", "Deprecated", "Duplicate", "Duration", "Emits",
    "Enum", "Env", "Event", "EventClause", "Every", "Expect", "Field", "Frequency", "Given",
    "Handler", "HandlerClause", "Idempotent", "Import", "Item", "Join", "Key", "LeadsTo",
    "Library", "Limit", "ListValue", "Load", "Name", "Never", "NeverWith", "Node", "Number",
    "ObjectValue", "On", "OneOf", "Ordered", "Outage", "Output", "Pair", "Percent", "Rate",
    "Reach", "Reads", "Replay", "Replicas", "Retain", "Retry", "Rules", "Run", "Sample",
    "Scenario", "Sees", "Service", "ServiceItem", "Stateless", "Store", "StoreEngine",
    "StorePath", "StorePerPartition", "Struct", "Stub", "System", "Takes", "Test", "Text",
    "Then", "Timing", "Token", "Tree", "Type", "Upcast", "UpcastRename", "UpcastSet",
    "UseStore", "Uses", "Value", "Version", "Within", "Word",
]  # fmt: skip


class Token(NamedTuple):
    """`kind` is the terminal's name in the grammar: NAME, LABEL, EVENT, LBRACE, …"""

    kind: str
    text: str
    start: int
    end: int


class Comment(NamedTuple):
    """From `//` to before the line's end. `doc` tells `///` from others; `text` has the slashes."""

    text: str
    start: int
    end: int
    doc: bool


# ---- declarations of data


class System(Node):
    """`system Shop`"""

    name: Name


class Import(Node):
    """`import "types/money.flow"`"""

    path: Text


class Library(Node):
    """`library pricing "libs/pricing"`"""

    name: Name
    path: Text


class Enum(Node):
    """`enum Reason { DECLINED EXPIRED }`"""

    name: Name
    members: tuple[Name | Broken, ...]


class Struct(Node):
    """`type Line { … }`"""

    name: Name
    fields: tuple[Field | Broken, ...]


class Version(Node):
    """`v2`"""

    text: str


class Key(Node):
    """`key order_id`"""

    name: Name


class Retain(Node):
    """`retain 30d`"""

    duration: Duration


class Rate(Node):
    """`rate 500/s`"""

    frequency: Frequency


class Deprecated(Node):
    """`deprecated`"""


EventClause = Version | Key | Retain | Rate | Deprecated


class UpcastSet(Node):
    """`coupon = null`"""

    name: Name
    value: Value


class UpcastRename(Node):
    """`rename amount to total`"""

    old: Name
    new: Name


class Upcast(Node):
    """`upcast v1 { … }`"""

    version: Version
    steps: tuple[UpcastSet | UpcastRename | Broken, ...]


class Event(Node):
    """`scope` is `external`, `exported`, `internal` or None; `kind` is `event` or `command`."""

    scope: Name | None
    kind: Name
    name: Name
    clauses: tuple[EventClause, ...]
    body: tuple[Field | Upcast | Broken, ...]


# ---- handlers


class Output(Node):
    """`A? chance 2%`"""

    name: Name
    many: Literal["one", "maybe", "any"]
    chance: Percent | None


class OneOf(Node):
    """`A | B?`"""

    outputs: tuple[Output, ...]


class Emits(Node):
    """`-> A | B, C`"""

    groups: tuple[OneOf, ...]


class Alias(Node):
    """`as NAME`"""

    name: Name


class Reads(Node):
    """`reads a, b`"""

    names: tuple[Name, ...]


class Ordered(Node):
    """`ordered by k`"""

    by: Name


class Idempotent(Node):
    """`idempotent` or `idempotent by k`"""

    by: Name | None


class Within(Node):
    """`within 10s`"""

    duration: Duration


class Backoff(Node):
    """`backoff 100ms to 2s`"""

    low: Duration
    high: Duration | None


class Retry(Node):
    """`retry 5 backoff 100ms to 2s then park`"""

    attempts: Number
    backoff: Backoff | None
    then: Name | None


class Replay(Node):
    """`replay skip`"""

    what: Name


class Delivery(Node):
    """`delivery latest`"""

    what: Name


class Takes(Node):
    """`takes lognormal(20ms, 5ms)`"""

    distribution: Name
    args: tuple[Duration, ...]


HandlerClause = (
    Emits | Alias | Reads | Ordered | Idempotent | Within | Retry | Replay | Delivery | Takes
)


class On(Node):
    """`on A | B …`"""

    triggers: tuple[Name, ...]
    clauses: tuple[HandlerClause, ...]


class Join(Node):
    """`on X & Y by k …`"""

    triggers: tuple[Name, ...]
    by: Name
    clauses: tuple[HandlerClause, ...]


class Every(Node):
    """`every 5s …`"""

    period: Duration
    clauses: tuple[HandlerClause, ...]


class After(Node):
    """`after 15m of A unless B | C …`"""

    delay: Duration
    event: Name
    unless: tuple[Name, ...]
    clauses: tuple[HandlerClause, ...]


# ---- services


class Run(Node):
    """`run exec "node app.js" speaks jsonl`"""

    kind: Name
    target: Text | None
    speaks: Name | None


class Replicas(Node):
    """`replicas 2` or `replicas 1 to 4`"""

    low: Number
    high: Number | None


class Stateless(Node):
    """`stateless`"""


class StoreEngine(Node):
    """`engine sqlite`"""

    name: Name


class StorePerPartition(Node):
    """`per partition`"""


class StorePath(Node):
    """`path "data/orders.db"`"""

    path: Text


class Store(Node):
    """`store orders_db …`"""

    name: Name
    clauses: tuple[StoreEngine | StorePerPartition | StorePath, ...]


class UseStore(Node):
    """`uses store NAME`"""

    name: Name


class Uses(Node):
    """`uses pricing, store orders_db`"""

    names: tuple[Name | UseStore, ...]


class Sees(Node):
    """`sees pii`"""

    what: Name


class Args(Node):
    """`args { … }`"""

    value: ObjectValue


class Env(Node):
    """`env { … }`"""

    value: ObjectValue


Handler = On | Join | Every | After
ServiceItem = Run | Replicas | Stateless | Store | Uses | Sees | Args | Env | Handler | Broken


class Service(Node):
    """`service Stock owner "team-ops" { … }`"""

    name: Name
    owner: Text | None
    items: tuple[ServiceItem, ...]


class Context(Node):
    """`context Sales owner "team-sales" { … }`"""

    name: Name
    owner: Text | None
    members: tuple[Enum | Struct | Library | Event | Service | Broken, ...]


# ---- properties, rules, scenarios, tests


class By(Node):
    """`by order_id`"""

    name: Name


class LeadsTo(Node):
    """`A leads to B | C within 1h by k`"""

    event: Name
    to: tuple[Name, ...]
    clauses: tuple[Within | By, ...]


class AtMost(Node):
    """`at most 1 A by k`"""

    count: Number
    event: Name
    clauses: tuple[Within | By, ...]


class NeverWith(Node):
    """`never A with B by k`"""

    event: Name
    other: Name
    clauses: tuple[Within | By, ...]


class Expect(Node):
    """`expect paid_once: …`"""

    name: Name
    body: LeadsTo | AtMost | NeverWith


class Reach(Node):
    """`forbid A reaches B via V` or `require …`"""

    kind: Literal["forbid", "require"]
    source: Name
    target: Name
    via: Name | None


class Limit(Node):
    """`limit fan_out 5`"""

    measure: Name
    bound: Number


class Allow(Node):
    """`allow CODE on NAME because "…" until DATE`"""

    code: Name
    subject: Name
    because: Text | None
    until: Date | None


class Rules(Node):
    """`rules { … }`"""

    laws: tuple[Reach | Limit | Allow | Broken, ...]


class Timing(Node):
    """`every 3m`, `at 4m` or `for 30s`"""

    kind: Literal["every", "at", "for"]
    duration: Duration


class Load(Node):
    """`load A 200/s for 10m`"""

    event: Name
    frequency: Frequency
    length: Timing | None


class Outage(Node):
    """`crash X every 3m for 30s` or `partition X at 4m for 1m`"""

    kind: Literal["crash", "partition"]
    service: Name
    timings: tuple[Timing, ...]


class Duplicate(Node):
    """`duplicate 1%`"""

    percent: Percent


class Check(Node):
    """`check settled, paid_once`"""

    names: tuple[Name, ...]


class Scenario(Node):
    """`scenario black_friday { … }`"""

    name: Name
    steps: tuple[Load | Outage | Duplicate | Check | Broken, ...]


class Sample(Node):
    """`A { reason: DECLINED }`"""

    event: Name
    value: ObjectValue | None


class Given(Node):
    """`given A { … }`"""

    sample: Sample


class Stub(Node):
    """`stub Payments -> A { … }, B { … }`"""

    service: Name
    samples: tuple[Sample, ...]


class Then(Node):
    """`then A { … } within 5s`"""

    sample: Sample
    within: Within | None


class Never(Node):
    """`never A { … }`"""

    sample: Sample


class Test(Node):
    """`test "declined card cancels the order" { … }`"""

    title: Text
    steps: tuple[Given | Stub | Then | Never | Broken, ...]


Item = (
    System
    | Import
    | Enum
    | Struct
    | Library
    | Event
    | Context
    | Service
    | Expect
    | Rules
    | Scenario
    | Test
    | Broken
)


@dataclass(frozen=True)
class Tree:
    """One file.

    `faults` are the syntax errors; without any, no node is `Broken` or has a missing name.
    """

    source: Source
    items: tuple[Item, ...]
    comments: tuple[Comment, ...]
    faults: tuple[SyntaxFault, ...] = ()
    raw_tokens: Sequence[tuple[str, str, int]] = field(default=(), repr=False)
    docs: dict[int, str] = field(default_factory=dict, repr=False)

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """Every token as it is written, in order; no comments, no end mark."""
        return tuple(Token(k, text, s, s + len(text)) for k, text, s in self.raw_tokens)

    def doc(self, node: Node) -> str:
        """The `///` lines right before a node, without slashes; "" if there are none."""
        return self.docs.get(node.start, "")

    def span(self, node: Node) -> Span:
        """Where a node stands, with its file."""
        return Span(self.source.path, node.start, node.end)

    def imports(self) -> tuple[Import, ...]:
        """The imports, in order."""
        return tuple(item for item in self.items if isinstance(item, Import))
