# ruff: noqa: S608 - every name in SQL is a constant of ours or went through `quote`
"""The DuckDB file of the log, and the one process that has it open.

A lock file of our own keeps others out: DuckDB's lock is lost when the owner's process closes any
descriptor of the file, so nothing here opens it but DuckDB itself.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from flowc_dsl.sqltext import literal, quote
from flowc_engine import limits
from flowc_engine.generations import History
from flowc_engine.journal.disk import OS_DISK
from flowc_engine.log import tables as tb
from flowc_engine.log.archive import FOLDER, Archive
from flowc_engine.log.layout import lay_out
from flowc_engine.log.pending import Pending, Written
from flowc_engine.log.readers import Readers, is_damage
from flowc_engine.log.retention import Retention

DATABASE = "log"
SCHEMA = f"{DATABASE}.main"
_SOURCE = "_batch"
_LOCK_POLL_S = 0.02

Note = Callable[[str], None]


class LogHeldError(Exception):
    """Another process has the log open."""


class LogDamagedError(Exception):
    """The file can't be opened, or is no log of this journal."""


class CheckpointDelayedError(Exception):
    """A query is still at rows that are no longer in their table; try again when it has ended."""


class Place(NamedTuple):
    """The next record to apply: where it is in the journal, its number, and its first offset."""

    segment: int = 0
    position: int = 0
    record: int = 0
    offset: int = 0


class _Rows:
    """A table that DuckDB scans by a fixed name: what it is changes with each insert."""

    def __init__(self) -> None:
        self.table = pa.table({"nothing": pa.nulls(0)})

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


@contextmanager
def hold_log(log_file: Path) -> Iterator[None]:
    """Keep other processes from opening the log. Raises `LogHeldError` after `LOG_LOCK_WAIT_MS`."""
    fd = os.open(log_file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + limits.LOG_LOCK_WAIT_MS / 1000
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LogHeldError(f"{log_file} is open in another process") from None
                time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(fd)


class LogStore:
    """An open log. Make one with `open_store`, under `hold_log`; use it from one thread.

    `readers` may be used from any. A `duckdb.Error` in `apply` or `checkpoint` leaves the file at
    its last checkpoint: close the store and open it again.
    """

    def __init__(self, file: Path, con: duckdb.DuckDBPyConnection, history: History) -> None:
        self._con = con
        self._rows = _Rows()
        con.register(_SOURCE, self._rows)
        archive = Archive(file.parent.resolve() / FOLDER)
        laid_out = lay_out(con, DATABASE, history, archive)
        self._tables = {(t.event, t.version): t for own in laid_out.values() for t in own}
        self._retention = Retention(con, SCHEMA, history, archive)
        self.applied = _read_applied(con)
        self.saved = self.applied  # survives without the journal
        self._written = self.applied
        self.bytes_since_save = 0
        self._retained = False
        self.readers = Readers([reader_of(con) for _ in range(limits.QUERIES_AT_ONCE)])
        con.execute(f"SET allowed_directories = [{literal(f'{archive.folder}/')}]")
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
        self.file = file

    def apply(self, pending: Pending, place: Place) -> None:
        """Add events and parked events, and move to `place`, in one transaction.

        Raises `duckdb.Error`. Rows that don't convert go to `_rejected`.
        """
        if pending.empty:
            self.applied = place
        else:
            try:
                self._transaction(pending, place)
            except duckdb.DataError:
                self._sift(pending)
                self._transaction(pending, place)
        self.bytes_since_save += pending.journal_bytes

    @property
    def unsaved(self) -> bool:
        """Whether a checkpoint has something to do."""
        return self.saved != self.applied or self._retained

    def retain(self, now_us: int) -> bool:
        """Export rows that are older than their events are kept, one file at most, and take them
        out of their table; whether there was any. A checkpoint makes it durable.

        Raises `ExportError` (nothing has changed), and `duckdb.Error`.
        """
        moved = self._retention.step(self._tables, self.applied.offset, now_us)
        self._retained = self._retained or moved
        return moved

    def kept_from(self) -> int:
        """The first event that is not in an exported file. Raises `duckdb.Error`."""
        names = [f"{SCHEMA}.{quote(table.name)}" for table in self._tables.values()]
        each = " UNION ALL ".join(
            f"SELECT min(_offset) AS first FROM {name}" for name in [*names, f"{SCHEMA}._rejected"]
        )
        [(first,)] = self._con.execute(f"SELECT min(first) FROM ({each})").fetchall()
        return self.applied.offset if first is None else min(first, self.applied.offset)

    def checkpoint(self) -> None:
        """Make all that was applied independent of the journal. Raises `duckdb.Error`; of a
        query that still reads what was exported, `CheckpointDelayedError`."""
        if self._written != self.applied:
            self._con.execute(_applied_sql(self.applied))
            self._written = self.applied
        try:
            self._con.execute(f"CHECKPOINT {DATABASE}")
        except duckdb.TransactionException as error:
            raise CheckpointDelayedError(str(error)) from error
        self.saved, self._retained = self.applied, False
        self.bytes_since_save = 0

    def close(self) -> None:
        """Let go of the file, as it is."""
        self.readers.close()
        self._con.close()

    def _transaction(self, pending: Pending, place: Place) -> None:
        con = self._con
        con.execute("BEGIN TRANSACTION")
        try:
            for written, rows in pending.events():
                self._rows.table = rows
                con.execute(self._insert_sql(written))
            for name, extra in pending.extra():
                self._rows.table = extra
                con.execute(f"INSERT INTO {SCHEMA}.{name} BY NAME SELECT * FROM {_SOURCE}")
            con.execute(_applied_sql(place))
            con.execute("COMMIT")
        except BaseException:
            _rollback(con)
            raise
        self.applied = self._written = place

    def _insert_sql(self, written: Written) -> str:
        table = self._tables[written]
        values = table.values_sql()
        return f"INSERT INTO {SCHEMA}.{quote(table.name)} SELECT {values} FROM {_SOURCE}"

    def _sift(self, pending: Pending) -> None:
        """Move the rows that their tables can't take to the rejected ones."""

        def why_not(written: Written, rows: pa.Table) -> str | None:
            self._rows.table = rows
            values = self._tables[written].values_sql()
            try:
                self._con.sql(f"SELECT {values} FROM {_SOURCE}").to_arrow_table()
            except duckdb.DataError as error:
                return str(error)
            return None

        pending.sift(why_not)


def open_store(
    file: Path, history: History, journal_id: int, more: Mapping[str, str] | None = None
) -> LogStore:
    """Open the log, made new when there is none. `more`: tables that a new one has besides, with
    their columns.

    Raises `LogDamagedError` for a file that is no log of this journal, `LogHeldError`,
    `LogSchemaError` when the history and the tables differ, and `OSError` or `duckdb.Error` (disk).
    """
    shutil.rmtree(_spill(file), ignore_errors=True)  # of a process that was killed
    if not file.exists():
        _create(file, history.plan.system, journal_id, more or {})
    con = connect(file)
    try:
        _attach(con, file)
        _check_meta(con, file, journal_id)
        return LogStore(file, con, history)
    except duckdb.Error as error:
        con.close()
        if is_damage(error):
            raise LogDamagedError(str(error)) from error
        raise
    except BaseException:
        con.close()
        raise


def quarantine(file: Path) -> Path:
    """Move a file that is no log aside; its new name comes back."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    aside = file.with_name(f"{file.name}.bad-{stamp}")
    file.rename(aside)
    wal = file.with_name(f"{file.name}.wal")
    if wal.exists():  # another program wrote to it: ours never makes one
        wal.rename(aside.with_name(f"{aside.name}.wal"))
    OS_DISK.sync_folder(file.parent)
    return aside


def _spill(file: Path) -> Path:
    return file.with_name("log.spill")


def connect(file: Path) -> duckdb.DuckDBPyConnection:
    """A connection to no database yet, with the settings of a log's; it spills beside `file`."""
    # A checkpoint of DuckDB's own would stall a commit: they are ours to time.
    never = "1000GB"
    return duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": f"{limits.LOG_MEMORY_MIB}MiB",
            "temp_directory": str(_spill(file)),
            "max_temp_directory_size": f"{limits.LOG_SPILL_MIB}MiB",
            "checkpoint_threshold": never,
            "auto_checkpoint_skip_wal_threshold": 10**15,
            # It would write all groups that are not full anew at each checkpoint.
            "max_vacuum_tasks": 0,
            "python_enable_replacements": False,
            "allow_persistent_secrets": False,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
        },
    )


def _attach(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    options = f"RECOVERY_MODE no_wal_writes, ROW_GROUP_SIZE {limits.LOG_ROW_GROUP_ROWS}"
    try:
        con.execute(f"ATTACH {literal(str(file))} AS {DATABASE} ({options})")
    except duckdb.Error as error:
        if "Could not set lock" in str(error):
            raise LogHeldError(f"{file} is open in another program: {error}") from error
        if isinstance(error, duckdb.IOException) and not _is_of_the_content(error):
            raise
        raise LogDamagedError(str(error)) from error
    con.execute(f"USE {DATABASE}")


def _is_of_the_content(error: duckdb.Error) -> bool:
    """Whether the file was read and is wrong, and not just can't be opened (permissions, disk)."""
    return is_damage(error) or "not a valid DuckDB database" in str(error)


def _create(file: Path, system: str, journal_id: int, more: Mapping[str, str]) -> None:
    """Made under another name, so that a log that was begun is never taken for one."""
    new = file.with_name(f"{file.name}.new")
    for leftover in (new, new.with_name(f"{new.name}.wal")):
        leftover.unlink(missing_ok=True)
    con = connect(file)
    try:
        _attach(con, new)
        con.execute("BEGIN TRANSACTION")
        for name, columns in {**tb.SYSTEM_TABLES, **more}.items():
            con.execute(f"CREATE TABLE {SCHEMA}.{name} ({columns})")
        meta = [journal_id, tb.FORMAT, system]
        con.execute(f"INSERT INTO {SCHEMA}._meta VALUES (?, ?, ?, now())", meta)
        con.execute("COMMIT")
        con.execute(f"CHECKPOINT {DATABASE}")
    finally:
        con.close()
    new.rename(file)
    OS_DISK.sync_folder(file.parent)


def _check_meta(con: duckdb.DuckDBPyConnection, file: Path, journal_id: int) -> None:
    try:
        found = con.execute(f"SELECT journal_id, format FROM {SCHEMA}._meta").fetchall()
    except duckdb.CatalogException as error:
        raise LogDamagedError(str(error)) from error
    if not found or found[0][0] != journal_id:
        raise LogDamagedError(f"{file.name} belongs to another journal")
    if found[0][1] != tb.FORMAT:
        raise tb.LogSchemaError(
            f"{file.name} has format {found[0][1]}, this flowc reads {tb.FORMAT}"
        )


def _read_applied(con: duckdb.DuckDBPyConnection) -> Place:
    sql = f"SELECT segment, position, record, _offset FROM {SCHEMA}._applied ORDER BY record DESC"
    found = con.execute(f"{sql} LIMIT 1").fetchall()
    return Place(*found[0]) if found else Place()


def _applied_sql(place: Place) -> str:
    values = ", ".join(map(str, place))
    return f"INSERT INTO {SCHEMA}._applied VALUES ({values}, now())"


def reader_of(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A connection for queries; `lock_configuration` keeps its settings what they are."""
    cursor = con.cursor()
    cursor.execute(f"USE {DATABASE}")
    cursor.execute(f"SET operator_memory_limit = '{limits.QUERY_MEMORY_MIB}MiB'")
    cursor.execute("SET TimeZone = 'UTC'")
    return cursor


def _rollback(con: duckdb.DuckDBPyConnection) -> None:
    try:
        con.execute("ROLLBACK")
    except duckdb.Error:
        return  # the failed commit has ended it already; what went wrong is being raised
