# ruff: noqa: S608 - every name in SQL went through `quote`
"""Events of the past as they were on the wire, from the log's tables."""

from __future__ import annotations

import pyarrow as pa

from flowc_engine import limits
from flowc_engine.log import protocol
from flowc_engine.log.readers import QueryError, Readers
from flowc_engine.log.tables import literal, quote
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
    listed = ", ".join(quote(field.name) for field in schema)
    sql = (
        f"SELECT {listed} FROM {quote(event)} WHERE _offset >= {begin} AND _offset < {end} "
        "ORDER BY _offset"
    )
    table = readers.query(sql).table
    root = schema.get_field_index("_root")
    own = pa.compute.if_else(
        pa.compute.equal(table.column(root), table.column("_offset")), None, table.column(root)
    )
    return table.set_column(root, "_root", own).cast(schema)


def _stream(table: pa.Table) -> bytes:
    frames = protocol.table_frames(table)
    return b"".join(frames)
