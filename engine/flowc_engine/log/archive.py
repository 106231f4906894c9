# ruff: noqa: S608 - every name in SQL is a constant of ours or went through `quote`
"""The archive: Parquet files with the rows that left the log's tables.

`archive/OrderPlaced@v1/FIRST-LAST.parquet` below the state's folder has rows of one table as they
were there; FIRST and LAST are the lowest and the highest offset in it. `_exports` in the log says
which files there must be, and what they hold. What it does not name is no part of the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import xxhash

from flowc_dsl.sqltext import literal, quote
from flowc_engine import limits
from flowc_engine.journal.disk import OS_DISK
from flowc_engine.log.readers import is_damage
from flowc_engine.log.tables import ENVELOPE_COLUMNS, EventTable

FOLDER: Final = "archive"
_SUFFIX: Final = ".parquet"
_UNFINISHED: Final = ".tmp"


class ExportError(Exception):
    """Rows could not be exported. They are where they were."""


@dataclass(frozen=True, slots=True)
class Export:
    """A row of `_exports` without its time. `sum` is XXH3-64 of the file; `modified_ns` when it was
    written."""

    event: str
    version: int
    file: str
    first: int
    last: int
    rows: int
    bytes: int
    sum: int
    modified_ns: int

    def insert_sql(self, schema: str) -> str:
        """Adds it to `_exports`."""
        told = f"{literal(self.event)}, {self.version}, {literal(self.file)}, {self.first}, "
        told += f"{self.last}, {self.rows}, {self.bytes}, {self.sum}, {self.modified_ns}, now()"
        return f"INSERT INTO {schema}._exports VALUES ({told})"


def read_exports(con: duckdb.DuckDBPyConnection, schema: str) -> list[Export]:
    """All exports, by event, version and offset."""
    columns = "event, version, file, first, last, rows, bytes, sum, modified_ns"
    sql = f"SELECT {columns} FROM {schema}._exports ORDER BY event, version, first"
    return [Export(*row) for row in con.execute(sql).fetchall()]


def of_table(table: EventTable, exports: Sequence[Export]) -> list[Export]:
    """The exports of one table."""
    wanted = (table.event, table.version)
    return [export for export in exports if (export.event, export.version) == wanted]


class Archive:
    """The files of one log, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sound: set[tuple[str, int, int]] = set()

    def export(
        self, con: duckdb.DuckDBPyConnection, schema: str, table: EventTable, until_us: int
    ) -> Export | None:
        """Write the oldest rows with `_time` before `until_us` to a new file, durably; at most
        `RETAIN_FILE_ROWS_MAX`. They stay in the table. None: there are none.

        Raises `ExportError`.
        """
        name = f"{schema}.{quote(table.name)}"
        old = f"FROM {name} WHERE _time < make_timestamptz({until_us})"
        bounds = f"SELECT _offset {old} LIMIT {limits.RETAIN_FILE_ROWS_MAX}"
        [(rows, first, last)] = con.execute(
            f"SELECT count(*), min(_offset), max(_offset) FROM ({bounds})"
        ).fetchall()
        if not rows:
            return None
        path = self.folder / table.own_name / f"{first}-{last}{_SUFFIX}"
        chosen = f"{old} AND _offset <= {last}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(con, table, f"SELECT {table.exported_sql()} {chosen}", path)
            stat, found = path.stat(), _sum(path)
        except (OSError, duckdb.IOException) as error:
            if is_damage(error):  # of the log itself
                raise
            raise ExportError(
                f"{path.name} of {table.own_name} was not written: {error}"
            ) from error
        self._sound.add((os.fspath(path), stat.st_size, stat.st_mtime_ns))
        return Export(
            table.event, table.version, f"{table.own_name}/{path.name}", first, last, rows,
            stat.st_size, found, stat.st_mtime_ns,
        )  # fmt: skip

    def _write(
        self, con: duckdb.DuckDBPyConnection, table: EventTable, sql: str, path: Path
    ) -> None:
        """Complete and durable under its name, or not there."""
        new = path.with_name(path.name + _UNFINISHED)
        try:
            con.execute(
                f"COPY ({sql}) TO {literal(os.fspath(new))} (FORMAT parquet, COMPRESSION zstd)"
            )
            _sync(new)
            _check_same(con, table, f"({sql})", _read_parquet([new]))
            new.rename(path)
            for folder in (path.parent, self.folder, self.folder.parent):
                OS_DISK.sync_folder(folder)
        except BaseException:
            new.unlink(missing_ok=True)
            raise

    def rows_sql(self, table: EventTable, exports: Sequence[Export]) -> list[str]:
        """Queries of the exported rows of a table, as they were in it. One of a file that is
        missing or damaged fails, and names it."""
        sound, queries = [], []
        for export in of_table(table, exports):
            fault = self._fault(export)
            if fault is None:
                sound.append(self.folder / export.file)
            else:
                queries.append(_failing_sql(table, fault))
        if sound:
            queries.append(f"SELECT {table.imported_sql()} FROM {_read_parquet(sound)}")
        return queries

    def _fault(self, export: Export) -> str | None:
        """What is wrong with a file. It is read only if its time is not that of its writing."""
        path = self.folder / export.file
        help_ = f"its {export.rows:,} events of {export.event} are nowhere else; put it back"
        try:
            stat = path.stat()
            known = (os.fspath(path), stat.st_size, stat.st_mtime_ns)
            if stat.st_size == export.bytes and (
                stat.st_mtime_ns == export.modified_ns
                or known in self._sound
                or _sum(path) == export.sum
            ):
                self._sound.add(known)
                return None
        except OSError as error:
            return f"{path} can't be read ({error.strerror}): {help_}"
        return f"{path} is not what was written to it: {help_}"

    def sweep(self, exports: Sequence[Export], applied: int) -> list[Path]:
        """Remove what a process that was killed has left: files that no record names, and of which
        the log has all events (all below `applied`). They come back."""
        named = {export.file for export in exports}
        gone = []
        for path in self._files():
            if path.name.endswith(_UNFINISHED) or (
                f"{path.parent.name}/{path.name}" not in named and _last(path) < applied
            ):
                path.unlink()
                gone.append(path)
        return gone

    def _files(self) -> Iterator[Path]:
        for name in (_SUFFIX, _SUFFIX + _UNFINISHED):
            yield from self.folder.glob(f"*@v*/*-*{name}")


def _last(path: Path) -> int:
    """The highest offset in a file, by its name."""
    text = path.name.removesuffix(_SUFFIX).partition("-")[2]
    return int(text) if text.isdecimal() else 2**63


def _read_parquet(files: Sequence[Path]) -> str:
    listed = ", ".join(literal(os.fspath(file)) for file in files)
    return f"read_parquet([{listed}])"


def _failing_sql(table: EventTable, text: str) -> str:
    """As many columns as the table has, of which none can be looked at."""
    columns = (*table.columns, *ENVELOPE_COLUMNS)
    failing = f"error({literal(text)})"
    listed = ", ".join(f"CAST({failing} AS {kind}) AS {quote(name)}" for name, kind in columns)
    return f"SELECT {listed} WHERE CAST({failing} AS BOOLEAN)"


def _check_same(con: duckdb.DuckDBPyConnection, table: EventTable, rows: str, file: str) -> None:
    names = ", ".join(quote(name) for name, _ in (*table.columns, *ENVELOPE_COLUMNS))
    wanted, found = (
        con.execute(f"SELECT count(*), bit_xor(hash({names})) FROM {source}").fetchall()
        for source in (rows, file)
    )
    if wanted != found:
        raise ExportError(f"{file} does not hold what was written to it")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sum(path: Path) -> int:
    """Raises `OSError`."""
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while chunk := file.read(limits.MIB):
            digest.update(chunk)
    return digest.intdigest()
