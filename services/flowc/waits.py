"""What the handlers of a replica wait for: deadlines, the partners of joins, the ticks of timers.

All of it is a function of the replica's events in the order of their offsets: `seen` is told each
once, whether it is new or of the past. So a restart has it again by seeing the past again, and
nobody has to write it down.

A deadline that is due is emitted as an event of its own (`DeadlinePlan.event`, with the fields of
what it was set by), and so gets a place in the log. What cancels it and lies before that place
counts; so it is decided only when that event is seen, and once for all.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from flowc.codec import as_int64
from flowc.packing import Bodies, EmittedBatch
from flowc.stash import SPARSE, Chunk, Kept
from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.schema import ENVELOPE

if TYPE_CHECKING:
    from flowc.codec import Codecs, EventCodec
    from flowc.rows import Rows
    from flowc_dsl.plan import DeadlinePlan, JoinPlan, ServicePlan, TimerPlan


class Due(NamedTuple):
    """Events that are due: to be emitted as they are."""

    event: str
    columns: list[pa.Array]
    causes: pa.Array
    roots: pa.Array
    partitions: pa.Array


def bodies_of(codec: EventCodec, due: Due, time_us: int) -> Iterator[Bodies]:
    """Each of what one step may emit."""
    rows = len(due.causes)
    body = codec.body(due.columns, rows, time_us, due.causes, due.roots, due.partitions)
    if rows == 1 or len(body) <= limits.DELIVER_BYTES_MAX:
        yield Bodies([wire.Batch(codec.name, rows)], [body], len(body))
        return
    middle = rows // 2
    for at, size in ((0, middle), (middle, rows - middle)):
        columns = [column.slice(at, size) for column in due.columns]
        rest = (c.slice(at, size) for c in (due.causes, due.roots, due.partitions))
        yield from bodies_of(codec, Due(due.event, columns, *rest), time_us)


class Joined(NamedTuple):
    """Events whose partners are all there. `rows`: the index of the one that came last, of each."""

    rows: list[int]
    batch: EmittedBatch


class Waits:
    """Of one replica. `since` says from which offset on what is declared holds, by event."""

    def __init__(self, service: ServicePlan, slot: int, codecs: Codecs) -> None:
        self._deadlines = [Deadline(d) for d in service.deadlines]
        self._joins = [Join(j, codecs) for j in service.joins]
        self._timers = [Timer(t) for t in service.timers]
        self._ticks = slot == 0  # the partition of ticks is its own
        self.any = bool(self._deadlines or self._joins or self._timers)

    def begin(self, since: dict[str, int]) -> None:
        """From where on; before anything is seen."""
        for deadline in self._deadlines:
            deadline.since = since.get(deadline.plan.event, 0)
        for join in self._joins:
            join.since = since.get(join.plan.event, 0)

    @property
    def set(self) -> int:
        """Deadlines that are set, and not yet due."""
        return sum(d.set for d in self._deadlines)

    @property
    def partners(self) -> int:
        """Events that wait for a partner."""
        return sum(j.waiting for j in self._joins)

    @property
    def open(self) -> int:
        """All that waits."""
        return self.set + self.partners

    def seen(self, rows: Rows) -> tuple[Rows, list[Joined]]:
        """These come next: the ones among them that are to be handled, and what they complete."""
        joined: list[Joined] = []
        for deadline in self._deadlines:
            if rows.event == deadline.plan.event:
                return deadline.settle(rows), joined
            deadline.seen(rows)
        for timer in self._timers:
            if rows.event == timer.plan.event:
                return timer.settle(rows), joined
        for join in self._joins:
            joined += join.seen(rows)
        return rows, joined

    def next_due_us(self) -> int | None:
        """When something is due next."""
        found = [d.next_due_us() for d in self._deadlines]
        if self._ticks:
            found += [t.next_due_us() for t in self._timers]
        return min((due for due in found if due is not None), default=None)

    def due(self, now_us: int, rows_max: int) -> Iterator[Due]:
        """What is due now, of each handler so many at most. It is not due again."""
        for deadline in self._deadlines:
            yield from deadline.due(now_us, rows_max)
        for timer in self._timers if self._ticks else ():
            yield from timer.due(now_us)


class _Found(NamedTuple):
    """A row that was kept."""

    rows: Rows
    at: int


@dataclass(slots=True, eq=False)
class _Set:
    """A deadline. `kept` is its event; None once it was emitted."""

    key: Any
    due_us: int
    kept: Kept | None


class Deadline:
    """One `after D of X unless Z`."""

    def __init__(self, plan: DeadlinePlan) -> None:
        self.plan, self.since = plan, 0
        self._by_offset: dict[int, _Set] = {}
        self._by_key: dict[Any, set[int]] = {}
        self._due: list[tuple[int, int]] = []  # (µs, offset); some cancelled ones are left in
        self.set = 0

    def seen(self, rows: Rows) -> None:
        """Set deadlines, and cancel them."""
        sets, cancels = rows.event == self.plan.of, rows.event in self.plan.unless
        if not sets and not cancels:
            return
        keys = _keys(rows)
        if not sets:
            for key in keys:
                self._cancel(key)
            return
        chunk = Chunk(rows)
        times = rows.batch.column("_time").cast(pa.int64()).to_pylist()
        for index, (offset, key) in enumerate(zip(rows.offsets, keys, strict=True)):
            if cancels:
                self._cancel(key)
            if offset >= self.since:
                self._set(offset, key, times[index] + self.plan.after_ms * 1000, chunk.keep(index))
        chunk.seal()

    def _set(self, offset: int, key: Any, due_us: int, kept: Kept) -> None:
        self._by_offset[offset] = _Set(key, due_us, kept)
        if self.plan.unless:
            self._by_key.setdefault(key, set()).add(offset)
        heapq.heappush(self._due, (due_us, offset))
        self.set += 1
        if len(self._due) > SPARSE * self.set + 64:
            self._due = [(s.due_us, o) for o, s in self._by_offset.items() if s.kept is not None]
            heapq.heapify(self._due)

    def _cancel(self, key: Any) -> None:
        for offset in sorted(self._by_key.get(key, ())):
            self._forget(offset)

    def _forget(self, offset: int) -> bool:
        """It is over; whether it was set."""
        found = self._by_offset.pop(offset, None)
        if found is None:
            return False
        if self.plan.unless:
            same = self._by_key[found.key]
            same.discard(offset)
            if not same:
                del self._by_key[found.key]
        if found.kept is not None:
            self._let_go(found, found.kept)
        return True

    def _let_go(self, one: _Set, kept: Kept) -> None:
        kept.let_go()
        one.kept = None
        self.set -= 1

    def settle(self, rows: Rows) -> Rows:
        """The deadlines among these that were not cancelled before their place in the log."""
        causes = rows.batch.column("_cause").to_pylist()
        return rows.take([i for i, cause in enumerate(causes) if self._forget(cause)])

    def next_due_us(self) -> int | None:
        """When the next one is due."""
        while self._due:
            found = self._by_offset.get(self._due[0][1])
            if found is not None and found.kept is not None:
                return self._due[0][0]
            heapq.heappop(self._due)
        return None

    def due(self, now_us: int, rows_max: int) -> Iterator[Due]:
        """See `Waits`."""
        found: list[_Found] = []
        while len(found) < rows_max:
            due_us = self.next_due_us()
            if due_us is None or due_us > now_us:
                break
            one = self._by_offset[heapq.heappop(self._due)[1]]
            assert one.kept is not None
            found.append(_Found(one.kept.chunk.rows, one.kept.index))
            self._let_go(one, one.kept)
        yield from map(self._emitted, _runs(found))

    def _emitted(self, rows: Rows) -> Due:
        own = rows.batch.num_columns - len(ENVELOPE)
        return Due(
            self.plan.event, [rows.batch.column(i) for i in range(own)], as_int64(rows.offsets),
            as_int64(rows.roots), rows.batch.column("_partition"),
        )  # fmt: skip


class Join:
    """One `on X & Y by k`: the first of each that come are joined, in the order in which they
    came."""

    def __init__(self, plan: JoinPlan, codecs: Codecs) -> None:
        self.plan, self.since = plan, 0
        self._codec = codecs[plan.event]
        self._waiting: dict[Any, list[deque[Kept]]] = {}  # by key; for each side
        self.waiting = 0

    def seen(self, rows: Rows) -> list[Joined]:
        """Those of these with which a set is complete."""
        if rows.event not in self.plan.of:
            return []
        side, chunk = self.plan.of.index(rows.event), Chunk(rows)
        last: list[int] = []
        complete: list[list[_Found]] = []
        for index, (offset, key) in enumerate(zip(rows.offsets, _keys(rows), strict=True)):
            if offset < self.since:
                continue
            sides = self._waiting.setdefault(key, [deque() for _ in self.plan.of])
            sides[side].append(chunk.keep(index))
            self.waiting += 1
            if all(sides):
                last.append(index)
                complete.append([_take(one.popleft()) for one in sides])
                self.waiting -= len(sides)
                if not any(sides):
                    del self._waiting[key]
        chunk.seal()
        return [Joined(last, self._joined(rows.take(last), complete))] if last else []

    def _joined(self, last: Rows, complete: list[list[_Found]]) -> EmittedBatch:
        columns = [last.batch.column(last.codec.key_index)]
        for number, found in enumerate(zip(*complete, strict=True), 1):
            fields = list(self._codec.own_schema.field(number).type)
            batch = pa.concat_batches([rows.batch for rows in _runs(found)])
            arrays = [batch.column(i) for i in range(len(fields))]
            columns.append(pa.StructArray.from_arrays(arrays, fields=fields))
        causes, roots = as_int64(last.offsets), as_int64(last.roots)
        return EmittedBatch(self.plan.event, columns, causes, roots, lasting=True)


class Timer:
    """One `every D`: the periods are numbered from 1970 on, and each ticks once at most."""

    def __init__(self, plan: TimerPlan) -> None:
        self.plan = plan
        self._last = -1  # that has ticked, or was told to

    def settle(self, rows: Rows) -> Rows:
        """Ticks that were seen."""
        self._last = max(self._last, *rows.batch.column("number").to_pylist())
        return rows

    def next_due_us(self) -> int:
        """When the next period begins; one that has not ticked is due at once."""
        return (self._last + 1) * self.plan.every_ms * 1000

    def due(self, now_us: int) -> Iterator[Due]:
        """A tick for the period that it is. Those that were missed are left out."""
        number = now_us // (self.plan.every_ms * 1000)
        if number > self._last:
            self._last = number
            nothing = pa.nulls(1, pa.int64())
            first = pa.array([0], pa.int32())
            yield Due(self.plan.event, [pa.array([number], pa.int64())], nothing, nothing, first)


def _take(kept: Kept) -> _Found:
    """It is not kept any more."""
    found = _Found(kept.chunk.rows, kept.index)
    kept.let_go()
    return found


def _runs(found: Iterable[_Found]) -> Iterator[Rows]:
    """The rows, those that follow each other in one chunk together."""
    for _, group in groupby(found, key=lambda one: id(one.rows)):
        run = list(group)
        yield run[0].rows.take([one.at for one in run])


def _keys(rows: Rows) -> list[Any]:
    """The values of the keys as they are on the wire; without a key, one for all."""
    index = rows.codec.key_index
    return [None] * len(rows) if index is None else rows.batch.column(index).to_pylist()
