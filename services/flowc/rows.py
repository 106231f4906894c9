"""`Rows`: delivered events of one type, in offset order, in the forms that handlers want."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby, pairwise, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowc.batch import OFFSET, Batch
from flowc.columns import decode_times
from flowc.context import Context
from flowc_engine.bus.wire import Delivered

if TYPE_CHECKING:
    from flowc.codec import Codecs, EventCodec
    from flowc.stores import Stores

_SHARED = ("events", "keys", "roots", "envelope")


class Rows:
    """Row `i` of `batch` (of the wire's schema) has the offset `offsets[i]`."""

    def __init__(
        self, codec: EventCodec, batch: pa.RecordBatch, offsets: Sequence[int], source: str
    ) -> None:
        assert batch.num_rows == len(offsets)
        self.codec = codec
        self.batch = batch
        self.offsets = offsets
        self.source = source

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def event(self) -> str:
        return self.codec.name

    @cached_property
    def events(self) -> list[Any]:
        """As objects; of a join or a timer, as tuples of the events that it is about."""
        return self.codec.objects(self.batch)

    def decode(self) -> None:
        """Make the objects now, so that parts share them."""
        _ = self.events

    @cached_property
    def keys(self) -> list[Any]:
        """The value of each event's key; of an event type without a key, None."""
        key = self.codec.key
        if key is None:
            return [None] * len(self)
        if self.codec.declared.waits == "join":  # by the key of all that it joins
            return [getattr(joined[0], key) for joined in self.events]
        return [getattr(e, key) for e in self.events]

    def partition(self, index: int) -> int:
        """The partition of one event."""
        found: int = self.batch.column("_partition")[index].as_py()
        return found

    @cached_property
    def roots(self) -> list[int]:
        """The start of each event's chain of causes."""
        if self.batch.column("_root").null_count == len(self):
            return list(self.offsets)
        return self._root_column.to_pylist()  # type: ignore[no-any-return]

    @property
    def _root_column(self) -> pa.Array:
        column = self.batch.column("_root")
        return pc.coalesce(column, self._offset_column) if column.null_count else column

    @property
    def _offset_column(self) -> pa.Array:
        offsets = self.offsets
        if isinstance(offsets, range):
            return pa.array(np.arange(offsets.start, offsets.stop))
        return pa.array(offsets, pa.int64())

    @cached_property
    def envelope(self) -> list[tuple[Any, Any, int | None, int]]:
        """Time, key, cause and root of each event."""
        times = decode_times(self.batch.column("_time"))
        causes = self.batch.column("_cause").to_pylist()
        return list(zip(times, self.keys, causes, self.roots, strict=True))

    def contexts(
        self,
        service: str,
        replica: int,
        stores: Stores | None = None,
        *,
        attempt: int = 1,
        replaying: bool = False,
    ) -> list[Context]:
        """A `Context` for each event; with `stores`, all are of the file at hand."""
        store = None if stores is None else stores.connection
        same = map(repeat, (self.source, attempt, replaying, service, replica, store))
        return list(map(Context, self.offsets, *zip(*self.envelope, strict=True), *same))

    def arrow(self) -> pa.RecordBatch:
        """What a handler of batches gets: its own fields, `_offset`, `_time`, `_cause`, `_root`."""
        own = len(self.codec.declared.fields)
        names = [*self.codec.own_schema.names, OFFSET, "_time", "_cause", "_root"]
        columns = [
            *(self.batch.column(i) for i in range(own)),
            self._offset_column,
            self.batch.column("_time"),
            self.batch.column("_cause"),
            self._root_column,
        ]
        return pa.RecordBatch.from_arrays(columns, names=names)

    def as_batch(self) -> Batch:
        """`arrow`, as flowc's own class."""
        return Batch(self.codec.classes.event(self.event), self.arrow())

    def part(self, begin: int, end: int) -> Rows:
        """Rows `begin` to `end` (exclusive)."""
        if begin == 0 and end == len(self):
            return self
        part = Rows(
            self.codec, self.batch.slice(begin, end - begin), self.offsets[begin:end], self.source
        )
        for name in _SHARED:  # decoded already
            if name in self.__dict__:
                part.__dict__[name] = self.__dict__[name][begin:end]
        return part

    def take(self, indices: list[int]) -> Rows:
        """These rows, in this order."""
        if len(indices) == len(self) and indices == list(range(len(self))):
            return self
        batch = self.batch.take(pa.array(indices, pa.int64()))
        return Rows(self.codec, batch, [self.offsets[i] for i in indices], self.source)


def stored_rows(codecs: Codecs, batch: Delivered, body: bytes | memoryview) -> Rows:
    """The events of a body as it is stored, read as they are declared now."""
    codec = codecs[batch.event]
    return Rows(codec, codec.read_stored(body, batch.first), offsets_of(batch), batch.source)


def offsets_of(batch: Delivered) -> Sequence[int]:
    """The offset of each row of a delivered body."""
    if not batch.places:
        return range(batch.first, batch.first + batch.rows)
    places = np.frombuffer(batch.places, "<u4").astype(np.int64)
    return (places + batch.first).tolist()  # type: ignore[no-any-return]


def rows_between(rows: Rows, begin: int, end: int) -> Rows:
    """The rows with offsets in [begin, end)."""
    return rows.part(bisect_left(rows.offsets, begin), bisect_left(rows.offsets, end))


def in_order(bodies: list[Rows]) -> list[Rows]:
    """The rows of several bodies in the order of their offsets, as runs of one type."""
    bodies = [rows for rows in bodies if len(rows)]
    if all(a.offsets[-1] < b.offsets[0] for a, b in pairwise(bodies)):
        return bodies
    offsets = np.concatenate([np.asarray(rows.offsets, np.int64) for rows in bodies])
    order = np.argsort(offsets)
    body = np.repeat(np.arange(len(bodies)), [len(rows) for rows in bodies])[order]
    ends = np.append(np.flatnonzero(np.diff(body)) + 1, len(body)).tolist()
    at = [0] * len(bodies)
    runs, begin = [], 0
    for end, index in zip(ends, body[np.asarray(ends) - 1].tolist(), strict=True):
        size = end - begin
        runs.append(bodies[index].part(at[index], at[index] + size))
        at[index] += size
        begin = end
    return runs


def rows_of_partitions(rows: Rows, partitions: frozenset[int]) -> Rows:
    """The rows that are in one of `partitions`; all, if there are none."""
    if not partitions or not len(rows):
        return rows
    found = np.isin(rows.batch.column("_partition").to_numpy(), list(partitions))
    return rows.take(np.flatnonzero(found).tolist())


def split_at_floors(rows: Rows, floors: dict[int, int]) -> list[tuple[Rows, bool]]:
    """Runs of rows, and whether they are below their partition's floor."""
    if not floors or not len(rows) or rows.offsets[0] >= max(floors.values()):
        return [(rows, False)]
    partitions = rows.batch.column("_partition").to_pylist()
    past = [o < floors.get(p, 0) for o, p in zip(rows.offsets, partitions, strict=True)]
    groups = groupby(range(len(past)), key=past.__getitem__)
    return [(rows.take(list(group)), is_past) for is_past, group in groups]
