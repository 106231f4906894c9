"""flowc's own drawing: a topology as one SVG, with nothing needed but this package.

The marks are Graphviz's: each edge is a `<g class="edge">` with the edge's id, so that one
check proves of every drawing that it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.draw import palette
from flowc_dsl.draw.boxes import NAME_SIZE_PX
from flowc_dsl.draw.glyphs import glyph, px, xml
from flowc_dsl.draw.grid import Grid, grid_of
from flowc_dsl.draw.order import order_columns
from flowc_dsl.draw.place import Frame, place
from flowc_dsl.draw.text import shortened, text_width, title_line
from flowc_dsl.draw.topology import Topology
from flowc_dsl.draw.wires import Wire, gap_labels, loop_wire, wires_of

ENGINE = "flowc-layered"
MARGIN_PX = 22.0
TITLE_PX = 22.0
FRAME_PAD_PX = 13.0
FRAME_TITLE_PX = 16.0
FRAME_TITLE_SIZE_PX = 11.5

STYLE = f"""
text {{ font-family: {palette.FONT_STACK}; fill: {palette.INK} }}
.title {{ font-size: 15px; font-weight: bold; fill: {palette.MUTED} }}
.frame text {{ font-size: {FRAME_TITLE_SIZE_PX}px; font-weight: bold; letter-spacing: 0.2px }}
.name {{ font-size: {NAME_SIZE_PX:g}px; font-weight: bold }}
.event {{ font-size: 12px }}
.row {{ font-size: 11px; fill: {palette.MUTED} }}
.edge path.line {{ fill: none; stroke-width: 1.3 }}
.label {{ font-size: 10px; fill: {palette.MUTED}; text-anchor: middle;
  stroke: {palette.PAPER}; stroke-width: 3px; stroke-linejoin: round; paint-order: stroke }}
""".strip()


def svg_text(topology: Topology) -> str:
    """A whole SVG document, ending with a newline; equal topologies give equal text."""
    grid = grid_of(topology)
    order_columns(grid)
    frame = place(grid, gap_labels(grid))
    wires = wires_of(grid, frame)
    wires += [loop_wire(grid, frame, edge) for edge in grid.loops if edge.kind != "owns"]
    body = [*_frames(topology, grid, frame), *_owned(grid, frame)]
    body += [line for wire in wires for line in wire.svg(topology)]
    body += _boxes(grid, frame)
    right = frame.columns[-1][1] if frame.columns else 0.0
    right = max(right, text_width(topology.system, 15.0, bold=True))
    top, bottom = _extent(grid, wires)
    width = right + 2 * MARGIN_PX
    height = bottom - top + 2 * MARGIN_PX + TITLE_PX
    return "\n".join([*_head(topology, width, height, top), *body, "</g>", "</svg>", ""])


def _head(topology: Topology, width: float, height: float, top: float) -> Iterator[str]:
    size = f'width="{px(width)}" height="{px(height)}"'
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {px(width)} {px(height)}" role="img">'
    )
    yield f"<title>{xml(topology.system)}</title>"
    yield f"<style>\n{STYLE}\n</style>"
    yield f'<rect {size} fill="{palette.PAPER}"/>'
    yield f'<text class="title" x="{px(MARGIN_PX - 9)}" y="26">{xml(topology.system)}</text>'
    yield f'<g transform="translate({px(MARGIN_PX)} {px(MARGIN_PX + TITLE_PX - top)})">'


def _extent(grid: Grid, wires: list[Wire]) -> tuple[float, float]:
    """The top and bottom of everything, with room for the contexts' frames."""
    tops = [item.y for item in grid.items] + [y for wire in wires for y in wire.ys()]
    ends = [item.y + item.height for item in grid.items] + [y for w in wires for y in w.ys()]
    pad = FRAME_PAD_PX + FRAME_TITLE_PX
    return min(tops, default=0.0) - pad, max(ends, default=0.0) + FRAME_PAD_PX


def _frames(topology: Topology, grid: Grid, frame: Frame) -> Iterator[str]:
    """The contexts' backgrounds: around their boxes, and the edges between them."""
    for number, cluster in enumerate(topology.clusters):
        inside = [
            item
            for item in grid.items
            if item.box is not None and grid.boxes[item.box].cluster == cluster.name
        ]
        if not inside:
            continue
        columns = {item.column for item in inside}
        bands = {item.band for item in inside}
        inside += [
            item
            for item in grid.items
            if item.box is None
            and item.band in bands
            and min(columns) <= item.column <= max(columns)
        ]
        left = frame.columns[min(columns)][0] - FRAME_PAD_PX
        right = frame.columns[max(columns)][1] + FRAME_PAD_PX
        top = min(item.y for item in inside) - FRAME_PAD_PX - FRAME_TITLE_PX
        bottom = max(item.y + item.height for item in inside) + FRAME_PAD_PX
        band = palette.band(number)
        title = title_line(cluster)
        while text_width(title, FRAME_TITLE_SIZE_PX, bold=True) > right - left - 16:
            title = shortened(title, len(title) - 1)
        yield f'<g class="frame" id="{xml(f"context/{cluster.name}")}">'
        yield (
            f'<rect x="{px(left)}" y="{px(top)}" width="{px(right - left)}" '
            f'height="{px(bottom - top)}" rx="9" fill="{band.fill}" stroke="{band.line}"/>'
        )
        yield f'<text x="{px(left + 9)}" y="{px(top + 16)}" style="fill: {band.title}">'
        yield f"{xml(title)}</text></g>"


def _owned(grid: Grid, frame: Frame) -> Iterator[str]:
    """The short lines from services down to their stores."""
    for edge in grid.loops:
        if edge.kind != "owns":
            continue
        index, service = grid.where[edge.source]
        store = grid.where[edge.target][1]
        item = grid.items[index]
        x = frame.middle(item.column)
        y, end = item.y + service.top + service.height, item.y + store.top + 6
        path = f"M{px(x)} {px(y)}V{px(end)}"
        yield f'<g id="{edge.id}" class="edge">'
        yield f'<path class="line" d="{path}" stroke="{palette.STORE_LINE}"/></g>'


def _boxes(grid: Grid, frame: Frame) -> Iterator[str]:
    for item in grid.items:
        if item.box is None:
            continue
        for part in grid.boxes[item.box].parts:
            yield from glyph(part, frame.middle(item.column) - part.width / 2, item.y + part.top)
