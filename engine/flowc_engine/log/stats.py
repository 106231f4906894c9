"""The event types of a log at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flowc_engine.log.query import Log

_RECENT_S = 60

_SQL = """
WITH bounds AS (SELECT {until} AS until),
seen AS (
  SELECT event, count(*) AS n, min(_time) AS first, max(_time) AS last,
    count(*) FILTER (WHERE _time > until - INTERVAL {recent} SECONDS AND _time <= until) AS recent,
    date_diff('microsecond', min(_time), max(_time)) / 1e6 AS span
  FROM _events, bounds GROUP BY event
)
SELECT t.event, coalesce(n, 0) AS n, first, last, coalesce(recent, 0) AS recent,
  coalesce(span, 0) AS span
FROM (SELECT DISTINCT event FROM _types) t LEFT JOIN seen USING (event) ORDER BY t.event
"""
_ASIDE = """
SELECT (SELECT count(*) FROM _parked_now) AS parked,
  (SELECT coalesce(sum("rows"), 0)::BIGINT FROM _rejected) AS rejected
"""


@dataclass(frozen=True, slots=True)
class EventStats:
    """`rate_per_s` over the time from the first to the last; `recent_per_s` over the last minute:
    before now while a run is up, else before the last event of the log. Times are UTC."""

    event: str
    count: int
    rate_per_s: float
    recent_per_s: float
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class LogStats:
    """`rejected`: events that no table could take. `current`: see `LogAnswer`."""

    events: tuple[EventStats, ...]
    parked: int
    rejected: int
    applied: int
    current: bool


def log_stats(log: Log) -> LogStats:
    """Count. Raises `QueryError`."""
    until = "now()" if log.live else "(SELECT max(_time) FROM _events)"
    answer = log.query(_SQL.format(until=until, recent=_RECENT_S))
    aside = log.query(_ASIDE, as_of=0).table.to_pylist()[0]
    events = tuple(_event(row) for row in answer.table.to_pylist())
    return LogStats(events, aside["parked"], aside["rejected"], answer.applied, answer.current)


def _event(row: dict[str, Any]) -> EventStats:
    count, span_s = row["n"], row["span"]
    rate = (count - 1) / span_s if span_s > 0 else 0.0
    recent = row["recent"] / _RECENT_S
    return EventStats(row["event"], count, rate, recent, row["first"], row["last"])
