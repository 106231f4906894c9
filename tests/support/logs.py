"""Event logs in memory: the log's own tables and views, filled by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import duckdb
import pyarrow as pa

from flowc_dsl.plan import Plan
from flowc_dsl.sqltext import quote
from flowc_engine.log import tables as tb
from flowc_engine.log.query import LogAnswer

_FILLED = "filled"
_ENVELOPE = pa.schema(
    [
        ("_offset", pa.int64()),
        ("_time", pa.timestamp("us", "UTC")),
        ("_source", pa.string()),
        ("_cause", pa.int64()),
    ]
)
_PARKED = pa.schema(
    [
        ("_offset", pa.int64()),
        ("event", pa.string()),
        ("service", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
    ]
)
_REJECTED = pa.schema(
    [
        ("_offset", pa.int64()),
        ("rows", pa.int32()),
        ("event", pa.string()),
        ("error", pa.string()),
    ]
)
Row = Mapping[str, Any]


class MemoryLog:
    """A log of the tables that a plan wants. Times are µs; what a row does not have is null."""

    live = False

    def __init__(self, plan: Plan) -> None:
        self._con = duckdb.connect(":memory:", config={"threads": 1})
        for name, columns in tb.SYSTEM_TABLES.items():
            self._con.execute(f"CREATE TABLE main.{name} ({columns})")
        self._tables = {event.name: tb.event_table(plan, event) for event in plan.events}
        for table in self._tables.values():
            self._con.execute(table.create_sql("main"))
            row = [table.event, table.version, table.key, table.columns_json]
            self._con.execute("INSERT INTO _types VALUES (?, ?, ?, ?)", row)
        self._con.execute(tb.events_view_sql("main", self._tables.values()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def clear(self) -> None:
        """Take out all that was added."""
        for table in [*map(quote, self._tables), "_parked", "_rejected"]:
            self._con.execute(f"DELETE FROM {table}")

    def add(self, event: str, rows: Iterable[Row], fields: pa.Schema) -> None:
        """Events of one type, whose own `fields` these are."""
        self._fill(quote(event), rows, pa.schema([*fields, *_ENVELOPE]))

    def park(self, rows: Iterable[Row]) -> None:
        """What was parked: `_offset`, `event`, `service`, `time`."""
        self._fill("_parked", rows, _PARKED)

    def reject(self, rows: Iterable[Row]) -> None:
        """Batches that fit no table: `_offset`, `rows`, `event`, `error`."""
        self._fill("_rejected", rows, _REJECTED)

    def _fill(self, table: str, rows: Iterable[Row], schema: pa.Schema) -> None:
        rows = list(rows)
        if not rows:
            return
        self._con.register(_FILLED, pa.Table.from_pylist(rows, schema))
        self._con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM {_FILLED}")
        self._con.unregister(_FILLED)

    def query(self, sql: str, rows_max: int | None = None, *, as_of: int = -1) -> LogAnswer:  # noqa: ARG002 - it is all in memory
        """As of `Log`."""
        table = self._con.sql(sql).to_arrow_table()
        return LogAnswer(table, truncated=False, applied=0, current=True)
