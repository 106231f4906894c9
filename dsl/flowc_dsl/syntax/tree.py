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

from flowc_dsl.record import Record
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


class Node(Record):
    start: int
    end: int


class Broken(Node):
    """Text that was given up on."""


# ---- names and literals


class Name(Node):
    """A name as written; "" where it is missing. A quoted key of an object is one, too."""

    text: str


class Text(Node):
    """A string: `value` is what it means, escapes undone."""

    value: str


class Number(Node):
    text: str


class Duration(Node):
    """`1.5s`"""

    text: str


class Frequency(Node):
    """`500/s`"""

    text: str


class Percent(Node):
    """`2%`"""

    text: str


class Date(Node):
    """`2027-01-31`"""

    text: str


class Constant(Node):
    """`true`, `false` or `null`."""

    text: str


class Word(Node):
    """A bare word as a value: a member of an enum."""

    text: str


class Pair(Node):
    key: Name
    value: Value


class ObjectValue(Node):
    """`{ sku: "A-1"  qty: 2 }`; commas between pairs are allowed."""

    pairs: tuple[Pair, ...]


class ListValue(Node):
    items: tuple[Value, ...]


Value = (
    Text
    | Number
    | Duration
    | Frequency
    | Percent
    | Date
    | Constant
    | Word
    | ObjectValue
    | ListValue
)


# ---- declarations of data


class System(Node):
    name: Name


class Import(Node):
    path: Text


class Library(Node):
    name: Name
    path: Text


class Enum(Node):
    name: Name
    members: tuple[Name | Broken, ...]


class Type(Node):
    """`list<Line>?` has `args`, `decimal(12,2)` has `bounds`."""

    name: Name
    args: tuple[Type, ...]
    bounds: tuple[Number, ...]
    optional: bool


class Field(Node):
    """`name: type @pii`; an annotation's name has no `@`, its span has."""

    name: Name
    type: Type
    annotations: tuple[Name, ...]


class Struct(Node):
    """`type Line { … }`"""

    name: Name
    fields: tuple[Field | Broken, ...]


class Version(Node):
    """`v2`"""

    text: str


class Key(Node):
    name: Name


class Retain(Node):
    duration: Duration


class Rate(Node):
    frequency: Frequency


class Deprecated(Node):
    pass


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
    names: tuple[Name, ...]


class Ordered(Node):
    by: Name


class Idempotent(Node):
    by: Name | None


class Within(Node):
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
    what: Name


class Delivery(Node):
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
    pass


class StoreEngine(Node):
    name: Name


class StorePerPartition(Node):
    pass


class StorePath(Node):
    path: Text


class Store(Node):
    name: Name
    clauses: tuple[StoreEngine | StorePerPartition | StorePath, ...]


class UseStore(Node):
    """`uses store NAME`"""

    name: Name


class Uses(Node):
    names: tuple[Name | UseStore, ...]


class Sees(Node):
    what: Name


class Args(Node):
    value: ObjectValue


class Env(Node):
    value: ObjectValue


Handler = On | Join | Every | After
ServiceItem = Run | Replicas | Stateless | Store | Uses | Sees | Args | Env | Handler | Broken


class Service(Node):
    name: Name
    owner: Text | None
    items: tuple[ServiceItem, ...]


class Context(Node):
    name: Name
    owner: Text | None
    members: tuple[Enum | Struct | Library | Event | Service | Broken, ...]


# ---- properties, rules, scenarios, tests


class By(Node):
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
    name: Name
    body: LeadsTo | AtMost | NeverWith


class Reach(Node):
    """`forbid A reaches B via V` or `require …`"""

    kind: Literal["forbid", "require"]
    source: Name
    target: Name
    via: Name | None


class Limit(Node):
    measure: Name
    bound: Number


class Allow(Node):
    """`allow CODE on NAME because "…" until DATE`"""

    code: Name
    subject: Name
    because: Text | None
    until: Date | None


class Rules(Node):
    laws: tuple[Reach | Limit | Allow | Broken, ...]


class Timing(Node):
    """`every 3m`, `at 4m` or `for 30s`"""

    kind: Literal["every", "at", "for"]
    duration: Duration


class Load(Node):
    event: Name
    frequency: Frequency
    length: Timing | None


class Outage(Node):
    """`crash X every 3m for 30s` or `partition X at 4m for 1m`"""

    kind: Literal["crash", "partition"]
    service: Name
    timings: tuple[Timing, ...]


class Duplicate(Node):
    percent: Percent


class Check(Node):
    names: tuple[Name, ...]


class Scenario(Node):
    name: Name
    steps: tuple[Load | Outage | Duplicate | Check | Broken, ...]


class Sample(Node):
    """`A { reason: DECLINED }`"""

    event: Name
    value: ObjectValue | None


class Given(Node):
    sample: Sample


class Stub(Node):
    service: Name
    samples: tuple[Sample, ...]


class Then(Node):
    sample: Sample
    within: Within | None


class Never(Node):
    sample: Sample


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
        return Span(self.source.path, node.start, node.end)

    def imports(self) -> tuple[Import, ...]:
        return tuple(item for item in self.items if isinstance(item, Import))
