# ruff: noqa: S608 - every name in SQL is a constant of ours or went through `quote`
"""Events of several versions as one: a view that lifts what each version's table has.

The rows stay as they were written. The view is the same lift that services apply to batches
(`flowc_engine.lifting`), said in SQL: renames, constants, and casts, which match the fields of
structs by name as Arrow's do.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from flowc_dsl.lifting import Lift, Origin, Stored, Unliftable
from flowc_dsl.plan import Plan, TypePlan
from flowc_dsl.sqltext import literal, quote
from flowc_engine.generations import History, constant, lift_of
from flowc_engine.log import tables as tb

_MICROSECOND = dt.timedelta(microseconds=1)


def view_sql(
    schema: str,
    history: History,
    event: str,
    tables: Sequence[tb.EventTable],
    exported: Mapping[int, Sequence[str]],
) -> str:
    """The query of the view of an event, over the tables of its versions, and over what was
    exported of each version: queries of rows as they are in the table.

    Raises `LogSchemaError` for a version that can't be lifted.
    """
    now = Stored(history.plan, history.plan.event(event))
    by_version = {stored.event.version: stored for _, stored in history.stored(event)}
    parts = []
    for table in tables:
        lift = lift_of(by_version[table.version], now)
        if isinstance(lift, Unliftable):
            raise tb.LogSchemaError(str(lift))
        selected = _selected(history.plan, lift, table)
        parts.append(f"SELECT {selected} FROM {schema}.{quote(table.name)}")
        parts += [f"SELECT {selected} FROM ({rows})" for rows in exported.get(table.version, ())]
    return " UNION ALL ".join(parts)


def _selected(plan: Plan, lift: Lift, table: tb.EventTable) -> str:
    kinds = dict(table.columns)
    own = [f"{_value(plan, o, kinds)} AS {quote(o.field.name)}" for o in lift.origins]
    return ", ".join([*own, *(name for name, _ in tb.ENVELOPE_COLUMNS)])


def _value(plan: Plan, origin: Origin, kinds: dict[str, str]) -> str:
    wanted = tb.duckdb_type(plan, origin.field.type)
    if origin.source is None:
        value = sql_literal(plan, origin.field.type, constant(plan, origin))
        return f"CAST({value} AS {wanted})"
    column = quote(origin.source)
    return column if kinds[origin.source] == wanted else f"CAST({column} AS {wanted})"


def sql_literal(plan: Plan, type_: TypePlan, value: Any) -> str:
    """A constant, as `constant` gave it, as SQL that casts to its field's type."""
    if value is None:
        return "NULL"
    match type_.kind:
        case "bool":
            return "true" if value else "false"
        case "bytes":
            return f"from_hex({literal(value.hex())})"
        case "timestamp" | "date":
            return literal(value.isoformat())
        case "duration":
            return f"to_microseconds({value // _MICROSECOND})"
        case "list":
            return _list(plan, type_.args[0], value)
        case "map":
            keys, values = (_list(plan, t, [p[i] for p in value]) for i, t in enumerate(type_.args))
            return f"MAP({keys}, {values})"
        case "struct":
            pairs = (
                f"{literal(f.name)}: {sql_literal(plan, f.type, value[f.name])}"
                for f in plan.structs[type_.name]
            )
            return "{" + ", ".join(pairs) + "}"
        case _:
            return literal(str(value))


def _list(plan: Plan, type_: TypePlan, values: list[Any]) -> str:
    listed = ", ".join(sql_literal(plan, type_, value) for value in values)
    return f"CAST([{listed}] AS {tb.duckdb_type(plan, type_)}[])"
