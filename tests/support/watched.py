"""What must have come of the deadlines, joins and ticks of a world, by its log alone."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from support.fates import BOTH, LATE, LATE_MS, PLANS, TICK

if TYPE_CHECKING:
    from support.verdict import Logged, Verdict


def watched(log: list[Logged], verdict: Verdict) -> list[Logged]:
    """The events that the handlers of `Watch` had to be called for."""
    called = [*_deadlines(log, verdict), *_joins(log, verdict)]
    ticks = [e for e in log if e.event == TICK.name]
    for before, after in pairwise(ticks):
        if after.n <= before.n:
            verdict.doubled.append(("tick", before, after))
    return sorted([*called, *ticks], key=lambda e: e.offset)


def _deadlines(log: list[Logged], verdict: Verdict) -> list[Logged]:
    """Each is emitted once, not before it is due, unless it was cancelled before its place."""
    [plan] = PLANS[1, False].service("Watch").deadlines
    is_set: dict[int, Logged] = {}
    emitted: Counter[int | None] = Counter()
    found = []
    for e in log:
        if e.event in plan.unless:
            is_set = {o: x for o, x in is_set.items() if x.k != e.k}
        elif e.event == plan.of:
            is_set[e.offset] = e
        elif e.event == LATE.name:
            assert e.cause is not None
            emitted[e.cause] += 1
            by = is_set.pop(e.cause, None)
            if by is not None:
                found.append(e)
                if (by.k, by.n, by.partition) != (e.k, e.n, e.partition):
                    verdict.lost.append(("another payload", by, e))
                if e.time_us < by.time_us + LATE_MS * 1000:
                    verdict.reordered.append(("too early", by, e))
    verdict.lost += [("deadline", e) for e in is_set.values()]
    verdict.doubled += [("deadline", o) for o, times in emitted.items() if times > 1]
    return found


def _joins(log: list[Logged], verdict: Verdict) -> list[Logged]:
    """The first of each side are joined, in order, when the later one is there."""
    waiting: dict[str, tuple[deque[Logged], deque[Logged]]] = defaultdict(
        lambda: (deque(), deque())
    )
    expected: list[Any] = []
    for e in log:
        if e.event in BOTH.of:
            sides = waiting[e.k]
            sides[BOTH.of.index(e.event)].append(e)
            if all(sides):
                noted, held = (side.popleft() for side in sides)
                expected.append((e.offset, noted.n, held.n))
    found = [e for e in log if e.event == BOTH.name]
    have = [(e.cause, e.noted, e.n) for e in found]
    missing, more = Counter(expected) - Counter(have), Counter(have) - Counter(expected)
    verdict.lost += [("join", one) for one in missing.elements()]
    verdict.doubled += [("join", one) for one in more.elements()]
    return found
