"""Which column each box stands in: cycles are cut, then every edge goes a column ahead or more."""

from __future__ import annotations

from collections.abc import Sequence

Pair = tuple[int, int]
TIGHTEN_ROUNDS_MAX = 16


def back_edges(count: int, pairs: Sequence[Pair]) -> set[Pair]:
    """The pairs to turn round, so that the rest has no cycle; a box with itself does not count.

    Depth first from the boxes that nothing leads to: what turns back is what returns to them.
    """
    after: list[list[int]] = [[] for _ in range(count)]
    entered = [False] * count
    for a, b in pairs:
        if a != b:
            after[a].append(b)
            entered[b] = True
    back: set[Pair] = set()
    state = [0] * count  # 0 new, 1 on the path, 2 done
    for root in sorted(range(count), key=lambda i: entered[i]):
        if state[root]:
            continue
        state[root] = 1
        path = [(root, iter(after[root]))]
        while path:
            node, rest = path[-1]
            step = next(rest, None)
            if step is None:
                state[node] = 2
                path.pop()
            elif state[step] == 1:
                back.add((node, step))
            elif state[step] == 0:
                state[step] = 1
                path.append((step, iter(after[step])))
    return back


def ranks_of(count: int, pairs: Sequence[Pair]) -> list[int]:
    """The column of each box, from 0, for pairs without a cycle."""
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for a, b in pairs:
        after[a].append(b)
        before[b].append(a)
    ranks = [0] * count
    missing = [len(found) for found in before]
    ready = [i for i in range(count) if not missing[i]]
    for node in ready:  # grows while it is walked
        for b in after[node]:
            ranks[b] = max(ranks[b], ranks[node] + 1)
            missing[b] -= 1
            if not missing[b]:
                ready.append(b)
    assert len(ready) == count, "a cycle is left"
    _tighten(ranks, ready, before, after)
    lowest = min(ranks, default=0)
    return [rank - lowest for rank in ranks]


def _tighten(
    ranks: list[int], order: list[int], before: list[list[int]], after: list[list[int]]
) -> None:
    """Move boxes towards the side where they have more edges, which shortens the edges in sum."""
    for _ in range(TIGHTEN_ROUNDS_MAX):
        moved = False
        for node in (*order, *reversed(order)):
            pull = len(after[node]) - len(before[node])
            if pull > 0:
                best = min(ranks[b] for b in after[node]) - 1
            elif pull < 0:
                best = max(ranks[a] for a in before[node]) + 1
            else:
                continue
            moved |= best != ranks[node]
            ranks[node] = best
        if not moved:
            return
