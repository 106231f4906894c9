"""`Rows`: delivered events of one type, in offset order, in the forms that handlers want."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowc.batch import OFFSET, Batch
from flowc.columns import decoder
from flowc.context import Context
from flowc_dsl.plan import TypePlan

if TYPE_CHECKING:
    from flowc.codec import EventCodec
    from flowc.event import Event


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
    def events(self) -> list[Event]:
        """As objects."""
        return self.codec.objects(self.batch)

    @cached_property
    def keys(self) -> list[Any]:
        """The value of each event's key; of an event type without a key, None."""
        key = self.codec.key
        return [None] * len(self) if key is None else [getattr(e, key) for e in self.events]

    @cached_property
    def roots(self) -> list[int]:
        """The start of each event's chain of causes."""
        column = self.batch.column("_root")
        if column.null_count == len(self):
            return list(self.offsets)
        return pc.coalesce(column, pa.array(self.offsets, pa.int64())).to_pylist()  # type: ignore[no-any-return]

    def contexts(
        self, service: str, replica: int, *, attempt: int = 1, replaying: bool = False
    ) -> list[Context]:
        """A `Context` for each event."""
        rest = (self.source, attempt, replaying, service, replica)
        times = decoder(self.codec.classes, TypePlan("timestamp"))(self.batch.column("_time"))
        causes = self.batch.column("_cause").to_pylist()
        columns = zip(self.offsets, times, self.keys, causes, self.roots, strict=True)
        return [Context(*row, *rest) for row in columns]

    def arrow(self) -> pa.RecordBatch:
        """What a handler of batches gets: its own fields, `_offset`, `_time`, `_cause`, `_root`."""
        own = len(self.codec.declared.fields)
        names = [*self.codec.own_schema.names, OFFSET, "_time", "_cause", "_root"]
        columns = [
            *(self.batch.column(i) for i in range(own)),
            pa.array(self.offsets, pa.int64()),
            self.batch.column("_time"),
            self.batch.column("_cause"),
            pa.array(self.roots, pa.int64()),
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
        if "events" in self.__dict__:  # decoded already
            part.__dict__["events"] = self.events[begin:end]
        return part

    def take(self, indices: list[int]) -> Rows:
        """These rows."""
        if len(indices) == len(self):
            return self
        batch = self.batch.take(pa.array(indices, pa.int64()))
        return Rows(self.codec, batch, [self.offsets[i] for i in indices], self.source)


def rows_between(rows: Rows, begin: int, end: int) -> Rows:
    """The rows with offsets in [begin, end) of a whole body."""
    first = rows.offsets[0] if len(rows) else 0
    return rows.part(max(begin - first, 0), min(end - first, len(rows)))


def rows_of_partitions(rows: Rows, partitions: frozenset[int]) -> Rows:
    """The rows that are in one of `partitions`; all, if there are none."""
    if not partitions or not len(rows):
        return rows
    found = np.isin(rows.batch.column("_partition").to_numpy(), list(partitions))
    return rows.take(np.flatnonzero(found).tolist())
