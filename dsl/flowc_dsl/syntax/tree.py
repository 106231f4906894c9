"""The syntax tree: what is written in one file, with the place of everything.

A tree always comes back, also from broken text: an item that could not be understood is a `Broken`, and a
name that is missing is a `Name` with an empty text. Nothing is judged here: clauses may be
repeated or contradict each other.

Each node covers the code points `start` to `end` of the file (from its first token to its last; no comments
around it). What the nodes leave out is in `Tree.tokens` (every token in order, as it is
written) and `Tree.comments` (every comment, in order). Together with the spaces between them they are the text.
A `///` comment documents the node that begins at the next token: `Tree.doc(node)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from flowc_dsl.source import Source, Span

if TYPE_CHECKING:
    from flowc_dsl.syntax.faults import SyntaxFault


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


@dataclass(frozen=True, slots=True)
class Node:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Broken(Node):
    """Text that was given up on."""


# ---- names and literals


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A name as written; "" where it is missing. A quoted key of an object is one, too."""

    text: str


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A string: `value` is what it means, escapes undone."""

    value: str


@dataclass(frozen=True, slots=True)
class Number(Node):
    text: str


@dataclass(frozen=True, slots=True)
class Duration(Node):
    """`1.5s`"""

    text: str


@dataclass(frozen=True, slots=True)
class Frequency(Node):
    """`500/s`"""

    text: str


@dataclass(frozen=True, slots=True)
class Percent(Node):
    """`2%`"""

    text: str


@dataclass(frozen=True, slots=True)
class Date(Node):
    """`2027-01-31`"""

    text: str


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """`true`, `false` or `null`."""

    text: str


@dataclass(frozen=True, slots=True)
class Word(Node):
    """A bare word as a value: a member of an enum."""

    text: str


@dataclass(frozen=True, slots=True)
class Pair(Node):
    key: Name
    value: Value


@dataclass(frozen=True, slots=True)
class ObjectValue(Node):
    """`{ sku: "A-1"  qty: 2 }`; commas between pairs are allowed."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class ListValue(Node):
    items: tuple[Value, ...]


Value = (
    Text | Number | Duration | Frequency | Percent | Date | Constant | Word | ObjectValue | ListValue
)


# ---- declarations of data


@dataclass(frozen=True, slots=True)
class System(Node):
    name: Name


@dataclass(frozen=True, slots=True)
class Import(Node):
    path: Text


@dataclass(frozen=True, slots=True)
class Library(Node):
    name: Name
    path: Text


@dataclass(frozen=True, slots=True)
class Enum(Node):
    name: Name
    members: tuple[Name | Broken, ...]


@dataclass(frozen=True, slots=True)
class Type(Node):
    """`list<Line>?` has `args`, `decimal(12,2)` has `bounds`."""

    name: Name
    args: tuple[Type, ...]
    bounds: tuple[Number, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Field(Node):
    """`name: type @pii`; an annotation's name has no `@`, its span has."""

    name: Name
    type: Type
    annotations: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Struct(Node):
    """`type Line { … }`"""

    name: Name
    fields: tuple[Field | Broken, ...]


@dataclass(frozen=True, slots=True)
class Version(Node):
    """`v2`"""

    text: str


@dataclass(frozen=True, slots=True)
class Key(Node):
    name: Name


@dataclass(frozen=True, slots=True)
class Retain(Node):
    duration: Duration


@dataclass(frozen=True, slots=True)
class Rate(Node):
    frequency: Frequency


@dataclass(frozen=True, slots=True)
class Deprecated(Node):
    pass


EventClause = Version | Key | Retain | Rate | Deprecated


@dataclass(frozen=True, slots=True)
class UpcastSet(Node):
    """`coupon = null`"""

    name: Name
    value: Value


@dataclass(frozen=True, slots=True)
class UpcastRename(Node):
    """`rename amount to total`"""

    old: Name
    new: Name


@dataclass(frozen=True, slots=True)
class Upcast(Node):
    version: Version
    steps: tuple[UpcastSet | UpcastRename | Broken, ...]


@dataclass(frozen=True, slots=True)
class Event(Node):
    """`scope` is `external`, `exported`, `internal` or None; `kind` is `event` or `command`."""

    scope: Name | None
    kind: Name
    name: Name
    clauses: tuple[EventClause, ...]
    body: tuple[Field | Upcast | Broken, ...]


# ---- handlers


@dataclass(frozen=True, slots=True)
class Output(Node):
    name: Name
    many: Literal["one", "maybe", "any"]
    chance: Percent | None


@dataclass(frozen=True, slots=True)
class OneOf(Node):
    """`A | B?`"""

    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Emits(Node):
    """`-> A | B, C`"""

    groups: tuple[OneOf, ...]


@dataclass(frozen=True, slots=True)
class Alias(Node):
    """`as NAME`"""

    name: Name


@dataclass(frozen=True, slots=True)
class Reads(Node):
    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Ordered(Node):
    by: Name


@dataclass(frozen=True, slots=True)
class Idempotent(Node):
    by: Name | None


@dataclass(frozen=True, slots=True)
class Within(Node):
    duration: Duration


@dataclass(frozen=True, slots=True)
class Backoff(Node):
    """`backoff 100ms to 2s`"""

    low: Duration
    high: Duration | None


@dataclass(frozen=True, slots=True)
class Retry(Node):
    """`retry 5 backoff 100ms to 2s then park`"""

    attempts: Number
    backoff: Backoff | None
    then: Name | None


@dataclass(frozen=True, slots=True)
class Replay(Node):
    what: Name


@dataclass(frozen=True, slots=True)
class Delivery(Node):
    what: Name


@dataclass(frozen=True, slots=True)
class Takes(Node):
    """`takes lognormal(20ms, 5ms)`"""

    distribution: Name
    args: tuple[Duration, ...]


HandlerClause = (
    Emits | Alias | Reads | Ordered | Idempotent | Within | Retry | Replay | Delivery | Takes
)


@dataclass(frozen=True, slots=True)
class On(Node):
    """`on A | B …`"""

    triggers: tuple[Name, ...]
    clauses: tuple[HandlerClause, ...]


@dataclass(frozen=True, slots=True)
class Join(Node):
    """`on X & Y by k …`"""

    triggers: tuple[Name, ...]
    by: Name
    clauses: tuple[HandlerClause, ...]


@dataclass(frozen=True, slots=True)
class Every(Node):
    period: Duration
    clauses: tuple[HandlerClause, ...]


@dataclass(frozen=True, slots=True)
class After(Node):
    """`after 15m of A unless B | C …`"""

    delay: Duration
    event: Name
    unless: tuple[Name, ...]
    clauses: tuple[HandlerClause, ...]


# ---- services


@dataclass(frozen=True, slots=True)
class Run(Node):
    """`run exec "node app.js" speaks jsonl`"""

    kind: Name
    target: Text | None
    speaks: Name | None


@dataclass(frozen=True, slots=True)
class Replicas(Node):
    """`replicas 2` or `replicas 1 to 4`"""

    low: Number
    high: Number | None


@dataclass(frozen=True, slots=True)
class Stateless(Node):
    pass


@dataclass(frozen=True, slots=True)
class StoreEngine(Node):
    name: Name


@dataclass(frozen=True, slots=True)
class StorePerPartition(Node):
    pass


@dataclass(frozen=True, slots=True)
class StorePath(Node):
    path: Text


@dataclass(frozen=True, slots=True)
class Store(Node):
    name: Name
    clauses: tuple[StoreEngine | StorePerPartition | StorePath, ...]


@dataclass(frozen=True, slots=True)
class UseStore(Node):
    """`uses store NAME`"""

    name: Name


@dataclass(frozen=True, slots=True)
class Uses(Node):
    names: tuple[Name | UseStore, ...]


@dataclass(frozen=True, slots=True)
class Sees(Node):
    what: Name


@dataclass(frozen=True, slots=True)
class Args(Node):
    value: ObjectValue


@dataclass(frozen=True, slots=True)
class Env(Node):
    value: ObjectValue


Handler = On | Join | Every | After
ServiceItem = Run | Replicas | Stateless | Store | Uses | Sees | Args | Env | Handler | Broken


@dataclass(frozen=True, slots=True)
class Service(Node):
    name: Name
    owner: Text | None
    items: tuple[ServiceItem, ...]


@dataclass(frozen=True, slots=True)
class Context(Node):
    name: Name
    owner: Text | None
    members: tuple[Enum | Struct | Library | Event | Service | Broken, ...]


# ---- properties, rules, scenarios, tests


@dataclass(frozen=True, slots=True)
class By(Node):
    name: Name


@dataclass(frozen=True, slots=True)
class LeadsTo(Node):
    """`A leads to B | C within 1h by k`"""

    event: Name
    to: tuple[Name, ...]
    clauses: tuple[Within | By, ...]


@dataclass(frozen=True, slots=True)
class AtMost(Node):
    """`at most 1 A by k`"""

    count: Number
    event: Name
    clauses: tuple[Within | By, ...]


@dataclass(frozen=True, slots=True)
class NeverWith(Node):
    """`never A with B by k`"""

    event: Name
    other: Name
    clauses: tuple[Within | By, ...]


@dataclass(frozen=True, slots=True)
class Expect(Node):
    name: Name
    body: LeadsTo | AtMost | NeverWith


@dataclass(frozen=True, slots=True)
class Reach(Node):
    """`forbid A reaches B via V` or `require …`"""

    kind: Literal["forbid", "require"]
    source: Name
    target: Name
    via: Name | None


@dataclass(frozen=True, slots=True)
class Limit(Node):
    measure: Name
    bound: Number


@dataclass(frozen=True, slots=True)
class Allow(Node):
    """`allow CODE on NAME because "…" until DATE`"""

    code: Name
    subject: Name
    because: Text | None
    until: Date | None


@dataclass(frozen=True, slots=True)
class Rules(Node):
    laws: tuple[Reach | Limit | Allow | Broken, ...]


@dataclass(frozen=True, slots=True)
class Timing(Node):
    """`every 3m`, `at 4m` or `for 30s`"""

    kind: Literal["every", "at", "for"]
    duration: Duration


@dataclass(frozen=True, slots=True)
class Load(Node):
    event: Name
    frequency: Frequency
    length: Timing | None


@dataclass(frozen=True, slots=True)
class Outage(Node):
    """`crash X every 3m for 30s` or `partition X at 4m for 1m`"""

    kind: Literal["crash", "partition"]
    service: Name
    timings: tuple[Timing, ...]


@dataclass(frozen=True, slots=True)
class Duplicate(Node):
    percent: Percent


@dataclass(frozen=True, slots=True)
class Check(Node):
    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Scenario(Node):
    name: Name
    steps: tuple[Load | Outage | Duplicate | Check | Broken, ...]


@dataclass(frozen=True, slots=True)
class Sample(Node):
    """`A { reason: DECLINED }`"""

    event: Name
    value: ObjectValue | None


@dataclass(frozen=True, slots=True)
class Given(Node):
    sample: Sample


@dataclass(frozen=True, slots=True)
class Stub(Node):
    service: Name
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Then(Node):
    sample: Sample
    within: Within | None


@dataclass(frozen=True, slots=True)
class Never(Node):
    sample: Sample


@dataclass(frozen=True, slots=True)
class Test(Node):
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
    """One file. `faults` are the syntax errors; without any, no node is `Broken` or has a missing name."""

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
        return Span(self.source.path, node.start, node.end)

    def imports(self) -> tuple[Import, ...]:
        return tuple(item for item in self.items if isinstance(item, Import))
