"""The order within each column: sweeps by barycentre, of which the one with the fewest crossings stays."""

from __future__ import annotations

from bisect import bisect_right, insort

from flowc_dsl.draw.grid import Grid, Link

SWEEPS = 16


def order_columns(grid: Grid) -> None:
    """Reorder the items of each column within their bands."""
    best, fewest = [list(column) for column in grid.columns], crossings(grid)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        numbers = range(len(grid.columns))
        for number in numbers if sweep % 2 == 0 else reversed(numbers):
            _sort(grid, number, ahead=sweep % 2 == 0)
        found = crossings(grid)
        if found < fewest:
            best, fewest = [list(column) for column in grid.columns], found
    grid.columns = best


def _sort(grid: Grid, number: int, *, ahead: bool) -> None:
    """Sort one column by where its links come from; what has no link on that side keeps its place."""
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
        ends = sorted(
            (places[k.left], k.port_left, places[k.right], k.port_right) for k in links
        )
        seen: list[tuple[int, float]] = []
        for end in ends:
            seat = (end[2], end[3])
            total += len(seen) - bisect_right(seen, seat)
            insort(seen, seat)
    return total
