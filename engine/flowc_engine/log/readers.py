"""Queries, each on a connection that can only read: no writes, no files, bounded memory and time.

The database is confined as a whole (`enable_external_access`, `lock_configuration`); here, only
statements that read are let through, one at a time, in a read-only transaction.
"""

from __future__ import annotations

import os
import queue
import re
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from threading import Lock, Timer
from typing import Literal

import duckdb
import pyarrow as pa

from flowc_engine import limits

_READING = frozenset({"SELECT", "EXPLAIN", "MULTI"})  # MULTI: what PIVOT is made of
_GAP = r"(?:\s|--[^\n]*\n|/\*(?:(?!\*/).)*\*/)*"
_EXPLAIN = re.compile(
    rf"{_GAP}EXPLAIN\b{_GAP}(?:ANALYZE\b|\([\w\s,]*\))?{_GAP}", re.IGNORECASE | re.DOTALL
)
_QUERY = re.compile(
    rf"(?:{_GAP}\()*{_GAP}(?:SELECT|FROM|WITH|VALUES|TABLE|SHOW|DESCRIBE|SUMMARIZE|(?:UN)?PIVOT)\b",
    re.IGNORECASE | re.DOTALL,
)
_BATCH_ROWS = 8_192
_STUCK = 1  # an exit code after which the log process is started again
_STOP_POLL_S = 0.05

FailureKind = Literal["sql", "refused", "timeout", "too_large", "busy", "damaged", "unavailable"]


class QueryError(Exception):
    """A query has no answer; the text says why, in one or a few lines."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind


@dataclass(frozen=True, slots=True)
class Result:
    """`truncated`: there were more rows than asked for."""

    table: pa.Table
    truncated: bool


class Readers:
    """A few connections, lent to one query each. For use from any thread."""

    def __init__(self, connections: list[duckdb.DuckDBPyConnection]) -> None:
        self._all = connections
        self._free: queue.SimpleQueue[duckdb.DuckDBPyConnection] = queue.SimpleQueue()
        for connection in connections:
            self._free.put(connection)
        self._lock = Lock()
        self._closed = False

    def query(
        self, sql: str, rows_max: int | None = None, timeout_ms: int = limits.QUERY_TIMEOUT_MS
    ) -> Result:
        """The answer to one statement that reads. Raises `QueryError`."""
        with self._lend(timeout_ms) as con:
            _check(con, sql)
            try:
                return _run(con, sql, rows_max)
            except duckdb.Error as error:
                if self._closed:
                    raise _closed() from error
                raise _explain(error, timeout_ms) from error

    @contextmanager
    def _lend(self, timeout_ms: int) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            con = self._free.get(timeout=timeout_ms / 1000)
        except queue.Empty:
            raise QueryError("busy", "other queries take all connections; try again") from None
        if self._closed:
            self._free.put(con)
            raise _closed()
        timer = Timer(timeout_ms / 1000, con.interrupt)
        last = Timer((timeout_ms + limits.QUERY_STOP_MS) / 1000, _end_process)
        for each in (timer, last):
            each.daemon = True
            each.start()
        try:
            yield con
        finally:
            last.cancel()
            timer.cancel()
            timer.join()  # or it might interrupt the next query
            _end(con)
            self._free.put(con)

    def interrupt(self) -> None:
        """Stop what runs, for example to get its memory back."""
        for connection in self._all:
            connection.interrupt()

    def close(self) -> None:
        """Stop what runs and close the connections."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        back: list[duckdb.DuckDBPyConnection] = []
        while len(back) < len(self._all):
            self.interrupt()  # again: a query that had only just begun does not notice
            with suppress(queue.Empty):
                back.append(self._free.get(timeout=_STOP_POLL_S))
        for con in back:
            con.close()


def _check(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    if len(sql) > limits.QUERY_SQL_CHARS_MAX:
        raise QueryError("refused", f"SQL of over {limits.QUERY_SQL_CHARS_MAX} characters")
    try:
        statements = con.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError("sql", str(error)) from error
    if len(statements) != 1:
        raise QueryError("refused", f"one statement, please: these are {len(statements)}")
    kind = statements[0].type.name
    if kind not in _READING:
        raise QueryError("refused", f"the log is read-only: {kind} is not a query")
    if kind != "SELECT":
        _check_inner(con, sql)


def _check_inner(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    """EXPLAIN and PIVOT may be of COPY too, which writes, also to the archive."""
    explained = _EXPLAIN.match(sql)
    inner = sql[explained.end() :] if explained else sql
    try:
        kinds = [statement.type.name for statement in con.extract_statements(inner)]
    except duckdb.Error as error:
        raise QueryError("sql", str(error)) from error
    if kinds not in (["SELECT"], ["MULTI"]) or not _QUERY.match(inner):
        raise QueryError("refused", "only a query can be explained or pivoted")


def _run(con: duckdb.DuckDBPyConnection, sql: str, rows_max: int | None) -> Result:
    con.execute("BEGIN TRANSACTION READ ONLY")
    with closing(con.sql(sql).to_arrow_reader(_BATCH_ROWS)) as reader:
        batches, rows = _read(reader, rows_max)
        table = pa.Table.from_batches(batches, reader.schema)
    if rows_max is None or rows <= rows_max:
        return Result(table, truncated=False)
    return Result(table.slice(0, rows_max), truncated=True)


def _read(reader: pa.RecordBatchReader, rows_max: int | None) -> tuple[list[pa.RecordBatch], int]:
    """The batches, and how many rows they have: more than `rows_max` if there were more."""
    batches: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in reader:
        batches.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows_max is not None and rows > rows_max:
            break
        if size > limits.QUERY_RESULT_BYTES_MAX:
            raise QueryError(
                "too_large",
                f"the result is larger than {limits.QUERY_RESULT_BYTES_MAX // limits.MIB} MiB: "
                "add a LIMIT, or aggregate",
            )
    return batches, rows


def _end_process() -> None:
    """DuckDB looks whether it was interrupted between chunks of rows: one call of a function may
    take hours. Nothing that was acknowledged is in this process alone."""
    print(
        "error: a query did not stop when its time was up, and is stopped with its process",
        file=sys.stderr,
        flush=True,
    )
    os._exit(_STUCK)


def _end(con: duckdb.DuckDBPyConnection) -> None:
    try:
        con.execute("ROLLBACK")
    except duckdb.Error:
        return  # there was no transaction yet


def _closed() -> QueryError:
    return QueryError("unavailable", "the log was closed for a while; try again")


def _explain(error: duckdb.Error, timeout_ms: int) -> QueryError:
    text = str(error)
    if isinstance(error, duckdb.InterruptException):
        return QueryError("timeout", f"stopped: it took over {timeout_ms / 1000:g} s, or too much")
    if is_damage(error):
        return QueryError("damaged", text)
    if isinstance(error, duckdb.FatalException):  # a checkpoint failed; the file is sound
        return _closed()
    return QueryError("sql", text)


def is_damage(error: Exception) -> bool:
    """Whether DuckDB found that its file is not what it wrote."""
    text = str(error)
    return "Corrupt database file" in text or "Could not read enough bytes" in text
