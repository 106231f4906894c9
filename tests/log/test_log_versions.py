"""Events of several versions in the log: rows stay as they were written, and are shown lifted
(spec 6.8, 6.9)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings

from flowc_dsl.lifting import Stored
from flowc_dsl.plan import FieldPlan, Plan, TypePlan, UpcastPlan
from flowc_engine.generations import History
from flowc_engine.lifting import Lifter
from flowc_engine.log import protocol
from flowc_engine.log.follow import Follower, open_followed
from flowc_engine.log.history import _rows as read_rows
from flowc_engine.log.history import history as read_back
from flowc_engine.log.readers import Readers
from flowc_engine.log.stats import log_stats
from flowc_engine.log.store import LogStore
from flowc_engine.log.tables import LogSchemaError, wanted_tables
from flowc_engine.log.versions import view_sql
from flowc_engine.schema import WireSchemas
from support.evolving import Evolution, batch, evolutions, own
from support.journal import JournalBuilder
from support.plans import pipeline

PLAN = pipeline()
K, N = PLAN.event("Placed").fields


def placed(version: int, *fields: FieldPlan, upcasts: tuple[UpcastPlan, ...] = ()) -> Plan:
    """The plan with another Placed."""
    new = replace(PLAN.event("Placed"), version=version, fields=fields, upcasts=upcasts)
    return replace(PLAN, events=(new, PLAN.event("Paid")))


FLOAT = FieldPlan("amount", TypePlan("float"))
NOTE = FieldPlan("note", TypePlan("string", optional=True))
TO_2 = UpcastPlan(1, (), (("n", "amount"),))
TO_3 = UpcastPlan(2, (("note", '"old"'),))
SECOND = placed(2, K, FLOAT, upcasts=(TO_2,))
THIRD = placed(3, NOTE, K, FLOAT, upcasts=(TO_2, TO_3))


class Log:
    """The log of a folder, caught up with its journal."""

    live = False

    def __init__(self, folder: Path, history: History) -> None:
        journal = folder / "journal"
        self.store: LogStore = open_followed(folder / "log.duckdb", journal, history, print)
        self._follower = Follower(journal, history, self.store, print)
        end = JournalBuilder(journal, history.plan)
        while self._follower.step(end.durable):
            pass
        end.close()
        if self.store.unsaved:
            self.store.checkpoint()

    def query(self, sql: str, rows_max: int | None = None, *, as_of: int = -1) -> Any:
        answer = self.store.readers.query(sql, rows_max)
        return type("Answer", (), {"table": answer.table, "applied": as_of, "current": True})

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.query(sql).table.to_pylist()]


@contextmanager
def opened(folder: Path, history: History) -> Iterator[Log]:
    log = Log(folder, history)
    try:
        yield log
    finally:
        log._follower.close()
        log.store.close()


def write(folder: Path, plan: Plan, *rows: dict[str, Any], event: str = "Placed") -> int:
    """Events of a run with `plan`; where the journal ends then, comes back."""
    journal = JournalBuilder(folder / "journal", plan)
    if rows:
        journal.emit(event, *rows)
    end = journal.durable.offset
    journal.close()
    return end


def three_versions(folder: Path, *, looked_at: bool) -> History:
    """`looked_at`: the log is brought up to date after each."""
    history = History.of(PLAN)
    end = write(folder, PLAN, {"k": "a", "n": 1}, {"k": "b", "n": 2**53 + 1})
    for plan, row in (
        (SECOND, {"k": "c", "amount": 2.5}),
        (THIRD, {"k": "d", "amount": 4.0, "note": "new"}),
    ):
        if looked_at:
            with opened(folder, history):
                pass
        history = history.adopt(plan, lambda end=end: end)
        end = write(folder, plan, row)
    return history


ALL = [
    ("old", "a", 1.0, 0, 1),
    ("old", "b", float(2**53 + 1), 1, 1),
    ("old", "c", 2.5, 2, 2),
    ("new", "d", 4.0, 3, 3),
]
SELECT = "SELECT note, k, amount, _offset, _version FROM Placed ORDER BY _offset"


@pytest.mark.parametrize("looked_at", [True, False], ids=["grown", "rebuilt"])
def test_all_rows_are_of_the_newest_version_and_say_what_they_were(
    tmp_path: Path, *, looked_at: bool
) -> None:
    history = three_versions(tmp_path, looked_at=looked_at)
    with opened(tmp_path, history) as log:
        assert log.rows(SELECT) == ALL
        listed = log.rows("SELECT event, key, _offset, _version FROM _events ORDER BY _offset")
        assert listed == [("Placed", k, offset, version) for _, k, _, offset, version in ALL]
        assert log.rows('SELECT k, n FROM "Placed@v1" ORDER BY _offset') == [
            ("a", 1), ("b", 2**53 + 1),
        ]  # fmt: skip
        stats = log_stats(log)
        assert [(one.event, one.count) for one in stats.events] == [("Paid", 0), ("Placed", 4)]


def test_history_is_given_in_the_newest_version(tmp_path: Path) -> None:
    history = three_versions(tmp_path, looked_at=False)
    with opened(tmp_path, history) as log:
        asked = protocol.History(1, ["Placed"], 0, 10)
        _, stream = read_back(log.store.readers, WireSchemas(THIRD), asked, 4)
    found = pa.ipc.open_stream(stream).read_all().to_pylist()
    assert [(r["note"], r["k"], r["amount"]) for r in found] == [row[:3] for row in ALL]


def test_an_upcast_that_is_edited_holds_for_all_old_rows(tmp_path: Path) -> None:
    history = three_versions(tmp_path, looked_at=True)
    with opened(tmp_path, history):
        pass
    edited = placed(3, NOTE, K, FLOAT, upcasts=(TO_2, UpcastPlan(2, (("note", "null"),))))
    with opened(tmp_path, history.adopt(edited, lambda: 4)) as log:
        assert [row[0] for row in log.rows(SELECT)] == [None, None, None, "new"]


def test_nothing_is_changed_when_there_is_nothing_to_change(tmp_path: Path) -> None:
    history = three_versions(tmp_path, looked_at=True)
    with opened(tmp_path, history):
        pass
    before = (tmp_path / "log.duckdb").read_bytes()
    with opened(tmp_path, history) as log:
        assert log.rows(SELECT) == ALL
    assert (tmp_path / "log.duckdb").read_bytes() == before


def test_a_version_that_was_never_written_makes_way(tmp_path: Path) -> None:
    """From one to two tables and back; then the second version is another one."""
    end = write(tmp_path, PLAN, {"k": "a", "n": 1})
    first = History.of(PLAN)
    with opened(tmp_path, first.adopt(SECOND, lambda: end)) as log:
        assert log.rows("SELECT k, amount, _version FROM Placed") == [("a", 1.0, 1)]
    with opened(tmp_path, first.adopt(SECOND, lambda: end).adopt(PLAN, lambda: end)) as log:
        assert log.rows("SELECT k, n, _version FROM Placed") == [("a", 1, 1)]
        assert log.rows("SELECT event, version FROM _types ORDER BY ALL") == [
            ("Paid", 1), ("Placed", 1),
        ]  # fmt: skip
    other = placed(2, K, N, NOTE)
    with opened(tmp_path, first.adopt(other, lambda: end)) as log:
        assert log.rows("SELECT k, n, note, _version FROM Placed") == [("a", 1, None, 1)]


def test_rows_of_a_version_that_the_registry_does_not_know_are_not_dropped(tmp_path: Path) -> None:
    history = three_versions(tmp_path, looked_at=True)
    with opened(tmp_path, history):
        pass
    with pytest.raises(LogSchemaError, match="the log holds another Placed"):
        Log(tmp_path, History.of(THIRD))


def test_fields_in_another_order_need_no_other_version(tmp_path: Path) -> None:
    end = write(tmp_path, PLAN, {"k": "a", "n": 1})
    turned = placed(1, N, K)
    history = History.of(PLAN).adopt(turned, lambda: end)
    write(tmp_path, turned, {"k": "b", "n": 2})
    with opened(tmp_path, history) as log:
        assert log.rows("SELECT k, n, _version FROM Placed ORDER BY n") == [
            ("a", 1, 1), ("b", 2, 1),
        ]  # fmt: skip


@settings(max_examples=settings().max_examples // 2)
@given(evolutions(rows_max=4))
def test_the_view_shows_what_a_lifted_batch_has(made: Evolution) -> None:
    """The one lift, as SQL and as Arrow (D24)."""
    history = History.of(made.old).adopt(made.new, lambda: 10)
    tables = wanted_tables(history)["E"]
    sent = batch(made.old, made.rows)
    with duckdb.connect(":memory:") as con:
        for table in tables:
            con.execute(table.create_sql("memory.main"))
        rows = pa.table(sent).append_column("_offset", pa.array(range(len(made.rows)), pa.int64()))
        con.register("batch", rows.append_column("_source", pa.nulls(len(made.rows), pa.string())))
        con.execute(f'INSERT INTO "E@v1" SELECT {tables[0].values_sql()} FROM batch')
        con.execute(f"CREATE VIEW E AS {view_sql('memory.main', history, 'E', tables, {})}")
        readers = Readers([con.cursor()])
        shown = own(read_rows(readers, WireSchemas(made.new), "E", 0, 10).to_pylist())
        readers.close()
    lift = Lifter(Stored(made.old, made.old.event("E")), Stored(made.new, made.new.event("E")))
    assert shown == own(lift(sent).to_pylist()) == made.lifted
