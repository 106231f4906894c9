"""A fork of a log: what a service emits now for recorded inputs, and what it emitted then.

A folder of its own:

    log.duckdb        what was emitted now, in the tables that the log of a run has. `_offset` is
                      the fork's own, `_cause` is that of the input in the original log, and `_time`
                      is when that input was recorded. `_parked` has the inputs that raised,
                      `_inputs` all of them.
    recorded.duckdb   what the original log has of the service for the same inputs, as it is there.
    plan.json         the plan of the code that was replayed
    schemas.json      see `flowc_engine.state`
    replay.json       what it is, and what came of it
    stores/           the service's store, as it is behind the last input
    NAME.log          what the service's processes wrote
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from flowc_dsl.plan import ServicePlan
from flowc_dsl.sqltext import literal
from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.generations import History
from flowc_engine.journal import record as rec
from flowc_engine.journal.reader import Read
from flowc_engine.lifting import StoredSchemas
from flowc_engine.log.pending import Pending
from flowc_engine.log.query import LogAnswer
from flowc_engine.log.readers import Readers
from flowc_engine.log.store import LogStore, Place, connect, open_store, reader_of
from flowc_engine.replaying.original import Original, records
from flowc_engine.replaying.protocol import Made, Seen

NOW: Final = "log"
RECORDED: Final = "recorded"
_KILLED: Final = (
    "SELECT _offset FROM _parked_now WHERE starts_with(error, 'flowc.errors.KilledError')"
)
"""So does the error begin of an event that killed its process again and again (`flowc.errors`)."""
INPUTS: Final = {"_inputs": "_offset BIGINT, event VARCHAR, called BOOLEAN"}
"""The events that were read; `called` is false of those that no handler is called for in a
replay."""


@dataclass(frozen=True, slots=True)
class Fork:
    folder: Path

    @property
    def log_file(self) -> Path:
        return self.folder / "log.duckdb"

    @property
    def recorded_file(self) -> Path:
        return self.folder / "recorded.duckdb"

    @property
    def plan_file(self) -> Path:
        return self.folder / "plan.json"

    @property
    def report_file(self) -> Path:
        return self.folder / "replay.json"


def make_fork(replays: Path, name: str) -> Fork:
    """A new folder `name-N` below `replays`. Raises `OSError`."""
    replays.mkdir(parents=True, exist_ok=True, mode=0o700)
    number = 1
    while True:
        folder = replays / f"{name}-{number}"
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            number += 1
        else:
            return Fork(folder)


class _Made(Pending):
    """What was said to be made, and to have been called."""

    def __init__(self, schemas: StoredSchemas) -> None:
        super().__init__(schemas)
        self.seen: list[Seen] = []

    @property
    def empty(self) -> bool:
        return not self.seen and super().empty

    def extra(self) -> Iterator[tuple[str, pa.Table]]:
        yield from super().extra()
        if self.seen:
            each = [np.frombuffer(one.offsets, "<i8") for one in self.seen]
            sizes = [len(offsets) for offsets in each]
            columns = [
                np.concatenate(each),
                np.repeat([one.event for one in self.seen], sizes),
                np.repeat([one.called for one in self.seen], sizes),
            ]
            yield "_inputs", pa.table(columns, names=["_offset", "event", "called"])


class Writer:
    """Fills the log of a fork. `emitted`: how many events there are, by type."""

    def __init__(self, fork: Fork, history: History, service: str) -> None:
        now = History.of(history.plan)
        self._schemas = StoredSchemas(now)
        self._store = open_store(fork.log_file, now, secrets.randbits(63), INPUTS)
        self._service = service
        self._pending = _Made(self._schemas)
        self._rows = self._record = self._offset = 0

    def made(self, said: Made, bodies: list[memoryview]) -> None:
        """Add what was made. Raises `duckdb.Error`."""
        rows = sum(batch.rows for batch in said.batches)
        size = sum(said.sizes)
        head = rec.Header(rec.KIND_ENTRY, size, rows, self._record, self._offset, 0, 0, 0)
        entry = rec.StepDone(
            said.time_us, said.batches, said.sizes, self._service, 0, 0, 0, 0, said.parked, [], []
        )
        self._pending.add(Read(head, entry, bodies, 0, 0))
        self._pending.seen += said.seen
        self._record += 1
        self._offset += rows
        self._rows += rows + sum(len(seen.offsets) // 8 for seen in said.seen)
        if self._rows >= limits.LOG_ROWS_PER_TRANSACTION:
            self._apply()

    def _apply(self) -> None:
        place = Place(0, self._record, self._record, self._offset)
        _apply(self._store, self._pending, place)
        self._pending, self._rows = _Made(self._schemas), 0

    def close(self) -> None:
        """All is in the file. Raises `duckdb.Error`."""
        try:
            self._apply()
            self._store.checkpoint()
        finally:
            self._store.close()


def _apply(store: LogStore, pending: Pending, place: Place) -> None:
    store.apply(pending, place)
    if store.bytes_since_save >= limits.LOG_CHECKPOINT_BYTES:
        store.checkpoint()


# ---- what was recorded


def copy_recorded(
    fork: Fork, original: Original, service: ServicePlan, span: tuple[int, int]
) -> list[int]:
    """Copy what the service has emitted for inputs in `span` (from, to), and which of them it
    parked. Those that are parked because they killed their process come back.

    Raises `JournalRotError`, `OriginalError`, `duckdb.Error`.
    """
    store = open_store(fork.recorded_file, original.history, secrets.randbits(63))
    try:
        schemas = StoredSchemas(original.history)
        pending, place = Pending(schemas), Place()
        for read in records(original.journal, span[0], original.end):
            own = _of_service(read, service, span, schemas)
            if own is not None:
                pending.add(own)
            place = Place(read.segment, read.position, read.header.record + 1, 0)
            if pending.rows >= limits.LOG_ROWS_PER_TRANSACTION:
                _apply(store, pending, place)
                pending = Pending(schemas)
        _apply(store, pending, place)
        store.checkpoint()
        return [row["_offset"] for row in store.readers.query(_KILLED).table.to_pylist()]
    finally:
        store.close()


def _of_service(
    read: Read, service: ServicePlan, span: tuple[int, int], schemas: StoredSchemas
) -> Read | None:
    """What of a record is about the service and inputs of `span`."""
    entry, inside = read.entry, range(*span)
    if isinstance(entry, rec.Unparked) and entry.service == service.name:
        offsets = [offset for offset in entry.offsets if offset in inside]
        return read._replace(entry=msgspec.structs.replace(entry, offsets=offsets))
    if not isinstance(entry, rec.StepDone) or entry.service != service.name:
        return None
    batches, bodies, first = [], [], read.header.first_offset
    for batch, body in zip(entry.batches, read.bodies, strict=True):
        if batch.event not in service.waits:
            kept = _caused_in(batch, body, first - read.header.first_offset, first, span, schemas)
            if kept is not None:
                batches.append(kept[0])
                bodies.append(kept[1])
        first += 0 if batch.places else batch.rows
    parked = [p for p in entry.parked if p.offset in inside]
    sizes = [len(body) for body in bodies]
    own = msgspec.structs.replace(entry, batches=batches, sizes=sizes, parked=parked)
    rows = sum(batch.rows for batch in batches)
    return read._replace(header=read.header._replace(rows=rows), entry=own, bodies=bodies)


def _caused_in(
    batch: wire.Batch,
    body: memoryview,
    at: int,
    first: int,
    span: tuple[int, int],
    schemas: StoredSchemas,
) -> tuple[wire.Batch, memoryview] | None:
    """The rows of a batch whose causes are in `span`. `at` is its place in its record."""
    places = np.frombuffer(batch.places, "<u4") if batch.places else at + np.arange(batch.rows)
    try:
        _, schema = schemas.at(batch.event, first)
        rows = pa.ipc.read_record_batch(pa.py_buffer(body), schema)
    except (KeyError, pa.ArrowException):  # it is in _rejected, here as there
        return wire.Batch(batch.event, batch.rows, places.astype("<u4").tobytes()), body
    causes = rows.column("_cause").fill_null(-1).to_numpy()
    chosen = np.flatnonzero((causes >= span[0]) & (causes < span[1]))
    if not len(chosen):
        return None
    told = wire.Batch(batch.event, len(chosen), places[chosen].astype("<u4").tobytes())
    return told, memoryview(rows.take(pa.array(chosen)).serialize())


# ---- asking


class ForkLog:
    """An open fork: the tables of the log, and `recorded.NAME` where that was copied."""

    live = False

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self._readers = Readers([reader_of(con)])

    def query(self, sql: str, rows_max: int | None = None, *, as_of: int = -1) -> LogAnswer:  # noqa: ARG002 - nothing is added to it
        """See `Log`."""
        result = self._readers.query(sql, rows_max)
        found = self._readers.query("SELECT max(_offset) FROM log.main._applied").table
        applied = found.column(0)[0].as_py() or 0
        return LogAnswer(result.table, result.truncated, applied, current=True)

    def close(self) -> None:
        """Let go of the files."""
        self._readers.close()
        self.con.close()


@contextmanager
def open_fork(fork: Fork) -> Iterator[ForkLog]:
    """Open a fork to read it. Raises `duckdb.Error`."""
    con = connect(fork.log_file)
    try:
        for name, file in ((NOW, fork.log_file), (RECORDED, fork.recorded_file)):
            con.execute(f"ATTACH {literal(os.fspath(file))} AS {name} (READ_ONLY)")
        log = ForkLog(con)
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
    except BaseException:
        con.close()
        raise
    try:
        yield log
    finally:
        log.close()
