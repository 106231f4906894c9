"""What breaks where, for each construct.

A block stays on one line if it was on one line and fits; else each of its items has a line.
Anything else goes on one line if it fits, and breaks at its clauses, `|` and commas if not. Empty
lines between items are kept, one at most; a declaration of several lines has one on either side.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowc_dsl.format.doc import (
    INDENT_CHARS,
    Comment,
    Doc,
    Hard,
    Line,
    Nest,
    group,
    must_break,
    render,
    row,
)
from flowc_dsl.format.pieces import Node, Piece

ITEM_GAP = "  "  # between items on one line: what ends where is not marked otherwise
# Blocks, with what stands between their items on one line.
BLOCKS = {
    "Enum": " ",
    "Struct": ITEM_GAP,
    "Event": ITEM_GAP,
    "Upcast": ITEM_GAP,
    "Service": ITEM_GAP,
    "Rules": ITEM_GAP,
    "Scenario": ITEM_GAP,
    "Test": ITEM_GAP,
    "ObjectValue": " ",
}
HANDLERS = frozenset({"On", "Join", "Every", "After"})
LEAD_CLAUSES = frozenset({"Emits", "Alias"})  # at the head of the clauses, they join the first line
CLAUSES = LEAD_CLAUSES | frozenset(
    ("Reads", "Ordered", "Idempotent", "Within", "Retry", "Replay", "Delivery", "Takes")
)
LITERALS = frozenset({"ObjectValue", "ListValue"})
UNBROKEN = frozenset({"Stub", "Then"})  # they break within their literals only
BREAK_BEFORE_NODES = frozenset(
    ("Version", "Key", "Retain", "Rate", "Deprecated", "Within", "By", "Backoff")
)
BREAK_BEFORE = frozenset(("|", "&", "owner", "unless", "because", "until"))
NO_SPACE_BEFORE = frozenset(",:?)>]*(<")
NO_SPACE_AFTER = frozenset("(<[")


def layout(root: Node, pieces: Sequence[Piece]) -> str:
    """The text in its canonical layout, ending with a newline (or empty)."""
    text = _Layout(pieces).container(root.children, len(pieces) - 1, 0)
    lines = [line.rstrip() for line in text.split("\n")]
    return "\n".join(lines).strip("\n") + "\n" if any(lines) else ""


class _Layout:
    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces

    # ---- declarations, one below the other

    def container(self, items: Sequence[Node], end: int, indent: int) -> str:
        """Declarations and the comments among them; `end` is the piece behind the last of them.

        Begins with what follows on the line before, and has no newline at its end.
        """
        out: list[str] = []
        large = False
        for number, item in enumerate(items):
            text = self.declaration(item, indent)
            apart = number > 0 and (large or "\n" in text)
            out.append(self.between(item.first, indent, first=number == 0, apart=apart))
            out.append(text)
            large = "\n" in text
        out.append(self.remarks(end, indent, first=not items))
        return "".join(out)

    def declaration(self, item: Node, indent: int) -> str:
        if item.rule != "Context":
            return render(self.node(item), indent)
        opened = self.opening(item)
        head = render(self.header(item, opened), indent)
        inner = [child for child in item.children if child.first > opened]
        body = self.container(inner, item.last, indent + INDENT_CHARS)
        return f"{head}{body}\n{' ' * indent}}}" if body else f"{head}}}"

    def between(self, at: int, indent: int, *, first: bool, apart: bool) -> str:
        """What stands between two declarations, up to the second one's first token."""
        piece = self.pieces[at]
        # An empty line that is forced comes before the comments that stand right above the item.
        attached = len(piece.remarks)
        if not piece.blank:
            while attached and piece.remarks[attached - 1].own_line:
                attached -= 1
                if piece.remarks[attached].blank:
                    break
        out = self.remarks(at, indent, first=first, apart_from=attached if apart else None)
        blank = piece.blank and not (first and not piece.remarks)
        blank = blank or (apart and attached == len(piece.remarks))
        return out + ("\n\n" if blank else "\n") + " " * indent

    def remarks(self, at: int, indent: int, *, first: bool, apart_from: int | None = None) -> str:
        """The comments before a piece, each on its line unless it ends the line before."""
        out = []
        for number, remark in enumerate(self.pieces[at].remarks):
            if not remark.own_line and number == 0:
                out.append(f"  {remark.text}")
                continue
            blank = remark.blank and not (first and number == 0)
            blank = blank or number == apart_from
            out.append(("\n\n" if blank else "\n") + " " * indent + remark.text)
        return "".join(out)

    # ---- one construct

    def node(self, node: Node) -> Doc:
        if node.rule in BLOCKS:
            opened = self.opening(node)
            return row((self.header(node, opened), self.block(node, opened)))
        if node.rule in HANDLERS:
            return self.handler(node)
        if node.rule == "ListValue":
            return self.list(node)
        return group(Nest(self.inline(node, node.first, node.last)))

    def opening(self, node: Node) -> int:
        """The index of the block's brace: the first that is in no child."""
        at = node.first
        children = {child.first: child.last for child in node.children}
        while self.pieces[at].text != "{":
            at = children.get(at, at) + 1
        return at

    def header(self, node: Node, opened: int) -> Doc:
        """What stands before the brace, and the brace."""
        if opened == node.first:
            return "{"
        inline = self.inline(node, node.first, opened - 1)
        return row((group(Nest(inline, 2)), self.gap(opened, " "), "{"))

    def block(self, node: Node, opened: int) -> Doc:
        """The items and the closing brace."""
        items = [child for child in node.children if child.first > opened]
        close = node.last
        if not items:
            if not self.pieces[close].remarks:
                return "}"
            return row((Nest(self.hard_gap(close, first=True, last=True)), Hard(), "}"))
        texts = [self.node(item) for item in items]
        broken = self.pieces[items[0].first].fresh or any(
            self.pieces[i].remarks for i in (*(item.first for item in items), close)
        )
        if broken:
            body: list[Doc] = []
            for number, (item, text) in enumerate(zip(items, texts, strict=True)):
                body += [self.hard_gap(item.first, first=number == 0), text]
            body.append(self.hard_gap(close, first=False, last=True))
            return row((Nest(row(body)), Hard(), "}"))
        body = []
        for number, text in enumerate(texts):
            body += [Line(" " if number == 0 else BLOCKS[node.rule]), text]
        return group(Nest(row(body)), Line(" "), "}")

    def hard_gap(self, at: int, *, first: bool, last: bool = False) -> Doc:
        """Comments and a new line before an item; with `last`, before a brace: comments only."""
        piece = self.pieces[at]
        parts: list[Doc] = []
        for number, remark in enumerate(piece.remarks):
            if not remark.own_line and number == 0:
                parts.append(Comment(f"  {remark.text}"))
                continue
            blank = remark.blank and not (first and number == 0)
            parts += [Hard(blank), Comment(remark.text)]
        if not last:
            parts.append(Hard(piece.blank and not (first and not piece.remarks)))
        return row(parts)

    def handler(self, node: Node) -> Doc:
        """Triggers and outputs, then the clauses: all on one line, or a line for each clause."""
        clauses = [child for child in node.children if child.rule in CLAUSES]
        last = clauses[0].first - 1 if clauses else node.last
        triggers = self.inline(node, node.first, last)
        parts: list[Doc] = [group(triggers)]
        lead = Hard() if must_break(triggers) else Line(" ")
        loose = False
        for clause in clauses:
            text = group(Nest(self.inline(clause, clause.first, clause.last)))
            loose = loose or clause.rule not in LEAD_CLAUSES
            if loose:
                parts += [self.gap(clause.first, Line(ITEM_GAP)), text]
            else:
                parts.append(group(self.gap(clause.first, lead), text))
        return group(Nest(row(parts)))

    def list(self, node: Node) -> Doc:
        """`[a, b]`, or a line for each element."""
        if not node.children:
            return group(Nest(self.inline(node, node.first, node.last)))
        body: list[Doc] = []
        for child in node.children:
            sep = Line("") if child is node.children[0] else Line(" ")
            body += [self.gap(child.first, sep), self.node(child)]
            if child is not node.children[-1]:
                body += [self.gap(child.last + 1, ""), ","]
        return group("[", Nest(row(body)), self.gap(node.last, Line("")), "]")

    def inline(self, node: Node, first: int, last: int) -> Doc:
        """The pieces from first to last of a node, with its children laid out by themselves."""
        children = {child.first: child for child in node.children}
        parts: list[Doc] = []
        at = first
        while at <= last:
            child = children.get(at)
            if at > first:
                parts.append(self.gap(at, self.space(node, child, at)))
            if child is not None and child.last <= last:
                parts.append(self.child(child))
                at = child.last + 1
            else:
                parts.append(self.pieces[at].text)
                at += 1
        return row(parts)

    def child(self, child: Node) -> Doc:
        """A part of a line; the lines of a literal are not indented with the line's rest."""
        if child.rule in LITERALS:
            return Nest(self.node(child), -1)
        return self.inline(child, child.first, child.last)

    def space(self, node: Node, child: Node | None, at: int) -> Doc:
        """What stands between a piece and the one before it, where there is no remark."""
        here, before = self.pieces[at].text, self.pieces[at - 1].text
        if before in NO_SPACE_AFTER or here in NO_SPACE_BEFORE:
            return ""
        if node.rule in UNBROKEN:
            return " "
        if before == ",":
            return "" if node.rule == "Type" and node.children[-1].rule == "Number" else Line(" ")
        breaks = here in BREAK_BEFORE if child is None else child.rule in BREAK_BEFORE_NODES
        return Line(" ") if breaks else " "

    def gap(self, at: int, normal: Doc) -> Doc:
        """The normal separator before a piece, or the comments that stand there, a line each."""
        remarks = self.pieces[at].remarks
        if not remarks:
            return normal
        parts: list[Doc] = []
        for number, remark in enumerate(remarks):
            if remark.own_line or number:
                parts += [Hard(), Comment(remark.text)]
            else:
                parts.append(Comment(f"  {remark.text}"))
        return row((*parts, Hard()))
