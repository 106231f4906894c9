# ruff: noqa: S608 - every name in SQL is a constant of ours or went through `quote`
"""What a service emits now, held against what it emitted then: input by input.

Outputs are matched by the offset of their cause, their type, and their place among those of that
type. Their own fields are compared, not their envelope.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pyarrow as pa

from flowc_dsl.plan import Plan, ServicePlan
from flowc_dsl.sqltext import literal, quote
from flowc_engine.replaying.fork import NOW, RECORDED, ForkLog
from flowc_engine.replaying.original import Share

Verdict = Literal["same", "changed", "missing", "extra", "raised", "mended"]
DIFFERENT: Final[tuple[Verdict, ...]] = ("changed", "missing", "extra", "raised", "mended")
"""Of an input, the first in the order of `_VERDICT` counts. `missing`: it was emitted then, and is
not now. `raised`: its handler raises now, and did not. `mended`: it was given up on then."""

_VERDICT: Final = """
CASE WHEN raised AND NOT gave_up THEN 'raised' WHEN raised THEN 'same' WHEN gave_up THEN 'mended'
  WHEN changed THEN 'changed' WHEN missing THEN 'missing' WHEN extra THEN 'extra' ELSE 'same' END"""


@dataclass(frozen=True, slots=True)
class Output:
    """One output that differs, number `at` (from 1) of its type. `fields`: what was recorded of
    each field that differs, and what it is now; all of its fields where there is only one."""

    event: str
    at: int
    verdict: Verdict
    fields: dict[str, tuple[Any, Any]]


@dataclass(slots=True)
class Input:
    """One input that differs. `event` is None for one that the service does not read any more.
    `error`: why its handler raised, now or (`mended`) then."""

    offset: int
    event: str | None
    verdict: Verdict
    error: str = ""
    outputs: list[Output] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`counts`: inputs by verdict. `unhandled`: those that the service had not handled yet, which
    are compared with nothing. `inputs`: the first of those that differ."""

    counts: dict[Verdict, int]
    unhandled: int
    inputs: tuple[Input, ...]

    @property
    def differing(self) -> int:
        """How many inputs differ."""
        return sum(self.counts[verdict] for verdict in DIFFERENT)


def compare(log: ForkLog, plan: Plan, service: ServicePlan, own: Share, limit: int) -> Comparison:
    """Compare all; the first `limit` inputs that differ come back with what differs.

    Raises `duckdb.Error`.
    """
    con = log.con
    outputs = [event for event in service.emits if event not in service.waits]
    con.execute(_handled_sql(own))
    con.execute(f"CREATE TEMP TABLE differs AS {_differs_sql(plan, service, outputs)}")
    con.execute(f"CREATE TEMP TABLE verdicts AS {_verdicts_sql(service)}")
    found = con.execute("SELECT verdict, count(*) FROM verdicts GROUP BY ALL").fetchall()
    counts: dict[Verdict, int] = {"same": 0, **dict.fromkeys(DIFFERENT, 0), **dict(found)}
    sql = f"SELECT count(*) FROM {NOW}._inputs WHERE called AND NOT handled(_offset)"
    ((unhandled,),) = con.execute(sql).fetchall()
    return Comparison(counts, unhandled, tuple(_inputs(log, plan, limit)))


def _handled_sql(own: Share) -> str:
    """Whether the service had handled an input, when the log ended."""
    waiting = f" AND o NOT IN ({_listed(own.waiting)})" if own.waiting else ""
    return f"CREATE TEMP MACRO handled(o) AS (o < {own.handled_to}{waiting})"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, sorted(values, key=str)))


def _differs_sql(plan: Plan, service: ServicePlan, outputs: list[str]) -> str:
    """Outputs that differ: cause, event, place, both offsets, and the fields that differ."""
    parts = [_event_sql(plan, service, event) for event in outputs]
    nothing = (
        "SELECT 0::BIGINT AS cause, '' AS event, 0::BIGINT AS place, 0::BIGINT AS now, "
        "0::BIGINT AS recorded, []::VARCHAR[] AS fields WHERE false"
    )
    return " UNION ALL ".join([*parts, nothing])


def _event_sql(plan: Plan, service: ServicePlan, event: str) -> str:
    names = [f.name for f in plan.event(event).fields]
    changed = ", ".join(
        f"CASE WHEN n.{quote(name)} IS DISTINCT FROM r.{quote(name)} THEN {literal(name)} END"
        for name in names
    )
    place = "row_number() OVER (PARTITION BY _cause ORDER BY _offset) AS _at"
    now = f"SELECT *, {place} FROM {NOW}.main.{quote(event)} WHERE handled(_cause)"
    was = (
        f"SELECT *, {place} FROM {RECORDED}.main.{quote(event)} "
        f"WHERE handled(_cause) AND {_replayed_sql(service, event)}"
    )
    both = "n._offset IS NOT NULL AND r._offset IS NOT NULL"
    fields = f"list_filter([{changed}], lambda x: x IS NOT NULL)" if names else "[]"
    return f"""
SELECT coalesce(n._cause, r._cause) AS cause, {literal(event)} AS event,
  coalesce(n._at, r._at) AS place, n._offset AS now, r._offset AS recorded,
  CASE WHEN {both} THEN {fields} ELSE [] END::VARCHAR[] AS fields
FROM ({now}) n FULL JOIN ({was}) r ON n._cause = r._cause AND n._at = r._at
WHERE n._offset IS NULL OR r._offset IS NULL OR len(fields) > 0"""


def _replayed_sql(service: ServicePlan, event: str) -> str:
    """What handlers emitted that no replay calls (`replay skip`) is not compared."""
    skipped = {
        trigger
        for h in service.handlers
        if h.replay == "skip" and any(o.event == event for group in h.outputs for o in group)
        for trigger in h.triggers
    }
    if not skipped:
        return "true"
    listed = ", ".join(map(literal, sorted(skipped)))
    inputs = f"SELECT _offset FROM {NOW}._inputs WHERE event IN ({listed})"
    return f"_cause NOT IN ({inputs})"


def _verdicts_sql(service: ServicePlan) -> str:
    """A row for each input that was called, and for each whose outputs differ: `_offset`, `event`,
    `verdict`. One that raises now, and whose handler drops what fails, emitted nothing then."""
    drops = {t for h in service.handlers if h.retry.then == "drop" for t in h.triggers}
    dropped = f"i.event IN ({', '.join(map(literal, sorted(drops)))})" if drops else "false"
    return f"""
SELECT _offset, event, {_VERDICT} AS verdict FROM (
  SELECT coalesce(i._offset, d.cause) AS _offset, i.event,
    p._offset IS NOT NULL AS raised,
    g._offset IS NOT NULL OR ({dropped} AND p._offset IS NOT NULL AND NOT missing) AS gave_up,
    coalesce(d.changed, false) AS changed, coalesce(d.missing, false) AS missing,
    coalesce(d.extra, false) AS extra
  FROM (SELECT _offset, event FROM {NOW}._inputs WHERE called AND handled(_offset)) i
  FULL JOIN (
    SELECT cause, bool_or(now IS NOT NULL AND recorded IS NOT NULL) AS changed,
      bool_or(now IS NULL) AS missing, bool_or(recorded IS NULL) AS extra
    FROM differs GROUP BY cause
  ) d ON d.cause = i._offset
  LEFT JOIN (SELECT DISTINCT _offset FROM {NOW}._parked) p ON p._offset = i._offset
  LEFT JOIN (
    SELECT _offset FROM {RECORDED}._parked_now UNION
    SELECT _offset FROM {RECORDED}._unparked WHERE action = 'drop'
  ) g ON g._offset = i._offset
)"""


def _inputs(log: ForkLog, plan: Plan, limit: int) -> Iterator[Input]:
    con = log.con
    con.execute(
        "CREATE TEMP TABLE shown AS SELECT * FROM verdicts WHERE verdict <> 'same' "
        f"ORDER BY _offset LIMIT {limit}"
    )
    found = {
        offset: Input(offset, event, verdict)
        for offset, event, verdict in con.execute(
            "SELECT _offset, event, verdict FROM shown ORDER BY _offset"
        ).fetchall()
    }
    for database in (RECORDED, NOW):  # what raises now counts, where both did
        errors = (
            f"SELECT _offset, error FROM {database}._parked "
            "WHERE _offset IN (SELECT _offset FROM shown) ORDER BY time"
        )
        for offset, error in con.execute(errors).fetchall():
            if found[offset].verdict in ("raised", "mended"):
                found[offset].error = error
    differing = con.execute(
        "SELECT cause, event, place, now, recorded, fields FROM differs "
        "WHERE cause IN (SELECT _offset FROM shown) ORDER BY cause, event, place"
    ).fetchall()
    values = {
        database: _values(log, plan, database, [(row[1], row[place]) for row in differing])
        for place, database in ((3, NOW), (4, RECORDED))
    }
    for cause, event, at, now, recorded, fields in differing:
        verdict: Verdict = "missing" if now is None else "extra" if recorded is None else "changed"
        is_, was = values[NOW].get((event, now), {}), values[RECORDED].get((event, recorded), {})
        shown = fields or list(is_ or was)
        pairs = {name: (was.get(name), is_.get(name)) for name in shown}
        found[cause].outputs.append(Output(event, at, verdict, pairs))
    yield from found.values()


def _values(
    log: ForkLog, plan: Plan, database: str, wanted: list[tuple[str, int | None]]
) -> dict[tuple[str, int | None], dict[str, Any]]:
    """The fields of events, by type and offset."""
    found: dict[tuple[str, int | None], dict[str, Any]] = {}
    for event in {event for event, _ in wanted}:
        offsets = [offset for name, offset in wanted if name == event and offset is not None]
        if not offsets:
            continue
        columns = ", ".join(quote(f.name) for f in plan.event(event).fields)
        sql = (
            f"SELECT _offset{', ' if columns else ''}{columns} FROM {database}.main.{quote(event)} "
            f"WHERE _offset IN ({_listed(offsets)})"
        )
        table: pa.Table = log.con.sql(sql).to_arrow_table()
        for row in table.to_pylist():
            found[event, row.pop("_offset")] = row
    return found
