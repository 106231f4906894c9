"""Which horizontal band each box stands in: contexts get rows; between them are lanes for edges.

Band 2 i + 1 is row i, and bands 2 i and 2 i + 2 are the lanes above and below it. Contexts whose
columns do not overlap share a row. A box without a context stands in a row beside a context, or in
a lane.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

from flowc_dsl.draw.boxes import Box
from flowc_dsl.draw.rank import Pair

ALL_ORDERS_ROWS_MAX = 6
Columns = tuple[int, int]  # first and last


@dataclass(frozen=True, slots=True)
class Bands:
    """`of` is the band of each box; `blocked` the columns that contexts cover, for each row."""

    of: list[int]
    blocked: list[list[Columns]]
    count: int

    def of_edge(self, a: int, b: int, columns: range, *, inside: bool, back: bool) -> int:
        """The band in which the edge from box a to box b crosses the columns between them.

        `inside`: both boxes are in one context. An edge never crosses another context.
        """
        band_a, band_b = self.of[a], self.of[b]
        if band_b % 2 == 0:
            return band_b
        if band_a < band_b:
            return band_b - 1
        if band_a > band_b:
            return band_b + 1
        taken = self.blocked[band_b // 2]
        free = all(not first <= c <= last for c in columns for first, last in taken)
        if inside or free:
            return band_b
        return band_b - 1 if back else band_b + 1


def bands_of(boxes: Sequence[Box], ranks: Sequence[int], pairs: Sequence[Pair]) -> Bands:
    """The bands of the boxes that stand in the columns `ranks`."""
    spans: dict[str, Columns] = {}
    for box, rank in zip(boxes, ranks, strict=True):
        if box.cluster is not None:
            first, last = spans.get(box.cluster, (rank, rank))
            spans[box.cluster] = (min(first, rank), max(last, rank))
    rows = _rows(spans)
    rows = _ordered(rows, boxes, pairs)
    row_of = {name: i for i, row in enumerate(rows) for name in row}
    blocked = [[spans[name] for name in row] for row in rows] or [[]]
    near: list[list[int]] = [[] for _ in boxes]
    for a, b in pairs:
        near[a].append(b)
        near[b].append(a)
    rows_of_boxes = {i: row_of[box.cluster] for i, box in enumerate(boxes) if box.cluster}
    _spread(rows_of_boxes, near, len(boxes))
    of = []
    for i, box in enumerate(boxes):
        row = rows_of_boxes[i]
        covered = any(first <= ranks[i] <= last for first, last in blocked[row])
        middle = box.cluster is not None or not covered
        of.append(2 * row + 1 if middle else 2 * row + _side(row, near[i], rows_of_boxes))
    return Bands(of, blocked, 2 * len(blocked) + 1)


def _spread(rows: dict[int, int], near: list[list[int]], count: int) -> None:
    """A box without a context takes the row of most of its neighbours."""
    waiting = [i for i in range(count) if i not in rows]
    while waiting:
        found = {}
        for i in waiting:
            votes = Counter(rows[j] for j in near[i] if j in rows)
            if votes:
                most = max(votes.values())
                found[i] = min(row for row, n in votes.items() if n == most)
        if not found:
            found = dict.fromkeys(waiting[:1], 0)
        rows |= found
        waiting = [i for i in waiting if i not in rows]


def _side(row: int, near: list[int], rows: dict[int, int]) -> int:
    """0 for the lane above the row, 2 for the one below: where the neighbours are."""
    return 2 if sum(rows[j] - row for j in near) > 0 else 0


def _rows(spans: dict[str, Columns]) -> list[list[str]]:
    rows: list[list[str]] = []
    for name, (first, last) in spans.items():
        for row in rows:
            if all(last < spans[other][0] or spans[other][1] < first for other in row):
                row.append(name)
                break
        else:
            rows.append([name])
    return rows


def _ordered(rows: list[list[str]], boxes: Sequence[Box], pairs: Sequence[Pair]) -> list[list[str]]:
    """The rows in an order that keeps connected ones close; the text's order among equals."""
    row_of = {name: i for i, row in enumerate(rows) for name in row}
    links: Counter[Pair] = Counter()
    for a, b in pairs:
        ends = (boxes[a].cluster, boxes[b].cluster)
        if ends[0] and ends[1] and row_of[ends[0]] != row_of[ends[1]]:
            links[row_of[ends[0]], row_of[ends[1]]] += 1

    def cost(order: Sequence[int]) -> int:
        place = {row: i for i, row in enumerate(order)}
        return sum(n * abs(place[a] - place[b]) for (a, b), n in links.items())

    best: Sequence[int] = range(len(rows))
    if len(rows) <= ALL_ORDERS_ROWS_MAX:
        best = min(permutations(best), key=cost)
    else:
        best = _improved(list(best), cost)
    return [rows[i] for i in best]


def _improved(order: list[int], cost: Callable[[Sequence[int]], int]) -> list[int]:
    """Exchange neighbours as long as it helps."""
    known = cost(order)
    improved = True
    while improved:
        improved = False
        for i in range(len(order) - 1):
            order[i], order[i + 1] = order[i + 1], order[i]
            found = cost(order)
            if found < known:
                known, improved = found, True
            else:
                order[i], order[i + 1] = order[i + 1], order[i]
    return order
