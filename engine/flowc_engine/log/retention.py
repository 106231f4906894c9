# ruff: noqa: S608 - every name in SQL is a constant of ours or went through `quote`
"""`retain 30d`: rows that are older leave their table, for the archive.

First the file is durable. Then one transaction takes the rows out of the table, records the file,
and has the event's view read it; a checkpoint makes that durable. So whenever the process dies, the
rows are in the table, or in a file that is recorded: a file without a record is swept.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import duckdb

from flowc_dsl.sqltext import quote
from flowc_engine import limits
from flowc_engine.generations import History, declared
from flowc_engine.log.archive import Archive, Export, read_exports
from flowc_engine.log.layout import event_view_sql, replace_view
from flowc_engine.log.pending import Written
from flowc_engine.log.tables import EventTable


class Retention:
    """Of one open log."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, schema: str, history: History, archive: Archive
    ) -> None:
        self._con, self._schema, self._history, self._archive = con, schema, history, archive
        self._swept = False

    def step(self, tables: dict[Written, EventTable], applied: int, now_us: int) -> bool:
        """Move the rows of one file; whether there were any. `tables` are brought up to date."""
        for table in list(tables.values()):
            event = declared(self._history.plan, table.event)
            if event is None or event.retain_ms is None:
                continue
            until_us = now_us - event.retain_ms * 1000
            if self._due(table, until_us - _slack_us(event.retain_ms)):
                if not self._swept:
                    self._archive.sweep(read_exports(self._con, self._schema), applied)
                    self._swept = True
                export = self._archive.export(self._con, self._schema, table, until_us)
                assert export is not None
                self._take_out(table, tables, export, until_us)
                return True
        return False

    def _due(self, table: EventTable, before_us: int) -> bool:
        name = f"{self._schema}.{quote(table.name)}"
        sql = f"SELECT 1 FROM {name} WHERE _time < make_timestamptz({before_us}) LIMIT 1"
        return bool(self._con.execute(sql).fetchall())

    def _take_out(
        self,
        table: EventTable,
        tables: dict[Written, EventTable],
        export: Export,
        until_us: int,
    ) -> None:
        own = replace(table, alone=False)
        renamed = {**tables, (table.event, table.version): own}
        exports = [*read_exports(self._con, self._schema), export]
        view = event_view_sql(
            self._schema, self._history, _of(renamed, own), exports, self._archive
        )
        name = f"{self._schema}.{quote(own.name)}"
        old = f"_time < make_timestamptz({until_us}) AND _offset <= {export.last}"
        statements = [
            f"DELETE FROM {name} WHERE {old}",
            export.insert_sql(self._schema),
            *replace_view(self._schema, table.event, view),
        ]
        if table.alone:  # from now on a view has the event's name
            was = f"{self._schema}.{quote(table.name)}"
            statements.insert(0, f"ALTER TABLE {was} RENAME TO {quote(own.name)}")
        self._con.execute("BEGIN TRANSACTION")
        try:
            for statement in statements:
                self._con.execute(statement)
            self._con.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # a commit that failed has ended it already
                self._con.execute("ROLLBACK")
            raise
        tables.update(renamed)


def _of(tables: Mapping[Written, EventTable], own: EventTable) -> list[EventTable]:
    """The tables of an event, by version."""
    return [tables[key] for key in sorted(tables) if key[0] == own.event]


def _slack_us(retain_ms: int) -> int:
    """How long rows may wait for others that go with them: files are few, and not small."""
    return min(retain_ms * limits.RETAIN_SLACK_PERCENT * 10, limits.RETAIN_SLACK_MS_MAX * 1000)
