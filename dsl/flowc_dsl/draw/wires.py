"""The lines of flowc's own SVG: straight across columns, curved in the gaps between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from flowc_dsl.draw import palette
from flowc_dsl.draw.glyphs import px, xml
from flowc_dsl.draw.grid import Grid, Route
from flowc_dsl.draw.place import Frame, isotonic
from flowc_dsl.draw.text import text_width
from flowc_dsl.draw.topology import Edge, Topology

LABEL_SIZE_PX = 10.0
LABEL_LINE_PX = 12.0
LABEL_ROOM_PX = 24.0
HEAD_LENGTH_PX = 8.0
HEAD_HALF_PX = 3.4
LOOP_PX = 18.0
Point = tuple[float, float]


@dataclass(slots=True)
class Wire:
    """An edge from source to target: knots in px, joined by lines and curves in turn."""

    edge: Edge
    knots: list[Point]
    gap: int = 0  # the gap (after that column) in which the label stands
    label_at: Point = (0.0, 0.0)
    loop: bool = False
    lines: tuple[str, ...] = field(default=())

    def ys(self) -> list[float]:
        """The heights of its knots, in px."""
        return [y for _, y in self.knots]

    def svg(self, topology: Topology) -> Iterator[str]:
        """Its line, its head and its label."""
        edge = self.edge
        ends = f"{topology.by_id[edge.source].name} → {topology.by_id[edge.target].name}"
        yield f'<g id="{edge.id}" class="edge"><title>{xml(ends)}</title>'
        colour, dash, width = _paint(edge)
        yield f'<path class="line" d="{self._path()}" stroke="{colour}"{dash}{width}/>'
        if edge.kind not in ("owns", "uses"):
            yield f'<polygon points="{self._head()}" fill="{colour}"/>'
        x, y = self.label_at
        y += LABEL_SIZE_PX * 0.35 - (len(self.lines) - 1) * LABEL_LINE_PX / 2
        for i, line in enumerate(self.lines):
            place = f'x="{px(x)}" y="{px(y + i * LABEL_LINE_PX)}"'
            yield f'<text class="label" {place}>{xml(line)}</text>'
        yield "</g>"

    def _path(self) -> str:
        x, y = self.knots[0]
        path = [f"M{px(x)} {px(y)}"]
        knots = list(self.knots)
        if self.edge.kind not in ("owns", "uses"):
            knots[-1] = (self._behind_head(), knots[-1][1])
        for number, ((x0, y0), (x1, y1)) in enumerate(pairwise(knots)):
            if number % 2 and self.loop:
                path.append(f"A{px(LOOP_PX)} {px(abs(y1 - y0) / 2)} 0 0 1 {px(x1)} {px(y1)}")
            elif number % 2 and y0 != y1:
                middle = px((x0 + x1) / 2)
                path.append(f"C{middle} {px(y0)} {middle} {px(y1)} {px(x1)} {px(y1)}")
            elif x0 != x1:
                path.append(f"H{px(x1)}")
        return "".join(path)

    def _leftward(self) -> bool:
        return self.loop or self.knots[-1][0] < self.knots[0][0]

    def _behind_head(self) -> float:
        return self.knots[-1][0] + (HEAD_LENGTH_PX - 1) * (1 if self._leftward() else -1)

    def _head(self) -> str:
        x, y = self.knots[-1]
        back = px(x + HEAD_LENGTH_PX * (1 if self._leftward() else -1))
        return f"{px(x)},{px(y)} {back},{px(y - HEAD_HALF_PX)} {back},{px(y + HEAD_HALF_PX)}"


def _paint(edge: Edge) -> tuple[str, str, str]:
    """Colour, dashes and width."""
    colour = {"output": palette.OUTPUT, "uses": palette.MISSING_LINE}.get(edge.kind, palette.FLOW)
    dash = ' stroke-dasharray="5 4"' if edge.kind in ("unless", "uses") else ""
    heavy = min(1.3 + edge.weight / 6, 4.5)
    width = f' style="stroke-width: {heavy:.1f}"' if edge.kind == "flow" else ""
    return colour, dash, width


def _label_link(route: Route) -> int:
    """Which link of the route has the label: the one at the event; of a bundle, the middle one."""
    last = len(route.items) - 2
    if route.edge.kind == "flow":
        return last // 2
    at_start = (route.edge.kind == "output") == route.back
    return 0 if at_start else last


def gap_labels(grid: Grid) -> list[float]:
    """For each gap, the room in px that its widest label needs; 0 without labels."""
    widths = [0.0] * len(grid.columns)
    for route in grid.routes:
        if route.edge.label:
            gap = grid.items[route.items[_label_link(route)]].column
            lines = route.edge.label.split("\n")
            room = max(text_width(line, LABEL_SIZE_PX) for line in lines) + LABEL_ROOM_PX
            widths[gap] = max(widths[gap], room)
    return widths


def wires_of(grid: Grid, frame: Frame) -> list[Wire]:
    """A wire for each route, in the routes' order, with the labels set apart from each other."""
    wires = [_wire(grid, frame, route) for route in grid.routes]
    _part_labels([wire for wire in wires if wire.lines])
    return wires


def _wire(grid: Grid, frame: Frame, route: Route) -> Wire:
    edge = route.edge
    left = grid.where[edge.target if route.back else edge.source][1]
    right = grid.where[edge.source if route.back else edge.target][1]
    knots: list[Point] = []
    links = list(pairwise(route.items))
    for at, (a, b) in enumerate(links):
        here, there = grid.items[a], grid.items[b]
        ports = route.ports(at)
        start = frame.middle(here.column) + left.width / 2 if at == 0 else None
        end = frame.middle(there.column) - right.width / 2 if at == len(links) - 1 else None
        y0, y1 = here.y + ports[0], there.y + ports[1]
        if start is not None:
            knots.append((start, y0))
        knots += [(frame.columns[here.column][1], y0), (frame.columns[there.column][0], y1)]
        if end is not None:
            knots.append((end, y1))
    at = _label_link(route)
    (x0, y0), (x1, y1) = knots[2 * at + 1], knots[2 * at + 2]
    wire = Wire(edge, knots[::-1] if route.back else knots, grid.items[route.items[at]].column)
    wire.label_at = ((x0 + x1) / 2, (y0 + y1) / 2)
    wire.lines = tuple(edge.label.split("\n")) if edge.label else ()
    return wire


def loop_wire(grid: Grid, frame: Frame, edge: Edge) -> Wire:
    """An edge within one box: a bow at its right side."""
    index, source = grid.where[edge.source]
    target = grid.where[edge.target][1]
    item = grid.items[index]
    x = frame.columns[item.column][1]
    y0, y1 = item.y + source.port(edge.source_row), item.y + target.port(edge.target_row)
    middle = frame.middle(item.column)
    knots = [(middle + source.width / 2, y0), (x, y0), (x, y1), (middle + target.width / 2, y1)]
    return Wire(edge, knots, item.column, loop=True)


def _part_labels(wires: Sequence[Wire]) -> None:
    """Move labels that stand in one gap up or down until none covers another."""
    gaps: dict[int, list[Wire]] = {}
    for wire in wires:
        gaps.setdefault(wire.gap, []).append(wire)
    for group in gaps.values():
        group.sort(key=lambda wire: wire.label_at[1])
        heights = [len(wire.lines) * LABEL_LINE_PX for wire in group]
        offsets = [0.0]
        for a, b in pairwise(heights):
            offsets.append(offsets[-1] + (a + b) / 2 + 1)
        wishes = [(w.label_at[1] - o, 1.0) for w, o in zip(group, offsets, strict=True)]
        for wire, y, offset in zip(group, isotonic(wishes), offsets, strict=True):
            wire.label_at = (wire.label_at[0], y + offset)
