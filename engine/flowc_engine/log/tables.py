# ruff: noqa: S608 - every name in SQL is a constant of ours or went through `quote`
"""The tables of the log: one for each version of an event type, as it was declared then.

A table is named as its event, as long as there is one version of it. Events of several versions are
in tables of their own (`OrderPlaced@v1`), as they were written, and what is named as the event is a
view of all of them, lifted to the declaration in force. So are those of which rows were exported to
the archive: the view has them too. Columns are the event's fields in the order
of the declaration, then `ENVELOPE_COLUMNS`. DuckDB compares names without regard to case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from flowc_dsl.plan import EventPlan, Plan, TypePlan
from flowc_dsl.sqltext import literal, quote
from flowc_engine.generations import History

ENVELOPE_COLUMNS: Final = (
    ("_offset", "BIGINT"),
    ("_time", "TIMESTAMP WITH TIME ZONE"),
    ("_source", "VARCHAR"),
    ("_cause", "BIGINT"),
    ("_root", "BIGINT"),
    ("_partition", "INTEGER"),
    ("_version", "INTEGER"),
)

_ENVELOPE_NAMES: Final = tuple(name for name, _ in ENVELOPE_COLUMNS)
_INTERVAL: Final = re.compile(r'("(?:[^"]|"")*")|\bINTERVAL\b')  # but not a field of that name

SYSTEM_TABLES: Final = {
    "_meta": "journal_id UBIGINT, format INTEGER, system VARCHAR, created TIMESTAMPTZ",
    # The row with the highest record says where the log is.
    "_applied": "segment BIGINT, position BIGINT, record BIGINT, _offset BIGINT, time TIMESTAMPTZ",
    "_types": "event VARCHAR, version INTEGER, key VARCHAR, columns VARCHAR",
    "_parked": "_offset BIGINT, event VARCHAR, service VARCHAR, slot INTEGER, handler VARCHAR, "
    "error VARCHAR, attempts INTEGER, time TIMESTAMPTZ",
    "_unparked": "_offset BIGINT, service VARCHAR, slot INTEGER, action VARCHAR, time TIMESTAMPTZ",
    "_rejected": "_offset BIGINT, rows INTEGER, event VARCHAR, source VARCHAR, error VARCHAR, "
    "body BLOB",
    "_exports": "event VARCHAR, version INTEGER, file VARCHAR, first BIGINT, last BIGINT, "
    "rows BIGINT, bytes BIGINT, sum UBIGINT, modified_ns BIGINT, time TIMESTAMPTZ",
}
"""`_types`: the tables of events, one for each version, and the columns they were made with, as
JSON. `_rejected`: batches of the journal that no table can take, as they are in the journal.
`_unparked`: parked events that were let go, with `retry` or `drop` as the action. `_exports`: files
of the archive that have the rows which are no longer in the tables."""

PARKED_VIEW: Final = "_parked_now"
_PARKED_NOW: Final = """
SELECT _offset, event, service, slot, handler, error, attempts, time, times FROM (
  SELECT *, count(*) OVER same AS times,
    row_number() OVER (same ORDER BY time DESC, attempts DESC) AS newest
  FROM {schema}._parked WINDOW same AS (PARTITION BY service, _offset)
) LEFT JOIN (
  SELECT service, _offset, count(*) AS let_go FROM {schema}._unparked GROUP BY ALL
) USING (service, _offset)
WHERE newest = 1 AND times > coalesce(let_go, 0)"""

EVENTS_VIEW: Final = "_events"
FORMAT: Final = 1

_SCALARS: Final = {
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "int": "BIGINT",
    "float": "DOUBLE",
    "uuid": "UUID",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    "duration": "INTERVAL",
    "bytes": "BLOB",
    "enum": "VARCHAR",
}


class LogSchemaError(Exception):
    """The plan and the tables of the log don't fit together."""


@dataclass(frozen=True, slots=True)
class EventTable:
    """The table of a version of an event type. `columns` are (name, DuckDB type), the event's own.
    `alone`: there is no other version, and all of its rows are in the table."""

    event: str
    version: int
    key: str | None
    columns: tuple[tuple[str, str], ...]
    alone: bool = True

    @property
    def name(self) -> str:
        """What the table is called; not an identifier if it is not alone."""
        return self.event if self.alone else self.own_name

    @property
    def own_name(self) -> str:
        """The name with the version: of the table unless it is alone, and of its folder in the
        archive."""
        return f"{self.event}@v{self.version}"

    def create_sql(self, schema: str) -> str:
        """Makes the table in `schema`."""
        columns = (*self.columns, *ENVELOPE_COLUMNS)
        listed = ", ".join(f"{quote(name)} {kind}" for name, kind in columns)
        return f"CREATE TABLE {schema}.{quote(self.name)} ({listed})"

    def values_sql(self) -> str:
        """The select list that makes its rows of a wire batch with `_offset` and `_source`."""
        own = [_value(name, kind) for name, kind in self.columns]
        envelope = ["_offset", "_time", "_source", "_cause", "coalesce(_root, _offset)"]
        return ", ".join([*own, *envelope, "_partition", str(self.version)])

    def exported_sql(self) -> str:
        """The select list of its rows as they are exported: Parquet's intervals are of ms, so they
        become text."""
        return ", ".join([*(_text(*column) for column in self.columns), *_ENVELOPE_NAMES])

    def imported_sql(self) -> str:
        """The select list that makes its rows of exported ones."""
        own = [f"CAST({quote(name)} AS {kind}) AS {quote(name)}" for name, kind in self.columns]
        return ", ".join([*own, *_ENVELOPE_NAMES])

    @property
    def columns_json(self) -> str:
        """For `_types`."""
        return json.dumps([list(column) for column in self.columns])


def _value(name: str, kind: str) -> str:
    """A UUID travels as text, also within lists and structs; all else has its type already."""
    return f"CAST({quote(name)} AS {kind})" if "UUID" in kind else quote(name)


def _text(name: str, kind: str) -> str:
    """A column with the intervals in it as text, also within lists and structs."""
    text = _INTERVAL.sub(lambda found: found[1] or "VARCHAR", kind)
    return quote(name) if text == kind else f"CAST({quote(name)} AS {text}) AS {quote(name)}"


def duckdb_type(plan: Plan, type_plan: TypePlan) -> str:
    """The DuckDB type of a declared type."""
    match type_plan.kind:
        case "decimal":
            return f"DECIMAL({type_plan.precision},{type_plan.scale})"
        case "list":
            return f"{duckdb_type(plan, type_plan.args[0])}[]"
        case "map":
            key, value = (duckdb_type(plan, t) for t in type_plan.args)
            return f"MAP({key}, {value})"
        case "struct":
            fields = plan.structs[type_plan.name]
            listed = ", ".join(f"{quote(f.name)} {duckdb_type(plan, f.type)}" for f in fields)
            return f"STRUCT({listed})"
        case kind:
            return _SCALARS[kind]


def event_table(plan: Plan, event: EventPlan) -> EventTable:
    """The table that `plan` wants for an event."""
    columns = tuple((f.name, duckdb_type(plan, f.type)) for f in event.fields)
    return EventTable(event.name, event.version, event.key, columns)


def wanted_tables(history: History) -> dict[str, tuple[EventTable, ...]]:
    """The tables that a history wants, by event, each event's by version.

    Raises `LogSchemaError` for names that DuckDB can't tell apart or that the log uses itself.
    """
    plan = history.plan
    reserved = [*SYSTEM_TABLES, EVENTS_VIEW, PARKED_VIEW]
    _check_names([*reserved, *(e.name for e in plan.events)], "events")
    envelope = [name for name, _ in ENVELOPE_COLUMNS]
    for event in plan.events:
        _check_names([*envelope, *(f.name for f in event.fields)], f"fields of {event.name}")
    for name, fields in plan.structs.items():
        _check_names([f.name for f in fields], f"fields of {name}")
    return {event.name: _versions(history, event) for event in plan.events}


def _versions(history: History, event: EventPlan) -> tuple[EventTable, ...]:
    found: dict[int, EventTable] = {}
    for _, stored in history.stored(event.name):
        found.setdefault(stored.event.version, event_table(stored.plan, stored.event))
    found.setdefault(event.version, event_table(history.plan, event))
    return named([found[version] for version in sorted(found)])


def named(
    tables: Sequence[EventTable], *, exported: Collection[str] = ()
) -> tuple[EventTable, ...]:
    """The tables of one event, under their names. `exported`: the events that have exports."""
    alone = len(tables) == 1 and tables[0].event not in exported
    return tuple(replace(table, alone=alone) for table in tables)


def _check_names(names: Sequence[str], what: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            other = seen[name.lower()]
            raise LogSchemaError(
                f"the {what} {other} and {name} have one name in SQL, which ignores case"
            )
        seen[name.lower()] = name


def drift(old: EventTable, new: EventTable) -> str | None:
    """How the columns of a version differ from those of its table, or None."""
    before, after = dict(old.columns), dict(new.columns)
    for name, kind in old.columns:
        if name not in after:
            return f"{old.event}.{name} is no longer declared"
        if after[name] != kind:
            return f"{old.event}.{name} is declared {after[name]}, and was {kind}"
    added = [name for name in after if name not in before]
    return f"{old.event}.{added[0]} is new" if added else None


def stored_tables(
    rows: Iterable[tuple[str, int, str | None, str]], exported: Collection[str] = ()
) -> dict[str, tuple[EventTable, ...]]:
    """The tables that `_types` lists, by event."""
    found: dict[str, list[EventTable]] = {}
    for event, version, key, columns in sorted(rows, key=lambda row: row[:2]):
        table = EventTable(event, version, key, tuple((n, k) for n, k in json.loads(columns)))
        found.setdefault(event, []).append(table)
    return {event: named(tables, exported=exported) for event, tables in found.items()}


def parked_view_sql(schema: str) -> str:
    """Makes the view of what is parked now: its last failure, and how often it was parked."""
    return (
        f"CREATE VIEW IF NOT EXISTS {schema}.{PARKED_VIEW} AS {_PARKED_NOW.format(schema=schema)}"
    )


def events_view_sql(schema: str, tables: Iterable[EventTable]) -> str:
    """Makes the view of all events, of one table an event type: type, key as text, envelope."""
    envelope = ", ".join(name for name, _ in ENVELOPE_COLUMNS)
    parts = [
        f"SELECT {literal(t.event)} AS event, "
        f"CAST({quote(t.key) if t.key else 'NULL'} AS VARCHAR) AS key, {envelope} "
        f"FROM {schema}.{quote(t.event)}"
        for t in tables
    ]
    nothing = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in ENVELOPE_COLUMNS)
    empty = f"SELECT CAST(NULL AS VARCHAR) AS event, CAST(NULL AS VARCHAR) AS key, {nothing}"
    body = " UNION ALL ".join([*parts, f"{empty} WHERE false"])
    return f"CREATE OR REPLACE VIEW {schema}.{EVENTS_VIEW} AS {body}"
