"""How each kind of node looks in flowc's own SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

from flowc_dsl.draw import palette
from flowc_dsl.draw.boxes import (
    HEAD_PX,
    NAME_SIZE_PX,
    PAD_X_PX,
    ROW_PX,
    Part,
    shows_rows,
)
from flowc_dsl.draw.text import shortened, text_width
from flowc_dsl.draw.topology import Node

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def px(value: float) -> str:
    """A length with at most one decimal, always written the same way."""
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


def xml(text: str) -> str:
    """The text for XML content or a quoted attribute; what XML cannot hold becomes U+FFFD."""
    return escape(NOT_XML.sub("\ufffd", text), {'"': "&quot;"})


def glyph(part: Part, x: float, y: float) -> Iterator[str]:
    """The node with its top left corner at x, y, in px."""
    node = part.node
    look = palette.look(node.kind, boundary=node.external or node.exported, missing=node.missing)
    dash = ' stroke-dasharray="4 3"' if node.missing else ""
    heavy = 2 if node.external or node.exported or node.kind == "context" else 1.2
    paint = f'fill="{look.fill}" stroke="{look.line}" stroke-width="{heavy}"{dash}'
    yield f'<g class="node" id="{xml(node.id)}"><title>{xml(_tip(node))}</title>'
    yield _outline(part, x, y, paint)
    if node.kind in ("service", "context"):
        yield from _service(part, x, y)
    else:
        drop = 6 if node.kind == "store" else 0
        left = x + (part.width - (8 if node.kind == "command" else 0)) / 2
        middle = y + (part.height + drop) / 2 + 4
        place = f'x="{px(left)}" y="{px(middle)}"'
        yield f'<text class="event" {place} text-anchor="middle">{xml(node.name)}</text>'
    yield "</g>"


def _tip(node: Node) -> str:
    scope = "external " if node.external else "exported " if node.exported else ""
    name = f"{'undeclared ' if node.missing else ''}{scope}{node.kind} {node.name}"
    return f"{name}: {node.doc}" if node.doc else name


def _outline(part: Part, x: float, y: float, paint: str) -> str:
    width, height = part.width, part.height
    box = f'x="{px(x)}" y="{px(y)}" width="{px(width)}" height="{px(height)}"'
    match part.node.kind:
        case "event":
            return f'<rect {box} rx="{px(height / 2)}" {paint}/>'
        case "command":
            point = f"H{px(x + width - 12)}L{px(x + width)} {px(y + height / 2)}"
            path = f"M{px(x)} {px(y)}{point}L{px(x + width - 12)} {px(y + height)}H{px(x)}Z"
            return f'<path d="{path}" stroke-linejoin="round" {paint}/>'
        case "store":
            return _cylinder(part, x, y, paint)
        case _:
            return f'<rect {box} rx="5" {paint}/>'


def _cylinder(part: Part, x: float, y: float, paint: str) -> str:
    rx, ry = part.width / 2, 5.0
    side = px(part.height - 2 * ry)
    arc = f"a{px(rx)} {px(ry)} 0 0"
    whole = (
        f"M{px(x)} {px(y + ry)}v{side}{arc} 0 {px(part.width)} 0v-{side}{arc} 0 {px(-part.width)} 0"
    )
    lid = f"{arc} 0 {px(part.width)} 0"
    return f'<path d="{whole}{lid}" {paint}/>'


def _service(part: Part, x: float, y: float) -> Iterator[str]:
    node = part.node
    left = x + PAD_X_PX
    yield f'<text class="name" x="{px(left)}" y="{px(y + 20)}">{xml(node.name)}</text>'
    left += text_width(node.name, NAME_SIZE_PX, bold=True)
    right = x + part.width - PAD_X_PX
    if node.badges:
        text = xml(" ".join(node.badges))
        yield f'<text class="row" x="{px(right)}" y="{px(y + 20)}" text-anchor="end">{text}</text>'
    if not shows_rows(node):
        return
    for i, row in enumerate(node.rows):
        top = y + HEAD_PX + i * ROW_PX
        line = f'd="M{px(x + 1)} {px(top)}H{px(x + part.width - 1)}"'
        yield f'<path {line} stroke="{palette.ROW_LINE}"/>'
        place = f'x="{px(x + PAD_X_PX)}" y="{px(top + 15)}"'
        yield f'<text class="row" {place}>{xml(shortened(row))}</text>'
