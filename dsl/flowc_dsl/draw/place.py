"""Where everything is, in px: columns from left to right, and items up and down within their bands.

Up and down: each item wants to be where its links are straight. A column is set all at once, to the
places with the least sum of squares that keep the order and the distances (isotonic regression).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from flowc_dsl.draw.grid import Grid, Item, Link

SWEEPS = 32
SWEEPS_BOTH = 8  # the last ones look to both sides
SNAP_PX = 12.0  # a link that is this close to straight is made straight
SNAP_BENDS_PX = 40.0  # the same between two bends
BOX_GAP_PX = 18.0
BEND_GAP_PX = 7.0
BEND_COLUMN_PX = 20.0
EMPTY_LANE_PX = 18.0
ROW_PAD_PX = 34.0  # between a row and the lane beside it: room for a context's frame and title
COLUMN_GAP_PX = 54.0
COLUMN_GAP_MAX_PX = 120.0
STRAIGHT = {0: 1.0, 1: 1.0, 2: 40.0}  # how much a link pulls, by how many of its ends are bends


@dataclass(frozen=True, slots=True)
class Frame:
    """The columns' left and right edges, and the bands' tops and bottoms, in px."""

    columns: list[tuple[float, float]]
    bands: list[tuple[float, float]]

    def middle(self, column: int) -> float:
        """The x of a column's middle, in px."""
        left, right = self.columns[column]
        return (left + right) / 2


def place(grid: Grid, label_widths: Sequence[float]) -> Frame:
    """Set every item's `y`. `label_widths` has the widest label of the gap after each column."""
    bands = _band_heights(grid)
    for band, column in _cells(grid):
        y = bands[band][0]
        for index in column:
            grid.items[index].y = y
            y += grid.items[index].height + BOX_GAP_PX
    cells: dict[int, list[tuple[int, list[int]]]] = {}
    for band, column in _cells(grid):
        cells.setdefault(grid.items[column[0]].column, []).append((band, column))
    numbers = sorted(cells)
    for sweep in range(SWEEPS):
        both = sweep >= SWEEPS - SWEEPS_BOTH
        ahead = sweep % 2 == 0
        for number in numbers if ahead else reversed(numbers):
            for band, column in cells[number]:
                _settle(grid, column, bands[band], before=both or ahead, after=both or not ahead)
    for number in numbers:
        for band, column in cells[number]:
            _snap(grid, column, bands[band])
    return Frame(_column_edges(grid, label_widths), bands)


def _cells(grid: Grid) -> list[tuple[int, list[int]]]:
    """For each column and band, its items in order."""
    found: dict[tuple[int, int], list[int]] = {}
    for number, column in enumerate(grid.columns):
        for index in column:
            found.setdefault((number, grid.items[index].band), []).append(index)
    return [(band, items) for (_, band), items in found.items()]


def _gap(a: Item, b: Item) -> float:
    return BEND_GAP_PX if a.box is None and b.box is None else BOX_GAP_PX


def _band_heights(grid: Grid) -> list[tuple[float, float]]:
    """Top and bottom of each band: as high as its fullest column."""
    heights = [0.0] * grid.bands.count
    for band, column in _cells(grid):
        items = [grid.items[i] for i in column]
        gaps = sum(_gap(a, b) for a, b in pairwise(items))
        heights[band] = max(heights[band], gaps + sum(item.height for item in items))
    edges = []
    y = 0.0
    for height in heights:
        edges.append((y, y + height))
        y += height + (ROW_PAD_PX if height else EMPTY_LANE_PX)
    return edges


def _settle(
    grid: Grid, column: list[int], band: tuple[float, float], *, before: bool, after: bool
) -> None:
    """Move the items of one column and band to the best places for the links on the sides named."""
    items = [grid.items[i] for i in column]
    offsets = [0.0]
    for a, b in pairwise(items):
        offsets.append(offsets[-1] + a.height + _gap(a, b))
    wishes = []
    for index, item, offset in zip(column, items, offsets, strict=True):
        links = [(k, True) for k in grid.before.get(index, [])] if before else []
        links += [(k, False) for k in grid.after.get(index, [])] if after else []
        y, weight = _wish(grid, item, links)
        wishes.append((y - offset, weight))
    low, high = band[0], band[1] - offsets[-1] - items[-1].height
    for item, offset, place_ in zip(items, offsets, isotonic(wishes), strict=True):
        item.y = min(max(place_, low), max(high, low)) + offset


def _wish(grid: Grid, item: Item, links: list[tuple[Link, bool]]) -> tuple[float, float]:
    """The top that makes the links straightest, and how much it matters."""
    total = weights = 0.0
    for link, left in links:
        other = grid.items[link.left if left else link.right]
        ports = (link.port_left, link.port_right) if left else (link.port_right, link.port_left)
        weight = STRAIGHT[(other.box is None) + (item.box is None)]
        total += weight * (other.y + ports[0] - ports[1])
        weights += weight
    return (total / weights, weights) if weights else (item.y, 0.1)


def _snap(grid: Grid, column: list[int], band: tuple[float, float]) -> None:
    """Straighten the links from the column before that are almost straight, where there is room."""
    for at, index in enumerate(column):
        item = grid.items[index]
        moves = [
            grid.items[k.left].y + k.port_left - k.port_right - item.y
            for k in grid.before.get(index, [])
        ]
        best = min(moves, key=abs, default=0.0)
        low, high = band[0], band[1] - item.height
        if at > 0:
            above = grid.items[column[at - 1]]
            low = above.y + above.height + _gap(above, item)
        if at + 1 < len(column):
            below = grid.items[column[at + 1]]
            high = below.y - item.height - _gap(item, below)
        bends = item.box is None and all(
            grid.items[k.left].box is None for k in grid.before.get(index, [])
        )
        if (
            abs(best) <= (SNAP_BENDS_PX if bends else SNAP_PX)
            and low - 0.01 <= item.y + best <= high + 0.01
        ):
            item.y += best


def isotonic(wishes: Sequence[tuple[float, float]]) -> list[float]:
    """The non-decreasing values nearest to the wishes (value, weight), by least squares."""
    blocks: list[tuple[float, float, int]] = []  # value, weight, how many
    for value, weight in wishes:
        block = (value, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            last = blocks.pop()
            both = last[1] + block[1]
            mean = (last[0] * last[1] + block[0] * block[1]) / both
            block = (mean, both, last[2] + block[2])
        blocks.append(block)
    return [value for value, _, many in blocks for _ in range(many)]


def _column_edges(grid: Grid, label_widths: Sequence[float]) -> list[tuple[float, float]]:
    """Left and right of each column; steep and many links, and labels, get wider gaps."""
    edges = []
    x = 0.0
    for number, column in enumerate(grid.columns):
        boxes = [grid.boxes[b] for i in column if (b := grid.items[i].box) is not None]
        width = max((box.width for box in boxes), default=BEND_COLUMN_PX)
        edges.append((x, x + width))
        links = [link for i in column for link in grid.after.get(i, [])]
        drops = [abs(grid.items[k.left].y - grid.items[k.right].y) for k in links]
        gap = COLUMN_GAP_PX + 0.08 * max(drops, default=0.0) + 1.5 * len(links)
        x += width + max(min(gap, COLUMN_GAP_MAX_PX), label_widths[number])
    return edges
