"""Boxes in columns, and edges as chains of links from column to column.

An edge that crosses columns in between gets a bend in each. Edges from one place that go the same
way share their bends, and look like one line that forks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from flowc_dsl.draw.bands import Bands, bands_of
from flowc_dsl.draw.boxes import Box, Part, boxes_of
from flowc_dsl.draw.rank import Pair, back_edges, ranks_of
from flowc_dsl.draw.topology import Edge, Topology

BEND_PX = 8.0
BACK_SHIFT_PX = 6.0  # an edge that goes back ends beside those that go ahead


@dataclass(slots=True)
class Item:
    """A box, or a bend (`box` is None), in a column and a band; `y` is its top in px."""

    column: int
    band: int
    height: float
    box: int | None = None
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Link:
    """From item `left` to item `right`, one column on; the ports are px from the items' tops."""

    left: int
    right: int
    port_left: float
    port_right: float


@dataclass(slots=True)
class Route:
    """An edge's items from left to right; `back` if the edge itself goes from right to left."""

    edge: Edge
    items: list[int]
    back: bool
    port_left: float
    port_right: float

    def ports(self, at: int) -> tuple[float, float]:
        """The ports of the link number `at`."""
        left = self.port_left if at == 0 else BEND_PX / 2
        right = self.port_right if at == len(self.items) - 2 else BEND_PX / 2
        return left, right


@dataclass(slots=True)
class Grid:
    """`columns` hold items' indices from top to bottom; `loops` are edges within one box."""

    boxes: list[Box]
    where: dict[str, tuple[int, Part]]
    bands: Bands
    items: list[Item]
    routes: list[Route]
    loops: list[Edge]
    columns: list[list[int]] = field(default_factory=list)
    before: dict[int, list[Link]] = field(default_factory=dict)
    after: dict[int, list[Link]] = field(default_factory=dict)


def grid_of(topology: Topology) -> Grid:
    """The grid, with the items of each column in the order of their bands."""
    boxes, where = boxes_of(topology)
    pairs = [(where[e.source][0], where[e.target][0]) for e in topology.edges]
    distinct = [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]
    back = back_edges(len(boxes), distinct)
    ahead = list(dict.fromkeys((b, a) if (a, b) in back else (a, b) for a, b in distinct))
    ranks = ranks_of(len(boxes), ahead)
    bands = bands_of(boxes, ranks, ahead)
    items = [Item(ranks[i], bands.of[i], box.height, i) for i, box in enumerate(boxes)]
    grid = Grid(boxes, where, bands, items, [], [])
    bends: dict[tuple[object, ...], int] = {}
    for edge, pair in zip(topology.edges, pairs, strict=True):
        if pair[0] == pair[1]:
            grid.loops.append(edge)
        else:
            grid.routes.append(_route(grid, edge, pair, ranks, bends))
    _link(grid)
    return grid


def _route(
    grid: Grid,
    edge: Edge,
    pair: Pair,
    ranks: Sequence[int],
    bends: dict[tuple[object, ...], int],
) -> Route:
    source, target = pair
    back = ranks[source] > ranks[target]
    left, right = (target, source) if back else (source, target)
    columns = range(ranks[left] + 1, ranks[right])
    cluster = grid.boxes[left].cluster
    inside = cluster is not None and cluster == grid.boxes[right].cluster
    band = grid.bands.of_edge(left, right, columns, inside=inside, back=back)
    chain = [left]
    for column in columns:
        key = (edge.source, edge.source_row, edge.kind, back, band, column)
        if key not in bends:
            bends[key] = len(grid.items)
            grid.items.append(Item(column, band, BEND_PX))
        chain.append(bends[key])
    shift = BACK_SHIFT_PX if back else 0.0
    start = grid.where[edge.source][1].port(edge.source_row) + shift
    end = grid.where[edge.target][1].port(edge.target_row) + shift
    ports = (end, start) if back else (start, end)
    return Route(edge, [*chain, right], back, *ports)


def _link(grid: Grid) -> None:
    """Fill in the columns and the links between them, each link once."""
    grid.columns = [[] for _ in range(1 + max((item.column for item in grid.items), default=-1))]
    for index, item in enumerate(grid.items):
        grid.columns[item.column].append(index)
    for column in grid.columns:
        column.sort(key=lambda i: grid.items[i].band)
    links: dict[Link, None] = {}
    for route in grid.routes:
        for at in range(len(route.items) - 1):
            left, right = route.items[at : at + 2]
            links[Link(left, right, *route.ports(at))] = None
    before, after = defaultdict(list), defaultdict(list)
    for link in links:
        before[link.right].append(link)
        after[link.left].append(link)
    grid.before, grid.after = dict(before), dict(after)
