# ruff: noqa: S608 - every name in SQL is of the declaration, and went through `quote` or `text`
"""The questions to an event log, as DuckDB's SQL over the log's tables (spec 6.1, 6.5).

All are set-based: hash and ASOF joins, no row by row. `begin` is the first offset that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flowc_dsl.model import Expect, Handler, Ref, System
from flowc_dsl.sqltext import literal, quote

EXAMPLES_MAX = 3
Columns = Mapping[str, Mapping[str, str]]
"""Types of SQL, by event and column."""


def edges_sql(begin: int) -> str:
    """Columns as of `EdgeSeen`, one row an edge. What was caused by an event that no table could
    take (`_rejected`) is left out: it can't be told what that was. Where a handler waited, the edge
    goes from what it waited for: the event of its own in between has a dot in its name."""
    return f"""
SELECT c.event AS trigger, e._source AS emitter, e.event AS event, count(*) AS count,
  min(e._offset) AS first_offset, max(e._offset) AS last_offset,
  epoch_us(min(e._time)) AS first_us, epoch_us(max(e._time)) AS last_us
FROM (
  SELECT event, _source, _cause, _offset, _time FROM _events
  WHERE _offset >= {begin} AND NOT contains(event, '.')
) e
LEFT JOIN (SELECT event, _offset, _cause FROM _events WHERE contains(event, '.')) w
  ON w._offset = e._cause
LEFT JOIN (SELECT event, _offset FROM _events WHERE NOT contains(event, '.')) c
  ON c._offset = coalesce(w._cause, e._cause)
WHERE e._cause IS NULL OR c.event IS NOT NULL OR (w._offset IS NOT NULL AND w._cause IS NULL)
GROUP BY ALL ORDER BY first_offset"""


def counts_sql(begin: int) -> str:
    """`event` and `count` of what is stored."""
    return f"SELECT event, count(*) AS count FROM _events WHERE _offset >= {begin} GROUP BY ALL"


def bounds_sql() -> str:
    """`offset` behind the last event, and its `time_us` (null of an empty log)."""
    return (
        'SELECT coalesce(max(_offset) + 1, 0) AS "offset", epoch_us(max(_time)) AS time_us '
        "FROM _events"
    )


def rejected_sql(begin: int) -> str:
    """Batches that fit no table: `event`, `error`, `count`, `first_offset`."""
    return f"""
SELECT event, any_value(error ORDER BY _offset) AS error, sum("rows")::BIGINT AS count,
  min(_offset) AS first_offset
FROM _rejected WHERE _offset >= {begin} GROUP BY event ORDER BY event"""


@dataclass(frozen=True, slots=True)
class Check:
    """What is wrong with a field of stored events where the SQL of `wrong` is true."""

    field: str
    why: str
    wrong: str


def field_checks(
    system: System, event: str, stored: Mapping[str, str], declared: Mapping[str, str]
) -> Iterator[Check]:
    """What can be told of an event's fields: their types, members of enums, and nulls.

    `stored` and `declared` are the types of the event's columns, in the log and as they would be
    if the log was made now.
    """
    found = system.events.get(event)
    for field in found.fields if found else ():
        column, enum = quote(field.name), system.enums.get(field.type.name)
        if field.name not in stored:
            if not field.type.optional:
                yield Check(field.name, "is missing", "true")
            continue
        if not field.type.optional:
            yield Check(field.name, "is null", f"{column} IS NULL")
        kind, wanted = stored[field.name], declared.get(field.name)
        if wanted is not None and wanted != kind:
            why = f"is declared as {wanted}, and stored as {kind}"
            yield Check(field.name, why, f"{column} IS NOT NULL")
        elif enum is not None and kind == "VARCHAR":
            members = ", ".join(literal(member.name) for member in enum.members)
            why = f"is no member of `{enum.name}`"
            yield Check(field.name, why, f"{column} NOT IN ({members})")


def checks_sql(event: str, checks: Sequence[Check], begin: int) -> str:
    """One row: `count_N` and `first_N` (offset) of what is wrong by the check number N."""
    columns = ", ".join(
        f"count(*) FILTER (WHERE {check.wrong}) AS count_{number}, "
        f"min(_offset) FILTER (WHERE {check.wrong}) AS first_{number}"
        for number, check in enumerate(checks)
    )
    return f"SELECT {columns} FROM {quote(event)} WHERE _offset >= {begin}"


# ---- within


def late_sql(
    service: str, handler: Handler, stored: Columns, begin: int, end_us: int
) -> str | None:
    """Events whose handling took longer than the handler's `within`: `count`, `silent`,
    `worst_us`, and some `offsets`. None for a handler that this can't be told of.

    An event is handled when the last of its outputs, or its parking, is there. One without either
    is late if the handler has to emit something for each event.
    """
    outputs = sorted({ref.name for ref in handler.output_refs()})
    triggers = [ref.name for ref in handler.triggers if ref.name in stored]
    if handler.within_ms is None or handler.kind != "on" or not outputs or not triggers:
        return None
    limit_us = handler.within_ms * 1000
    must = handler.delivery == "all" and any(
        all(o.many == "one" and o.chance is None for o in group) for group in handler.outputs
    )
    trigger = _union(_part(event, "_offset, _time", begin) for event in triggers)
    emitted = ", ".join(map(literal, outputs))
    silent = f"done IS NULL AND {end_us} - t_us > {limit_us}" if must else "false"
    return f"""
WITH t AS ({trigger}),
d AS (
  SELECT _cause AS o, max(epoch_us(_time)) AS done FROM _events
  WHERE _source = {literal(service)} AND event IN ({emitted}) AND _cause IS NOT NULL GROUP BY ALL
  UNION ALL
  SELECT _offset, max(epoch_us(time)) FROM _parked WHERE service = {literal(service)} GROUP BY ALL
),
h AS (
  SELECT t._offset AS o, any_value(epoch_us(t._time)) AS t_us, max(d.done) AS done
  FROM t LEFT JOIN d ON d.o = t._offset GROUP BY t._offset
),
b AS (
  SELECT o, coalesce(done, {end_us}) - t_us AS took, done IS NULL AS silent FROM h
  WHERE done - t_us > {limit_us} OR ({silent})
)
SELECT count(*) AS count, count(*) FILTER (WHERE silent) AS silent, max(took) AS worst_us,
  list(o ORDER BY o)[:{EXAMPLES_MAX}] AS offsets FROM b"""


# ---- expect


def expect_sql(expect: Expect, stored: Columns, begin: int, end_us: int) -> str:
    """What broke an expectation: `count`, some `offsets` and their `keys`.

    As of the log's end: what still has time is not broken. Of a `by` field that is null nothing is
    expected, and of an event without a table there are none. Times need not be in the order of
    offsets: a `within` of `at most` and `never` is a window of time, and offsets order ties.
    """
    subjects, targets = _side(expect, expect.events, stored, begin), ""
    if expect.form != "at_most":
        targets = _side(expect, expect.targets, stored, begin)
    match expect.form:
        case "leads_to":
            broken = _leads_to(expect, subjects, targets, end_us)
        case "at_most":
            broken = _at_most(expect, subjects)
        case "never_with":
            broken = _never_with(expect, subjects, targets)
    return f"""
WITH broken AS ({broken})
SELECT count(*) AS count, list(o ORDER BY o)[:{EXAMPLES_MAX}] AS offsets,
  list(k ORDER BY o)[:{EXAMPLES_MAX}] AS keys FROM broken"""


def _side(expect: Expect, events: Iterable[Ref], stored: Columns, begin: int) -> str:
    """Key `k` (one for all, without `by`), offset `o` and time `t` in µs of each event."""
    parts = ["SELECT '' AS k, 0::BIGINT AS o, 0::BIGINT AS t WHERE false"]
    for event in (ref.name for ref in events if ref.name in stored):
        key, where = "''", ""
        if expect.by is not None:
            if expect.by.name not in stored[event]:
                continue
            column = quote(expect.by.name)
            key, where = f"CAST({column} AS VARCHAR)", f" AND {column} IS NOT NULL"
        columns = f"{key} AS k, _offset AS o, epoch_us(_time) AS t"
        parts.append(_part(event, columns, begin) + where)
    return _union(parts)


def _leads_to(expect: Expect, subjects: str, targets: str, end_us: int) -> str:
    """The first target behind each subject comes in time; without `within`, by the log's end it is
    only late."""
    if expect.within_ms is None:
        return f"SELECT k, o FROM ({subjects}) WHERE false"
    limit_us = expect.within_ms * 1000
    return f"""
SELECT a.k, a.o FROM ({subjects}) a ASOF LEFT JOIN ({targets}) c ON a.k = c.k AND a.o < c.o
WHERE coalesce(c.t, {end_us}) - a.t > {limit_us}"""


def _at_most(expect: Expect, subjects: str) -> str:
    """The event that is one too many."""
    bound = expect.bound or 0
    if expect.within_ms is None:
        return f"""
SELECT k, o FROM ({subjects}) QUALIFY row_number() OVER (PARTITION BY k ORDER BY o) > {bound}"""
    if bound == 0:
        return f"SELECT k, o FROM ({subjects})"
    return f"""
SELECT k, o FROM ({subjects})
QUALIFY t - lag(t, {bound}) OVER (PARTITION BY k ORDER BY t, o) <= {expect.within_ms * 1000}"""


def _never_with(expect: Expect, subjects: str, targets: str) -> str:
    """The later one of two that don't go together. Those that are nearest to each other are
    neighbours in the order of their key."""
    order, near = "o", ""
    if expect.within_ms is not None:
        order, near = "t, o", f" AND t - lag(t) OVER same <= {expect.within_ms * 1000}"
    both = f"SELECT *, 0 AS side FROM ({subjects}) UNION ALL SELECT *, 1 FROM ({targets})"
    return f"""
SELECT k, o FROM ({both}) WINDOW same AS (PARTITION BY k ORDER BY {order})
QUALIFY side <> lag(side) OVER same{near}"""


# ---- pieces


def _part(event: str, columns: str, begin: int) -> str:
    return f"SELECT {columns} FROM {quote(event)} WHERE _offset >= {begin}"


def _union(parts: Iterable[str]) -> str:
    return " UNION ALL ".join(parts)
