"""Segments that nothing reads any more are deleted, and only those (5.14 to 5.16)."""

from contextlib import suppress
from dataclasses import replace

import pytest

from flowc.rows import offsets_of
from flowc_dsl.plan import EventPlan, FieldPlan, Plan, ServicePlan, TimerPlan, TypePlan
from flowc_engine import limits
from flowc_engine.broker.fetch import Fetcher
from flowc_engine.core import effects as fx
from flowc_engine.generations import History
from flowc_engine.journal import record as rec
from flowc_engine.journal.reader import JournalRotError, read_first_header
from flowc_engine.journal.recovery import recover, snapshot_of
from flowc_engine.journal.segments import delete_first, list_segments
from flowc_engine.log.follow import Follower, LogConflictError, open_followed
from flowc_engine.log.packing import delete_next, needed_from, pack_next
from support.dying import DyingDisk, Killed
from support.journal import TIME_US, JournalBuilder

FIELDS = (FieldPlan("k", TypePlan("string")), FieldPlan("n", TypePlan("int")))
EVENT = EventPlan("Placed", "event", 1, "k", FIELDS, external=True, retain_ms=1_000)
PAY = ServicePlan("Pay", "mock", "", (), stateless=True)
PLAN = Plan("Small", (EVENT,), (PAY,), {}, {})
ALL = 10**9


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """Six segments, of which four are packed; the service has handled all."""
    for name, small in (
        ("SEGMENT_BYTES_MIN", 16_384), ("SEGMENT_BYTES", 16_384), ("PACK_FRAME_BYTES", 4_096),
        ("HOT_BYTES_MAX", 4_000), ("INDEX_EVERY_BYTES", 4_096),
    ):  # fmt: skip
        monkeypatch.setattr(limits, name, small)
    builder = JournalBuilder(tmp_path / "journal", PLAN)
    while builder.durable.segment < 5:
        builder.emit("Placed", *[{"k": f"key {n}", "n": n} for n in range(50)])
        builder.step("Pay", after=builder.durable.offset)
    while pack_next(builder.folder, 99):
        pass
    yield builder
    builder.close()


def begin_of(journal, segment):
    return read_first_header(journal.folder, segment).first_offset


def test_what_nobody_needs_goes_oldest_first(journal):
    while delete_next(journal.folder, PLAN, 2, ALL):
        assert recover(journal.folder, repair=False).segment == 5
    assert list_segments(journal.folder) == [4, 5]  # those that are not packed stay


def test_what_has_not_left_the_log_stays(journal):
    kept = begin_of(journal, 2)
    while delete_next(journal.folder, PLAN, 2, kept):
        pass
    assert list_segments(journal.folder) == [2, 3, 4, 5]
    assert not delete_next(journal.folder, PLAN, 2, begin_of(journal, 3) - 1)


def test_a_run_that_has_not_written_its_services_down_deletes_nothing(journal):
    assert not delete_next(journal.folder, PLAN, 5, ALL)


def slot(**state):
    return rec.SlotState("Pay", 0, [0], **state)


@pytest.mark.parametrize(
    ("state", "lowest"),
    [
        ({"cursor": 90}, 90),
        ({"cursor": 90, "deferred": [70, 80]}, 70),
        ({"cursor": 90, "parked_now": {60: 0, 50: 0}}, 50),
        ({"cursor": 0}, 0),
    ],
)
def test_a_service_needs_what_it_has_not_handled(state, lowest):
    snapshot = rec.Snapshot(0, [], [], 100, 0, [slot(**state)], [])
    assert needed_from(PLAN, snapshot) == lowest


@pytest.mark.parametrize(
    "service",
    [replace(PAY, stateless=False), replace(PAY, timers=(TimerPlan("Pay.every_5s", 5_000),))],
    ids=["with memory", "waits"],
)
def test_a_service_that_reads_its_past_again_needs_all(service):
    snapshot = rec.Snapshot(0, [], [], 100, 0, [slot(cursor=90)], [])
    assert needed_from(replace(PLAN, services=(service,)), snapshot) == 0


def test_what_is_left_is_found(journal):
    """By a broker that goes on, by one that begins, and by a new service: 4.6."""
    events = {"Pay": frozenset(["Placed"]), "New": frozenset(["Placed"])}
    going_on = Fetcher(journal.folder, events)
    going_on.start(journal.durable)
    first, end = begin_of(journal, 3), journal.durable.offset
    assert read(going_on, 0, end) == list(range(end))
    while delete_next(journal.folder, PLAN, 2, first):
        pass
    assert list_segments(journal.folder) == [3, 4, 5]
    assert read(going_on, first, end) == list(range(first, end))
    starting = Fetcher(journal.folder, events)
    starting.start(journal.durable)
    assert read(starting, 0, end) == list(range(first, end))
    at = fx.Fetch(("Pay", 0), 1, first, end, 10**9, (first, end - 1))
    for fetcher in (going_on, starting):
        rows = {o for b in fetcher.fetch(at).batches for o in offsets_of(b)}
        assert {first, end - 1} <= rows


def read(fetcher, begin, end):
    seen = []
    while begin < end:
        found = fetcher.fetch(fx.Fetch(("Pay", 0), 1, begin, end, 3_000))
        seen += sorted(o for b in found.batches for o in offsets_of(b) if begin <= o < found.end)
        begin = found.end
    return seen


def test_what_is_asked_for_and_gone_is_said(journal):
    fetcher = Fetcher(journal.folder, {"Pay": frozenset(["Placed"])})
    fetcher.start(journal.durable)
    for segment in range(3):
        delete_first(journal.folder, segment)
    with pytest.raises(JournalRotError, match="missing"):
        read(fetcher, 0, 100)


def test_a_segment_that_was_not_deleted_by_flowc_is_missed(journal):
    """5.16."""
    delete_next(journal.folder, PLAN, 2, ALL)
    recover(journal.folder, repair=False)
    (journal.folder / "0000000001.seg.zst").unlink()
    with pytest.raises(JournalRotError, match=r"0000000001.seg.*missing"):
        recover(journal.folder)


def test_killed_at_any_operation_nothing_that_is_needed_is_gone(journal):
    for operations in range(20):
        first = list_segments(journal.folder)[0]
        with suppress(Killed):
            delete_first(journal.folder, first, DyingDisk(operations))
        assert recover(journal.folder, repair=False).segment == 5
        if list_segments(journal.folder)[0] > 2:
            break
    assert operations > 5
    assert snapshot_of(journal.folder, 5).offset == begin_of(journal, 5)


def test_the_log_goes_on_and_one_that_is_lost_is_told(journal):
    """6.3: it can't be rebuilt, so nothing goes on as if it were."""
    file, history = journal.folder.parent / "log.duckdb", History.of(PLAN)

    def follow():
        store = open_followed(file, journal.folder, history, print)
        follower = Follower(journal.folder, history, store, print)
        try:
            follower.check(journal.durable)
            while follower.step(journal.durable):
                pass
            while store.retain(TIME_US + 5_000_000):
                pass
            store.checkpoint()
            [row] = store.readers.query("SELECT count(*) AS n FROM Placed").table.to_pylist()
            return store.kept_from(), row["n"]
        finally:
            follower.close()
            store.close()

    end = journal.durable.offset
    assert follow() == (end, end)
    assert delete_next(journal.folder, PLAN, 2, end)
    journal.emit("Placed", {"k": "x", "n": 1})
    assert follow() == (end + 1, end + 1)
    file.rename(file.with_name("away"))
    with pytest.raises(LogConflictError, match="the journal begins at event"):
        follow()
    file.write_bytes(b"no log")
    with pytest.raises(LogConflictError, match="can't be rebuilt"):
        follow()
