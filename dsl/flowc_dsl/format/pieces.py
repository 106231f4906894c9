"""The tokens of a tree, each with the comments before it, and its nodes as ranges of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flowc_dsl.syntax import tree as t


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment. `own_line`: no token before it on its line. `blank`: an empty line before it."""

    text: str
    own_line: bool
    blank: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A token; `remarks` are the comments since the token before, `blank` an empty line before it.

    `fresh`: it stands on another line than the token before it. The last piece is empty: the end.
    """

    text: str
    remarks: tuple[Remark, ...] = ()
    blank: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A construct: the pieces `first` to `last` (inclusive), and the constructs in it, in order.

    `rule` is the name of the tree's class.
    """

    rule: str
    first: int
    last: int
    children: tuple[Node, ...] = ()


def nodes_of(tree: t.Tree) -> tuple[list[Piece], Node]:
    """The pieces of a tree without faults, and its root. Commas between pairs are left out."""
    commas = set(_commas(tree))
    pieces: list[Piece] = []
    numbers: dict[int, int] = {}  # of pieces, by where they start and end
    remarks: list[Remark] = []
    lines = 1  # new lines since the last token or comment; the text begins a line
    fresh = False
    at = 0
    for text, start, comment in _everything(tree):
        lines += tree.source.text.count("\n", at, start)
        fresh = fresh or lines > 0
        at = start + len(text)
        if comment:
            remarks.append(Remark(text.rstrip(), lines > 0, lines > 1))
        elif start not in commas:
            numbers[start] = numbers[-at] = len(pieces)
            pieces.append(Piece(text, tuple(remarks), lines > 1, fresh))
            remarks, fresh = [], False
        lines = 0
    lines = tree.source.text.count("\n", at)
    pieces.append(Piece("", tuple(remarks), lines > 1, fresh=True))
    return pieces, Node("Tree", 0, len(pieces) - 1, tuple(_node(i, numbers) for i in tree.items))


def _everything(tree: t.Tree) -> Iterator[tuple[str, int, bool]]:
    """Text, start, and whether it is a comment, of all tokens and comments in order."""
    tokens = [(token.start, token.text, False) for token in tree.tokens]
    comments = [(comment.start, comment.text, True) for comment in tree.comments]
    for start, text, comment in sorted([*tokens, *comments]):
        yield text, start, comment


def _commas(tree: t.Tree) -> Iterator[int]:
    """Where the commas between the pairs of objects are."""
    commas = [token.start for token in tree.tokens if token.text == ","]
    if not commas:
        return
    for value in _objects(tree.items):
        ends = [*(pair.start for pair in value.pairs[1:]), value.end]
        for pair, end in zip(value.pairs, ends, strict=False):  # no pairs, no commas
            yield from commas[bisect_left(commas, pair.end) : bisect_left(commas, end)]


def _objects(nodes: Iterable[t.Node]) -> Iterator[t.ObjectValue]:
    for node in nodes:
        if isinstance(node, t.ObjectValue):
            yield node
        yield from _objects(_children(node))


def _children(node: t.Node) -> list[t.Node]:
    found: list[t.Node] = []
    for name in node.__match_args__:
        value = getattr(node, name)
        for part in value if isinstance(value, tuple) else (value,):
            found += [part] if isinstance(part, t.Node) else []
    return sorted(found, key=lambda part: part.start)


def _node(node: t.Node, numbers: dict[int, int]) -> Node:
    children = tuple(_node(child, numbers) for child in _children(node))
    return Node(type(node).__name__, numbers[node.start], numbers[-node.end], children)
