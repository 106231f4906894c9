"""Clauses that may stand once, and words of which a clause knows a few."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from flowc_dsl.cutting import cut_again
from flowc_dsl.lower.faults import Repeated, UnknownOption
from flowc_dsl.lower.work import Work
from flowc_dsl.syntax import tree as t

_SPELLING: Final[dict[type[t.Node], str]] = {
    t.Version: "a version",
    t.Emits: "`->`",
    t.Alias: "`as`",
    t.Ordered: "`ordered by`",
    t.StoreEngine: "`engine`",
    t.StorePerPartition: "`per partition`",
    t.StorePath: "`path`",
}


def once(work: Work, tree: t.Tree, clauses: Iterable[t.Node], owner: str) -> dict[Any, Any]:
    """The first clause of each kind, by its node class; the others are reported."""
    found: dict[type[t.Node], t.Node] = {}
    for clause in clauses:
        kind = type(clause)
        first = found.setdefault(kind, clause)
        if first is not clause:
            spans = tree.span(first), tree.span(clause)
            cut = cut_again(tree.source, *spans)
            work.report(Repeated(spans[1], spelling(kind), owner, spans[0], cut))
    return found


def spelling(kind: type[t.Node]) -> str:
    """A kind of clause as its author writes it."""
    return _SPELLING.get(kind, f"`{kind.__name__.lower()}`")


def option(work: Work, tree: t.Tree, name: t.Name, clause: str, options: tuple[str, ...]) -> str:
    """The word, if the clause knows it; else a fault, and the first option."""
    if name.text in options:
        return name.text
    if name.text:
        near = work.nearest(name.text, options)
        work.report(UnknownOption(tree.span(name), name.text, clause, options, near))
    return options[0]
