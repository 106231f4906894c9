"""The journal's events arrive in DuckDB as what they were, once, whatever happens in between."""

import datetime as dt
import decimal
import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pytest

from flowc_dsl.plan import EventPlan, FieldPlan, Plan, ServicePlan, TypePlan
from flowc_engine import limits
from flowc_engine.bus.wire import Parked
from flowc_engine.generations import History as Generations
from flowc_engine.journal.segments import segment_path
from flowc_engine.log.follow import Follower, LogConflictError, durable_place, open_followed
from flowc_engine.log.history import history
from flowc_engine.log.protocol import History
from flowc_engine.log.readers import QueryError
from flowc_engine.log.store import LogDamagedError, open_store
from flowc_engine.log.tables import LogSchemaError
from flowc_engine.schema import WireSchemas, event_schema
from support.journal import TIME_US, JournalBuilder, wire_batch

SCALARS = {
    "string": "grüße",
    "bool": True,
    "int": -(2**63),
    "float": -0.5,
    "uuid": "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11",
    "timestamp": dt.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=dt.UTC),
    "date": dt.date(1969, 7, 20),
    "duration": dt.timedelta(days=400, microseconds=-1),
    "bytes": b"\x00\xff",
    "enum": "DECLINED",
}
EXPECTED = {
    **SCALARS,
    "uuid": uuid.UUID(SCALARS["uuid"]),
    "timestamp": SCALARS["timestamp"].replace(tzinfo=None),
}


def scalar(kind: str, *, optional: bool = False) -> TypePlan:
    if kind == "decimal":
        return TypePlan("decimal", optional, precision=12, scale=2)
    return TypePlan(kind, optional, name="Reason" if kind == "enum" else "")


def every_type() -> Plan:
    fields = [FieldPlan(f"f_{k}", scalar(k)) for k in SCALARS]
    fields += [FieldPlan(f"o_{k}", scalar(k, optional=True)) for k in SCALARS]
    line = TypePlan("struct", name="Line")
    fields += [
        FieldPlan("select", scalar("decimal")),  # a word of SQL
        FieldPlan("lines", TypePlan("list", args=(line,))),
        FieldPlan("waits", TypePlan("list", args=(scalar("duration"),))),
        FieldPlan("ids", TypePlan("list", True, args=(scalar("uuid"),))),
        FieldPlan("notes", TypePlan("map", args=(scalar("string"), scalar("int", optional=True)))),
    ]
    structs = {"Line": (FieldPlan("sku", scalar("string")), FieldPlan("id", scalar("uuid")))}
    event = EventPlan(
        "Everything", "event", 3, "f_uuid", tuple(fields), external=True, retain_ms=1_000
    )
    return Plan("Types", (event,), (), structs, {"Reason": ("DECLINED",)})


def small(*events: str, fields: tuple[str, ...] = ("k",)) -> Plan:
    listed = tuple(FieldPlan(f, TypePlan("string")) for f in fields)
    made = tuple(EventPlan(e, "event", 1, "k", listed, external=True) for e in events)
    return Plan("Small", made, (ServicePlan("Svc", "mock", "", ()),), {}, {})


class Opened:
    """A log of a journal in a folder."""

    def __init__(self, folder, plan, notes=None):
        self.notes = [] if notes is None else notes
        journal = folder / "journal"
        history = plan if isinstance(plan, Generations) else Generations.of(plan)
        self.store = open_followed(folder / "log.duckdb", journal, history, self.notes.append)
        self.follower = Follower(journal, history, self.store, self.notes.append)

    def catch_up(self, durable):
        self.follower.check(durable)
        while self.follower.step(durable):
            pass

    def rows(self, sql):
        return self.store.readers.query(sql).table.to_pylist()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.follower.close()
        self.store.close()


def fetch(file, sql):
    """What DuckDB itself says, after the log was closed."""
    with duckdb.connect(str(file), read_only=True) as con:
        return con.execute(sql).fetchall()


@pytest.mark.parametrize("exported", [False, True])
def test_every_type_comes_back_as_it_was(tmp_path, exported):
    plan = every_type()
    full = {f"{p}_{k}": v for p in "fo" for k, v in SCALARS.items()}
    nested = {
        "select": decimal.Decimal("1234567890.12"),
        "lines": [{"sku": "A-1", "id": SCALARS["uuid"]}],
        "waits": [dt.timedelta(microseconds=1)],
        "ids": [SCALARS["uuid"]],
        "notes": [("a", 1), ("b", None)],
    }
    empty = {f"o_{k}": None for k in SCALARS} | {"lines": [], "ids": None, "notes": []}
    journal = JournalBuilder(tmp_path / "journal", plan)
    rows = [{**full, **nested}, {**full, **nested, **empty}]
    journal.emit("Everything", *rows)
    with Opened(tmp_path, plan) as log:
        log.catch_up(journal.durable)
        assert not exported or log.store.retain(TIME_US + 2_000_000)
        log.store.checkpoint()
        asked = History(1, ["Everything"], 0, 10)
        _, stream = history(log.store.readers, WireSchemas(plan), asked, 2)
    journal.close()
    sent = wire_batch(plan, "Everything", rows)
    again = pa.ipc.open_stream(stream).read_all().select(sent.schema.names)
    assert again.combine_chunks().to_batches()[0].equals(sent)
    columns = [f.name for f in event_schema(plan, "Everything")]
    listed = ", ".join(
        f"timezone('UTC', {c})" if c.endswith("_timestamp") else f'"{c}"' for c in columns
    )
    first, second = fetch(
        tmp_path / "log.duckdb", f'SELECT {listed} FROM "Everything" ORDER BY _offset'
    )
    first, second = dict(zip(columns, first, strict=True)), dict(zip(columns, second, strict=True))
    assert {k: first[f"f_{k}"] for k in SCALARS} == EXPECTED
    assert {k: first[f"o_{k}"] for k in SCALARS} == EXPECTED
    assert all(second[f"o_{k}"] is None for k in SCALARS)
    assert first["select"] == decimal.Decimal("1234567890.12")
    assert first["lines"] == [{"sku": "A-1", "id": EXPECTED["uuid"]}]
    assert first["ids"] == [EXPECTED["uuid"]]
    assert second["ids"] is None
    assert second["lines"] == []
    assert first["notes"] == {"a": 1, "b": None}
    kinds = dict(
        fetch(tmp_path / "log.duckdb", "SELECT column_name, data_type FROM duckdb_columns()")
    )
    assert kinds["f_uuid"] == "UUID"
    assert kinds["f_duration"] == "INTERVAL"
    assert kinds["select"] == "DECIMAL(12,2)"


def test_the_envelope(tmp_path):
    plan = small("Placed", "Paid")
    with opened(tmp_path, plan) as (log, journal):
        journal.emit("Placed", {"k": "a"}, {"k": "b"}, source="shop")
        paid = wire_batch(plan, "Paid", [{"k": "b", "_cause": 1, "_root": 1, "_partition": 7}])
        journal.step("Svc", ("Paid", paid), after=2)
        log.catch_up(journal.durable)
        [placed, _] = log.rows('SELECT * FROM "Placed" ORDER BY _offset')
        assert {k: v for k, v in placed.items() if k != "_time"} == {
            "k": "a", "_offset": 0, "_source": "shop", "_cause": None, "_root": 0,
            "_partition": 0, "_version": 1,
        }  # fmt: skip
        assert placed["_time"].timestamp() == TIME_US / 1e6
        [seen] = log.rows("SELECT * EXCLUDE (_time) FROM _events WHERE event = 'Paid'")
        assert seen == {
            "event": "Paid", "key": "b", "_offset": 2, "_source": "Svc", "_cause": 1, "_root": 1,
            "_partition": 7, "_version": 1,
        }  # fmt: skip


@contextmanager
def opened(folder, plan):
    """A journal and its log."""
    journal = JournalBuilder(folder / "journal", plan)
    try:
        with Opened(folder, plan) as log:
            yield log, journal
    finally:
        journal.close()


def test_nothing_beyond_what_is_durable_is_read(tmp_path):
    plan = small("Placed")
    with opened(tmp_path, plan) as (log, journal):
        journal.emit("Placed", {"k": "a"})
        then = journal.durable
        journal.emit("Placed", {"k": "b"})
        log.catch_up(then)
        assert log.rows("SELECT k FROM Placed") == [{"k": "a"}]
        log.catch_up(journal.durable)
        assert log.rows("SELECT k FROM Placed") == [{"k": "a"}, {"k": "b"}]


def test_a_log_without_a_checkpoint_is_applied_again_and_not_twice(tmp_path):
    plan = small("Placed")
    with opened(tmp_path, plan) as (log, journal):
        journal.emit("Placed", {"k": "a"})
        log.catch_up(journal.durable)
        log.store.checkpoint()
        saved = log.store.saved
        journal.emit("Placed", {"k": "b"})
        log.catch_up(journal.durable)
        assert log.store.saved == saved
        durable = journal.durable
    with Opened(tmp_path, plan) as log:
        log.catch_up(durable)
        assert log.rows("SELECT k FROM Placed ORDER BY 1") == [{"k": "a"}, {"k": "b"}]


def test_segments_and_snapshots_are_crossed(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "LOG_BYTES_PER_TRANSACTION", 100_000)
    monkeypatch.setattr(limits, "SEGMENT_BYTES_MIN", 64 * limits.KIB)
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 64 * limits.KIB)
    plan = small("Placed")
    with opened(tmp_path, plan) as (log, journal):
        for n in range(40):
            journal.emit("Placed", *({"k": f"{n}-{i}-{'x' * 100}"} for i in range(50)))
        assert journal.durable.segment > 3
        log.catch_up(journal.durable)
        assert log.store.applied == durable_place(journal.durable)
        [row] = log.rows(
            "SELECT count(*) AS n, count(DISTINCT k) AS k, min(_offset) AS first, "
            "max(_offset) AS last FROM Placed"
        )
        assert row == {"n": 2000, "k": 2000, "first": 0, "last": 1999}


def test_parked_events_are_in_the_log(tmp_path):
    plan = small("Placed")
    with opened(tmp_path, plan) as (log, journal):
        journal.emit("Placed", {"k": "a"})
        journal.step("Svc", after=1, parked=[Parked(0, "Placed", "on_placed", "no", 5, TIME_US)])
        log.catch_up(journal.durable)
        [row] = log.rows("SELECT * EXCLUDE (time) FROM _parked")
    assert row == {
        "_offset": 0, "event": "Placed", "service": "Svc", "slot": 0, "handler": "on_placed",
        "error": "no", "attempts": 5,
    }  # fmt: skip


def test_rows_that_fit_no_table_are_kept_and_the_rest_goes_on(tmp_path):
    field = (FieldPlan("k", TypePlan("uuid")),)
    plan = Plan("Small", (EventPlan("Placed", "event", 1, "k", field),), (), {}, {})
    good = SCALARS["uuid"]
    with opened(tmp_path, plan) as (log, journal):
        journal.emit("Placed", {"k": good}, {"k": "no uuid"}, {"k": good})
        log.catch_up(journal.durable)
        assert [r["_offset"] for r in log.rows("SELECT _offset FROM Placed ORDER BY 1")] == [0, 2]
        [row] = log.rows("SELECT * FROM _rejected")
        assert (row["_offset"], row["rows"], row["event"]) == (1, 1, "Placed")
        assert "no uuid" in row["error"]
        assert log.notes


def test_a_new_type_adds_a_table_and_a_dropped_one_keeps_its_own(tmp_path):
    journal = JournalBuilder(tmp_path / "journal", small("Placed"))
    journal.emit("Placed", {"k": "a"})
    with Opened(tmp_path, small("Placed")) as log:
        log.catch_up(journal.durable)
        log.store.checkpoint()
    journal.close()
    with Opened(tmp_path, small("Paid")) as log:
        assert log.rows("SELECT event, key FROM _events") == [{"event": "Placed", "key": "a"}]
        assert log.rows("SELECT * FROM Paid") == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (("k", "extra"), "Placed.extra is new"),
        (("other",), "Placed.k is no longer declared"),
    ],
)
def test_a_type_that_changed_is_refused(tmp_path, fields, said):
    """It can't be by what a run adopts (spec 9.13); the log does not rely on that."""
    with opened(tmp_path, small("Placed")) as (log, journal):
        journal.emit("Placed", {"k": "a"})
        log.catch_up(journal.durable)
        log.store.checkpoint()
    with pytest.raises(LogSchemaError, match=said):
        Opened(tmp_path, small("Placed", fields=fields))


@pytest.mark.parametrize(
    "plan",
    [small("Placed", "PLACED"), small("_events"), small("Placed", fields=("k", "K", "_Offset"))],
)
def test_names_that_sql_can_not_tell_apart_are_refused(tmp_path, plan):
    JournalBuilder(tmp_path / "journal", small()).close()
    with pytest.raises(LogSchemaError, match="ignores case"):
        Opened(tmp_path, plan)


def test_a_log_ahead_of_its_journal_is_an_error_and_is_left_alone(tmp_path):
    plan = small("Placed")
    with opened(tmp_path, plan) as (log, journal):
        journal.emit("Placed", {"k": "a"})
        before = journal.durable
        journal.emit("Placed", {"k": "b"})
        log.catch_up(journal.durable)
        log.store.checkpoint()
    with Opened(tmp_path, plan) as log:
        with pytest.raises(LogConflictError, match="missing from the journal"):
            log.follower.check(before)
        assert len(log.rows("SELECT * FROM Placed")) == 2


def test_a_journal_whose_begin_is_gone_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SEGMENT_BYTES_MIN", 64 * limits.KIB)
    plan = small("Placed")
    with opened(tmp_path, plan) as (log, journal):
        for n in range(20):
            journal.emit("Placed", *({"k": f"{n}-{i}-{'x' * 100}"} for i in range(50)))
        durable = journal.durable
        assert durable.segment > 0
        segment_path(tmp_path / "journal", 0).unlink()
        with pytest.raises(LogConflictError, match="the log ends before event 0"):
            log.catch_up(durable)
        assert log.rows("SELECT * FROM Placed") == []
    file = tmp_path / "log.duckdb"
    file.write_bytes(b"no database")
    with pytest.raises(LogConflictError, match="can't be rebuilt"):
        Opened(tmp_path, plan)
    assert file.exists()


def test_segments_that_the_log_has_whole_may_be_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SEGMENT_BYTES_MIN", 64 * limits.KIB)
    plan = small("Placed")
    journal = JournalBuilder(tmp_path / "journal", plan)
    with Opened(tmp_path, plan) as log:
        while True:
            before = journal.durable
            journal.emit("Placed", *({"k": f"{i}-{'x' * 100}"} for i in range(50)))
            if journal.durable.segment > 0:
                break
        log.catch_up(before)
        log.store.checkpoint()
    segment_path(tmp_path / "journal", 0).unlink()
    with Opened(tmp_path, plan) as log:
        log.catch_up(journal.durable)
        assert log.rows("SELECT max(_offset) + 1 AS n, count(*) AS c FROM Placed") == [
            {"n": journal.durable.offset, "c": journal.durable.offset}
        ]
    journal.close()


def test_records_that_are_not_the_next_ones_are_an_error(tmp_path):
    plan = small("Placed")
    with opened(tmp_path, plan) as (log, journal):
        journal.emit("Placed", {"k": "a"})
        log.catch_up(journal.durable)
        at = log.store.applied
        log.store.applied = at._replace(segment=0, position=0)
        with pytest.raises(LogConflictError, match="continues with record"):
            log.follower.step(journal.durable)


@pytest.mark.parametrize("harm", ["torn", "other", "flipped", "gone"])
def test_a_bad_file_is_set_aside_and_rebuilt_from_the_journal(tmp_path, harm):
    plan = small("Placed")
    file = tmp_path / "log.duckdb"
    with opened(tmp_path, plan) as (log, journal):
        journal.emit("Placed", *({"k": str(n)} for n in range(1000)))
        log.catch_up(journal.durable)
        log.store.checkpoint()
        durable = journal.durable
    data = file.read_bytes()
    match harm:
        case "torn":
            file.write_bytes(data[:5000])
        case "flipped":
            file.write_bytes(data[:4100] + bytes([data[4100] ^ 1]) + data[4101:])
        case "gone":
            file.unlink()
        case "other":
            JournalBuilder(tmp_path / "other" / "journal", plan).close()
            with Opened(tmp_path / "other", plan):
                pass
            file.write_bytes((tmp_path / "other" / "log.duckdb").read_bytes())
    with Opened(tmp_path, plan) as log:
        log.catch_up(durable)
        assert log.rows("SELECT count(DISTINCT k) AS n FROM Placed") == [{"n": 1000}]
        aside = list(tmp_path.glob("log.duckdb.bad-*"))
        assert len(aside) == (0 if harm == "gone" else 1)
        assert len(log.notes) == len(aside)


def test_a_log_of_another_journal_is_not_opened(tmp_path):
    plan = small("Placed")
    JournalBuilder(tmp_path / "journal", plan).close()
    with Opened(tmp_path, plan):
        pass
    with pytest.raises(LogDamagedError, match="another journal"):
        open_store(tmp_path / "log.duckdb", Generations.of(plan), 12345)


def test_files_are_private_and_leave_no_write_ahead_log(tmp_path):
    old = os.umask(0o077)
    try:
        with opened(tmp_path, small("Placed")) as (log, journal):
            journal.emit("Placed", {"k": "a"})
            log.catch_up(journal.durable)
            names = {p.name for p in tmp_path.iterdir()}
    finally:
        os.umask(old)
    assert names == {"journal", "log.duckdb"}
    assert (tmp_path / "log.duckdb").stat().st_mode & 0o077 == 0


def test_columns_are_remembered_as_json(tmp_path):
    plan = small("Placed")
    JournalBuilder(tmp_path / "journal", plan).close()
    with Opened(tmp_path, plan) as log:
        [row] = log.rows("SELECT * FROM _types")
    assert json.loads(row["columns"]) == [["k", "VARCHAR"]]


SLOW = "SELECT count(*) FROM range(100000000000) r(i) WHERE hash(i) % 3 = 1"


def test_a_query_has_a_bounded_time_and_others_do_not_wait_for_it(tmp_path):
    with opened(tmp_path, small("Placed")) as (log, journal):
        readers = log.store.readers
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(readers.query, SLOW, None, 400)
            while not slow.running():
                pass
            assert log.rows("SELECT 1 AS one") == [{"one": 1}]
            journal.emit("Placed", {"k": "a"})
            log.catch_up(journal.durable)
            log.store.checkpoint()
            assert not slow.done()
            with pytest.raises(QueryError) as caught:
                slow.result()
        assert caught.value.kind == "timeout"
        assert log.rows("SELECT k FROM Placed") == [{"k": "a"}]


def test_closing_stops_what_runs(tmp_path):
    with opened(tmp_path, small("Placed")) as (log, _), ThreadPoolExecutor(1) as pool:
        slow = pool.submit(log.store.readers.query, SLOW)
        while not slow.running():
            pass
        log.store.readers.close()
        with pytest.raises(QueryError):
            slow.result()


def test_memory_of_queries_and_size_of_answers_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "LOG_MEMORY_MIB", 64)
    monkeypatch.setattr(limits, "QUERY_MEMORY_MIB", 32)
    monkeypatch.setattr(limits, "QUERY_RESULT_BYTES_MAX", limits.MIB)
    with opened(tmp_path, small("Placed")) as (log, journal):
        with pytest.raises(QueryError, match="Out of Memory"):
            log.rows("SELECT list(repeat('z', 1000) || i) FROM range(100000) r(i)")
        with pytest.raises(QueryError) as caught:
            log.rows("SELECT repeat('y', 1000) AS t FROM range(2000)")
        assert caught.value.kind == "too_large"
        journal.emit("Placed", {"k": "a"})
        log.catch_up(journal.durable)
        assert log.rows("SELECT k FROM Placed") == [{"k": "a"}]
