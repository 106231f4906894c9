"""Names, literals, types and fields; `tree` has all nodes, these included."""

from __future__ import annotations

from flowc_dsl.record import Record


class Node(Record):
    """A part of the text, from `start` to `end`."""

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
    """`12`, `-1.5`, `2e3`"""

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
    """`sku: "A-1"`"""

    key: Name
    value: Value


class ObjectValue(Node):
    """`{ sku: "A-1"  qty: 2 }`; commas between pairs are allowed."""

    pairs: tuple[Pair, ...]


class ListValue(Node):
    """`[1, 2]`"""

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
