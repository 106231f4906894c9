"""What was read from the journal and is to be applied in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from flowc_engine import limits
from flowc_engine.bus.wire import Batch
from flowc_engine.journal import record as rec
from flowc_engine.journal.reader import Read
from flowc_engine.lifting import StoredSchemas

_CHUNK_ROWS_MIN = 256  # DuckDB scans chunk by chunk: smaller ones are copied together first

_PARKED = pa.schema(
    [
        ("_offset", pa.int64()),
        ("event", pa.string()),
        ("service", pa.string()),
        ("slot", pa.int32()),
        ("handler", pa.string()),
        ("error", pa.string()),
        ("attempts", pa.int32()),
        ("time", pa.timestamp("us", tz="UTC")),
    ]
)
_UNPARKED = pa.schema(
    [
        ("_offset", pa.int64()),
        ("service", pa.string()),
        ("slot", pa.int32()),
        ("action", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
    ]
)
_REJECTED = pa.schema(
    [
        ("_offset", pa.int64()),
        ("rows", pa.int32()),
        ("event", pa.string()),
        ("source", pa.string()),
        ("error", pa.string()),
        ("body", pa.binary()),
    ]
)

Written = tuple[str, int]
"""An event type, and the version in which its events were written."""
WhyNot = Callable[[Written, pa.Table], str | None]


class _Batch(NamedTuple):
    first: int
    source: str
    rows: pa.RecordBatch
    places: bytes = b""  # see `wire.Batch`

    def offset(self, row: int) -> int:
        """The offset of a row."""
        return self.first + (int(np.frombuffer(self.places, "<u4")[row]) if self.places else row)


class Pending:
    """Events by type and version, parked events, and batches that no table can take."""

    def __init__(self, schemas: StoredSchemas) -> None:
        self._schemas = schemas
        self._batches: dict[Written, list[_Batch]] = {}
        self._orders: dict[Written, pa.Schema] = {}
        self._parked: list[tuple[object, ...]] = []
        self._unparked: list[tuple[object, ...]] = []
        self._rejected: list[tuple[object, ...]] = []
        self.rows = 0
        self.journal_bytes = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self._batches or self._parked or self._unparked or self._rejected)

    @property
    def rejected(self) -> int:
        """How many batches no table can take."""
        return len(self._rejected)

    def add(self, read: Read) -> None:
        """Take a record of the journal."""
        header, entry = read.header, read.entry
        self.rows += header.rows
        self.journal_bytes += header.record_bytes
        if isinstance(entry, rec.StepDone):
            for p in entry.parked:
                row = (p.offset, p.event, entry.service, entry.slot, p.handler, p.error)
                self._parked.append((*row, p.attempts, p.time_us))
        elif isinstance(entry, rec.Unparked):
            action = "retry" if entry.retry else "drop"
            told = (entry.service, entry.slot, action, entry.time_us)
            self._unparked += [(offset, *told) for offset in entry.offsets]
        source = rec.emitter(entry)
        first = header.first_offset
        for batch, body in zip(entry.batches, read.bodies, strict=True):
            self._add_batch(batch, first, source, body)
            if not batch.places:
                first += batch.rows

    def _add_batch(self, batch: Batch, first: int, source: str, body: memoryview) -> None:
        event, rows = batch.event, batch.rows
        try:
            version, schema = self._schemas.at(event, first)
            found = pa.ipc.read_record_batch(pa.py_buffer(body), schema)
        except KeyError:
            self._reject(first, rows, event, source, "the plan has no such event", bytes(body))
        except (pa.ArrowException, OSError) as error:
            self._reject(first, rows, event, source, str(error), bytes(body))
        else:
            written = (event, version)
            first_schema = self._orders.setdefault(written, schema)
            if first_schema is not schema:  # the same fields, declared in another order since
                found = found.select(first_schema.names)
            own = self._batches.setdefault(written, [])
            own.append(_Batch(first, source, found, batch.places))

    def _reject(
        self, first: int, rows: int, event: str, source: str, error: str, body: bytes
    ) -> None:
        text = error[: limits.ERROR_TEXT_CHARS_MAX]
        self._rejected.append((first, rows, event, source, text, body))

    def events(self) -> Iterator[tuple[Written, pa.Table]]:
        """The rows as they were written, with `_offset` and `_source` behind the columns of the
        wire."""
        for written, batches in self._batches.items():
            yield written, _table(batches)

    def extra(self) -> Iterator[tuple[str, pa.Table]]:
        """The rows of `_parked`, `_unparked` and `_rejected`, if any."""
        if self._parked:
            yield "_parked", _from_rows(self._parked, _PARKED)
        if self._unparked:
            yield "_unparked", _from_rows(self._unparked, _UNPARKED)
        if self._rejected:
            yield "_rejected", _from_rows(self._rejected, _REJECTED)

    def sift(self, why_not: WhyNot) -> None:
        """Keep only the rows for which `why_not` has no answer; the others are rejected, each with
        its answer."""
        for written, batches in list(self._batches.items()):
            kept = [b for batch in batches for b in self._sift_batch(written, batch, why_not)]
            self._batches[written] = kept
            if not kept:
                del self._batches[written]

    def _sift_batch(self, written: Written, batch: _Batch, why_not: WhyNot) -> Iterator[_Batch]:
        why = why_not(written, _table([batch]))
        if why is None:
            yield batch
        elif batch.rows.num_rows == 1:
            body = batch.rows.serialize().to_pybytes()
            self._reject(batch.offset(0), 1, written[0], batch.source, why, body)
        else:
            for index in range(batch.rows.num_rows):
                row = batch.rows.slice(index, 1)
                yield from self._sift_batch(
                    written, _Batch(batch.offset(index), batch.source, row), why_not
                )


def _table(batches: list[_Batch]) -> pa.Table:
    table = pa.Table.from_batches([b.rows for b in batches])
    if table.num_rows < _CHUNK_ROWS_MIN * len(batches):
        table = table.combine_chunks()
    rows = np.fromiter((b.rows.num_rows for b in batches), np.int64, len(batches))
    first = np.fromiter((b.first for b in batches), np.int64, len(batches))
    within = np.arange(table.num_rows) - np.repeat(np.cumsum(rows) - rows, rows)
    offsets = np.repeat(first, rows) + within
    at = 0
    for batch in batches:
        size = batch.rows.num_rows
        if batch.places:
            offsets[at : at + size] = batch.first + np.frombuffer(batch.places, "<u4")
        at += size
    sources = {source: index for index, source in enumerate({b.source: 0 for b in batches})}
    codes = np.fromiter((sources[b.source] for b in batches), np.int32, len(batches))
    names = pa.DictionaryArray.from_arrays(pa.array(np.repeat(codes, rows)), list(sources))
    table = table.append_column("_offset", pa.array(offsets))
    return table.append_column("_source", names)


def _from_rows(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema)
