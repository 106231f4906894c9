# ruff: noqa: S608 - every name in SQL went through `quote`
"""Events of the past as they were on the wire, from the log's tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa

from flowc_dsl.sqltext import literal, quote
from flowc_engine import limits
from flowc_engine.lifting import widened
from flowc_engine.log import protocol
from flowc_engine.log.readers import QueryError, Readers
from flowc_engine.schema import WireSchemas

_BEHIND = (("_offset", pa.int64()), ("_source", pa.string()))


def history(
    readers: Readers, schemas: WireSchemas, asked: protocol.History, applied: int
) -> list[bytes]:
    """The frames of the answer. Raises `QueryError`, and for an event that is not of the plan."""
    known = {event.name for event in schemas.plan.events}
    for event in asked.events:
        if event not in known:
            raise QueryError("refused", f"{event} is no event of this system")
    rows_max = max(1, min(asked.rows_max, limits.HISTORY_ROWS_MAX))
    begin, end = max(asked.begin, 0), min(asked.end, applied)
    if asked.events and begin < end:
        end = min(end, _end(readers, asked.events, begin, end, rows_max))
    found = {e: _rows(readers, schemas, e, begin, end) for e in asked.events}
    present = {event: table for event, table in found.items() if table.num_rows}
    head = protocol.HistoryPart(asked.id, max(begin, end), list(present))
    return [protocol.encode(head), *(_stream(table) for table in present.values())]


def _end(readers: Readers, events: list[str], begin: int, end: int, rows_max: int) -> int:
    """Where a part of `rows_max` events ends."""
    listed = ", ".join(map(literal, events))
    sql = (
        f"SELECT _offset FROM _events WHERE event IN ({listed}) AND _offset >= {begin} "
        f"AND _offset < {end} ORDER BY _offset LIMIT 1 OFFSET {rows_max}"
    )
    table = readers.query(sql).table
    return int(table.column(0)[0].as_py()) if table.num_rows else end


def _rows(readers: Readers, schemas: WireSchemas, event: str, begin: int, end: int) -> pa.Table:
    schema = schemas.get(event)
    for name, kind in _BEHIND:
        schema = schema.append(pa.field(name, kind))
    listed = ", ".join(quote(field.name) for field in schema if field.name != "_root")
    sql = (
        f"SELECT {listed}, nullif(_root, _offset) AS _root FROM {quote(event)} "
        f"WHERE _offset >= {begin} AND _offset < {end} ORDER BY _offset"
    )
    table = readers.query(sql).table
    columns = [_retyped(table.column(field.name), field.type) for field in schema]
    return pa.table(columns, schema)


def _retyped(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """DuckDB's types as those of the wire."""
    if not _holds_duration(kind):
        return pa.chunked_array([widened(chunk, kind) for chunk in column.chunks], kind)
    # An interval is months, days and nanoseconds; Arrow has no cast from it.
    values = [_durations(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(values, kind)])


def _holds_duration(kind: pa.DataType) -> bool:
    inner = (kind.field(i).type for i in range(kind.num_fields))
    return pa.types.is_duration(kind) or any(map(_holds_duration, inner))


def _durations(value: Any) -> Any:
    """`value` with the intervals in it as durations: those of the log have no months."""
    if isinstance(value, pa.MonthDayNano):
        return timedelta(days=value.days, microseconds=value.nanoseconds // 1000)
    if isinstance(value, dict):
        return {key: _durations(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_durations(item) for item in value)
    return value


def _stream(table: pa.Table) -> bytes:
    frames = protocol.table_frames(table)
    return b"".join(frames)
