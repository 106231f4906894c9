"""The order within each column: sweeps by barycentre, then exchanges of neighbours.

Of all orders that were met, the one with the fewest crossings stays.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from itertools import pairwise

from flowc_dsl.draw.grid import Grid, Link

SWEEPS = 16
Seat = tuple[int, float]  # the place of an item in its column, and a port on it


def order_columns(grid: Grid) -> None:
    """Reorder the items of each column within their bands."""
    best, fewest = [list(column) for column in grid.columns], crossings(grid)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        numbers = range(len(grid.columns))
        for number in numbers if sweep % 2 == 0 else reversed(numbers):
            _sort(grid, number, ahead=sweep % 2 == 0)
        for number in numbers:
            _exchange(grid, number)
        found = crossings(grid)
        if found < fewest:
            best, fewest = [list(column) for column in grid.columns], found
    grid.columns = best


def _sort(grid: Grid, number: int, *, ahead: bool) -> None:
    """Sort one column by where its links come from; an item without any keeps its place."""
    other = number - 1 if ahead else number + 1
    if not 0 <= other < len(grid.columns):
        return
    places = {item: float(i) for i, item in enumerate(grid.columns[other])}
    column = grid.columns[number]
    scale = len(grid.columns[other]) / max(len(column), 1)

    def wanted(place: int, item: int) -> float:
        links = (grid.before if ahead else grid.after).get(item, [])
        if not links:
            return place * scale
        return sum(_far(grid, link, places, ahead=ahead) for link in links) / len(links)

    keys = {item: (grid.items[item].band, wanted(i, item)) for i, item in enumerate(column)}
    column.sort(key=lambda item: keys[item])


def _exchange(grid: Grid, number: int) -> None:
    """Swap neighbours of one column as long as that saves crossings with the columns beside it."""
    column = grid.columns[number]
    sides = [
        {item: i for i, item in enumerate(grid.columns[other])} if other >= 0 else {}
        for other in (number - 1, number + 1)
        if other < len(grid.columns)
    ]
    ends = {
        item: [
            sorted((side[k.left], k.port_left) for k in grid.before.get(item, []))
            if i == 0
            else sorted((side[k.right], k.port_right) for k in grid.after.get(item, []))
            for i, side in enumerate(sides)
        ]
        for item in column
    }
    for _ in range(len(column)):
        swapped = False
        for i, (a, b) in enumerate(pairwise(list(column))):
            if column[i] != a or grid.items[a].band != grid.items[b].band:
                continue
            if _inversions(ends[a], ends[b]) > _inversions(ends[b], ends[a]):
                column[i], column[i + 1] = b, a
                swapped = True
        if not swapped:
            return


def _inversions(upper: list[list[Seat]], lower: list[list[Seat]]) -> int:
    """How many links of the upper item cross links of the lower one."""
    return sum(
        bisect_left(below, seat)
        for above, below in zip(upper, lower, strict=True)
        for seat in above
    )


def _far(grid: Grid, link: Link, places: dict[int, float], *, ahead: bool) -> float:
    """Where the link's other end is: the item's place, and how far down the port is on it."""
    item, port = (link.left, link.port_left) if ahead else (link.right, link.port_right)
    return places[item] + port / grid.items[item].height


def crossings(grid: Grid) -> int:
    """How many pairs of links cross, with the columns as they are."""
    total = 0
    for number in range(len(grid.columns) - 1):
        places = {item: i for i, item in enumerate(grid.columns[number])}
        places |= {item: i for i, item in enumerate(grid.columns[number + 1])}
        links = [link for item in grid.columns[number] for link in grid.after.get(item, [])]
        ends = sorted((places[k.left], k.port_left, places[k.right], k.port_right) for k in links)
        seen: list[Seat] = []
        for end in ends:
            seat = (end[2], end[3])
            total += len(seen) - bisect_right(seen, seat)
            insort(seen, seat)
    return total
