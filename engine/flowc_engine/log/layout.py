# ruff: noqa: S608 - every name in SQL is a constant of ours or went through `quote`
"""Giving the log's file the tables and views that a history wants: once, when it is opened."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain

import duckdb

from flowc_dsl.sqltext import literal, quote
from flowc_engine.generations import History
from flowc_engine.log import tables as tb
from flowc_engine.log.archive import Archive, Export, of_table, read_exports
from flowc_engine.log.versions import view_sql

Tables = dict[str, tuple[tb.EventTable, ...]]


def lay_out(
    con: duckdb.DuckDBPyConnection, database: str, history: History, archive: Archive
) -> Tables:
    """Make the tables that are missing, in one transaction; all there are come back.

    Raises `LogSchemaError` where rows are in a table that the history does not know.
    """
    schema = f"{database}.main"
    wanted = tb.wanted_tables(history)
    for name, columns in tb.SYSTEM_TABLES.items():  # an older file lacks some
        con.execute(f"CREATE TABLE IF NOT EXISTS {schema}.{name} ({columns})")
    listed = con.execute(f"SELECT event, version, key, columns FROM {schema}._types").fetchall()
    exports = read_exports(con, schema)
    exported = frozenset(export.event for export in exports)
    stored = tb.stored_tables(listed, exported)
    _check_case(stored, wanted)
    obsolete = list(_obsolete(con, schema, stored, wanted, exports))
    gone = {(t.event, t.version) for t in obsolete}
    kept = [t for t in chain(*stored.values()) if (t.event, t.version) not in gone]
    there = {(t.event, t.version) for t in kept}
    new = [t for t in chain(*wanted.values()) if (t.event, t.version) not in there]
    final = _by_event([*kept, *new], exported)
    views = {
        event: event_view_sql(schema, history, tables, exports, archive)
        for event, tables in final.items()
        if not tables[0].alone and event in wanted
    }
    statements = list(_changes(schema, stored, final, obsolete, new))
    made = _views(con, database)
    statements += _view_changes(schema, views, made)
    if statements or not listed or tb.PARKED_VIEW not in made:
        con.execute("BEGIN TRANSACTION")
        for statement in statements:
            con.execute(statement)
        con.execute(tb.parked_view_sql(schema))
        con.execute(tb.events_view_sql(schema, [tables[-1] for tables in final.values()]))
        con.execute("COMMIT")
        con.execute(f"CHECKPOINT {database}")
    return final


def event_view_sql(
    schema: str,
    history: History,
    tables: Sequence[tb.EventTable],
    exports: Sequence[Export],
    archive: Archive,
) -> str:
    """The query of the view of an event whose tables these are."""
    rows = {table.version: archive.rows_sql(table, exports) for table in tables}
    return view_sql(schema, history, tables[0].event, tables, rows)


def _check_case(stored: Tables, wanted: Tables) -> None:
    by_name = {event.lower(): event for event in stored}
    for event in wanted:
        known = by_name.get(event.lower(), event)
        if known != event:
            raise tb.LogSchemaError(f"the log has a table {known}, which SQL takes for {event}")


def _obsolete(
    con: duckdb.DuckDBPyConnection,
    schema: str,
    stored: Tables,
    wanted: Tables,
    exports: Sequence[Export],
) -> Iterator[tb.EventTable]:
    """Tables of declarations with which nothing was ever written."""
    for event, tables in stored.items():
        versions = {table.version: table for table in wanted.get(event, tables)}
        for table in tables:
            declared = versions.get(table.version)
            why = f"it has v{table.version} of {event}, which was never declared"
            if declared is not None:
                drift = tb.drift(table, declared)
                if drift is None:
                    continue
                why = drift
            found = con.execute(f"SELECT count(*) FROM {schema}.{quote(table.name)}").fetchall()
            if found != [(0,)] or of_table(table, exports):
                raise tb.LogSchemaError(f"the log holds another {event}: {why}")
            yield table


def _by_event(tables: list[tb.EventTable], exported: Collection[str]) -> Tables:
    found: dict[str, list[tb.EventTable]] = {}
    for table in tables:
        found.setdefault(table.event, []).append(table)
    return {
        event: tb.named(sorted(own, key=lambda t: t.version), exported=exported)
        for event, own in found.items()
    }


def _changes(
    schema: str,
    stored: Tables,
    final: Tables,
    obsolete: list[tb.EventTable],
    new: list[tb.EventTable],
) -> Iterator[str]:
    """From the tables that are stored to the final ones. The view of an event gives way to a table
    of its name, and the other way round."""
    for event, tables in stored.items():
        if not tables[0].alone and all(table.alone for table in final.get(event, ())):
            yield f"DROP VIEW {schema}.{quote(event)}"
    for table in obsolete:
        yield f"DROP TABLE {schema}.{quote(table.name)}"
        event = literal(table.event)
        yield f"DELETE FROM {schema}._types WHERE event = {event} AND version = {table.version}"
    names = {(t.event, t.version): t for t in chain(*final.values())}
    for table in chain(*stored.values()):
        now = names.get((table.event, table.version))
        if now is not None and table not in obsolete and now.name != table.name:
            yield f"ALTER TABLE {schema}.{quote(table.name)} RENAME TO {quote(now.name)}"
    for table in new:
        made = names[table.event, table.version]
        yield made.create_sql(schema)
        key = "NULL" if made.key is None else literal(made.key)
        values = f"{literal(made.event)}, {made.version}, {key}, {literal(made.columns_json)}"
        yield f"INSERT INTO {schema}._types VALUES ({values})"


def _views(con: duckdb.DuckDBPyConnection, database: str) -> dict[str, str | None]:
    """The views there are, with their comments."""
    sql = "SELECT view_name, comment FROM duckdb_views() WHERE database_name = ?"
    return dict(con.execute(sql, [database]).fetchall())


def _view_changes(
    schema: str, views: Mapping[str, str], made: Mapping[str, str | None]
) -> Iterator[str]:
    """Views say in a comment what they were made of, so one that is the same is left alone."""
    for event, sql in views.items():
        if made.get(event) != _digest(sql):
            yield from replace_view(schema, event, sql)


def replace_view(schema: str, event: str, sql: str) -> Iterator[str]:
    """The statements that make the view of an event anew."""
    yield f"CREATE OR REPLACE VIEW {schema}.{quote(event)} AS {sql}"
    yield f"COMMENT ON VIEW {schema}.{quote(event)} IS '{_digest(sql)}'"


def _digest(sql: str) -> str:
    return sha256(sql.encode()).hexdigest()[:16]
