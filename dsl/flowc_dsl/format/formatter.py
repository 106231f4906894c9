"""Text in its one canonical layout."""

from __future__ import annotations

from flowc_dsl.format.layout import layout
from flowc_dsl.format.pieces import nodes_of
from flowc_dsl.source import Source
from flowc_dsl.syntax.parser import parse
from flowc_dsl.syntax.tree import Tree


class BrokenTextError(ValueError):
    """The text has syntax errors; they are in `tree.faults`. It is not formatted."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(f"{len(tree.faults)} syntax errors")
        self.tree = tree


def format_text(text: str, path: str = "main.flow") -> str:
    """The canonical layout of a text. Raises `BrokenTextError` if it has syntax errors.

    Every token and every comment of the text is in the answer, in the same order, but for commas
    between the pairs of an object. This is proven of each answer before it is given.
    """
    tree = parse(Source(path, text))
    if tree.faults:
        raise BrokenTextError(tree)
    pieces, root = nodes_of(tree)
    answer = layout(root, pieces)
    after, _ = nodes_of(parse(Source(path, answer)))
    assert [p.text for p in after] == [p.text for p in pieces], "formatting changed a token"
    remarks = [r.text for p in pieces for r in p.remarks]
    assert [r.text for p in after for r in p.remarks] == remarks, "formatting changed a comment"
    return answer


def kept_format(old: str, new: str) -> str:
    """The new text, in the canonical layout if the old one was in it and the new one is sound."""
    try:
        return format_text(new) if format_text(old) == old else new
    except BrokenTextError:
        return new
