"""What a system's log has seen of it: the answers to `flowc_dsl.drift.sql`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flowc_dsl.drift import sql
from flowc_dsl.drift.observed import Broken, EdgeSeen, Late, Misfit, Observed
from flowc_dsl.model import System
from flowc_dsl.planning import make_plan
from flowc_engine import limits
from flowc_engine.log import tables as tb
from flowc_engine.log.query import Log

Progress = Callable[[str], None]
"""Called with what is looked at next."""


def observe(
    log: Log, system: System, *, begin: int = 0, progress: Progress = lambda _: None
) -> Observed:
    """Everything from offset `begin` on. Raises `QueryError`, and what the log raises."""
    [bounds] = _rows(log, sql.bounds_sql(), as_of=-1)
    end, end_us = bounds["offset"], bounds["time_us"] or 0
    progress("edges")
    edges = tuple(EdgeSeen(**row) for row in _rows(log, sql.edges_sql(begin)))
    counts = {row["event"]: row["count"] for row in _rows(log, sql.counts_sql(begin))}
    listed = _rows(log, "SELECT event, version, key, columns FROM _types")
    tables = tb.stored_tables(tuple(row.values()) for row in listed)
    stored = {name: dict(versions[-1].columns) for name, versions in tables.items()}
    return Observed(
        edges,
        counts,
        begin,
        end,
        tuple(_misfits(log, system, {e: stored[e] for e in counts}, begin, progress)),
        tuple(_late(log, system, stored, begin, end_us, progress)),
        tuple(_broken(log, system, stored, begin, end_us, progress)),
    )


def _rows(log: Log, text: str, as_of: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = log.query(text, as_of=as_of).table.to_pylist()
    return found


def _misfits(
    log: Log, system: System, stored: sql.Columns, begin: int, progress: Progress
) -> Iterator[Misfit]:
    for row in _rows(log, sql.rejected_sql(begin)):
        first_line = row["error"].splitlines()[0] if row["error"] else ""
        why = f"fits no table ({first_line})"
        yield Misfit(row["event"], "", why, row["count"], row["first_offset"])
    declared = _declared(system)
    for event, columns in stored.items():
        checks = [*sql.field_checks(system, event, columns, declared.get(event, {}))]
        for first in range(0, len(checks), limits.DRIFT_CHECKS_MAX):
            some = checks[first : first + limits.DRIFT_CHECKS_MAX]
            progress(f"fields of {event}")
            [row] = _rows(log, sql.checks_sql(event, some, begin))
            for number, check in enumerate(some):
                if count := row[f"count_{number}"]:
                    yield Misfit(event, check.field, check.why, count, row[f"first_{number}"])


def _declared(system: System) -> dict[str, dict[str, str]]:
    """The columns that each declared event would have; of a text with errors, none."""
    try:
        plan = make_plan(system)
        return {event.name: dict(tb.event_table(plan, event).columns) for event in plan.events}
    except KeyError:  # a type that is nothing
        return {}


def _late(
    log: Log, system: System, stored: sql.Columns, begin: int, end_us: int, progress: Progress
) -> Iterator[Late]:
    for service in system.services.values():
        for number, handler in enumerate(service.handlers):
            text = sql.late_sql(service.name, handler, stored, begin, end_us)
            if text is None:
                continue
            progress(f"within of {service.name}")
            [row] = _rows(log, text)
            if row["count"]:
                yield Late(
                    service.name, number, row["count"], row["silent"], row["worst_us"],
                    tuple(row["offsets"]),
                )  # fmt: skip


def _broken(
    log: Log, system: System, stored: sql.Columns, begin: int, end_us: int, progress: Progress
) -> Iterator[Broken]:
    for expect in system.expects:
        progress(f"expect {expect.name}")
        [row] = _rows(log, sql.expect_sql(expect, stored, begin, end_us))
        if row["count"]:
            keys = [key if expect.by else None for key in row["keys"]]
            yield Broken(expect.name, row["count"], tuple(zip(row["offsets"], keys, strict=True)))
