"""Segments that the log has are packed: smaller, and read as what they were (5.11 to 5.13)."""

import random

import pytest

from flowc_dsl.plan import EventPlan, FieldPlan, Plan, TypePlan
from flowc_engine import limits
from flowc_engine.generations import History
from flowc_engine.journal.disk import OS_DISK, OsDisk
from flowc_engine.journal.packed import PackedError, open_segment, pack
from flowc_engine.journal.reader import JournalReader, JournalRotError, read_first_header
from flowc_engine.journal.recovery import recover
from flowc_engine.journal.segments import list_segments, list_unpacked, packed_path, segment_path
from flowc_engine.log.follow import Follower, open_followed
from flowc_engine.log.packing import pack_next
from support.dying import DyingDisk, Killed
from support.journal import JournalBuilder

FIELDS = (FieldPlan("k", TypePlan("string")), FieldPlan("n", TypePlan("int")))
PLAN = Plan("Small", (EventPlan("Placed", "event", 1, "k", FIELDS, external=True),), (), {}, {})


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """Five segments, with small frames, whose last is open."""
    for name, small in (
        ("SEGMENT_BYTES_MIN", 16_384), ("SEGMENT_BYTES", 32_768), ("PACK_FRAME_BYTES", 4_096),
    ):  # fmt: skip
        monkeypatch.setattr(limits, name, small)
    builder = JournalBuilder(tmp_path / "journal", PLAN)
    dice = random.Random(7)
    while builder.durable.segment < 4:
        rows = [{"k": f"key {dice.random()}", "n": n} for n in range(dice.randrange(1, 60))]
        builder.emit("Placed", *rows)
    yield builder
    builder.close()


def read_all(journal, folder=None):
    end = journal.durable
    reader = JournalReader(folder or journal.folder)
    try:
        found = reader.read(0, 0, end.segment, end.position, 10**9)
        return [(r.header, r.segment, r.position, [bytes(b) for b in r.bodies]) for r in found]
    finally:
        reader.close()


def test_what_is_packed_reads_as_it_was(journal):
    """5.12."""
    before = read_all(journal)
    headers = [read_first_header(journal.folder, s) for s in range(5)]
    plain = segment_path(journal.folder, 1).read_bytes()
    for segment in range(4):
        assert pack(journal.folder, segment) > 0
    assert list_segments(journal.folder) == [0, 1, 2, 3, 4]
    assert list_unpacked(journal.folder) == [4]
    assert read_all(journal) == before
    assert [read_first_header(journal.folder, s) for s in range(5)] == headers
    file, dice = open_segment(journal.folder, 1), random.Random(3)
    for _ in range(200):
        at, size = dice.randrange(len(plain) + 9_000), dice.randrange(20_000)
        assert file.pread(size, at) == plain[at : at + size]
    file.close()


def test_who_reads_is_not_disturbed(journal):
    reader, end = JournalReader(journal.folder), journal.durable
    reading = reader.read(0, 0, end.segment, end.position, 10**9)
    seen = [next(reading).header for _ in range(3)]
    for segment in range(3):
        pack(journal.folder, segment)
    seen += [read.header for read in reading]
    reader.close()
    assert seen == [header for header, *_ in read_all(journal)]


def test_only_what_the_log_has_saved_is_packed_and_the_newest_never(journal):
    """5.11."""
    assert not pack_next(journal.folder, 0)
    assert pack_next(journal.folder, 2)
    assert pack_next(journal.folder, 2)
    assert not pack_next(journal.folder, 2)
    while pack_next(journal.folder, 9):
        pass
    assert list_unpacked(journal.folder) == [3, 4]


def test_a_log_is_rebuilt_from_packed_segments(journal):
    """6.3."""
    while pack_next(journal.folder, 9):
        pass
    file, history = journal.folder.parent / "log.duckdb", History.of(PLAN)
    file.write_bytes(b"no log")
    store = open_followed(file, journal.folder, history, print)
    follower = Follower(journal.folder, history, store, print)
    follower.check(journal.durable)
    while follower.step(journal.durable):
        pass
    [row] = store.readers.query(
        "SELECT count(*) AS n, max(_offset) + 1 AS m FROM Placed"
    ).table.to_pylist()
    assert row == {"n": journal.durable.offset, "m": journal.durable.offset}
    follower.close()
    store.close()


def test_killed_at_any_operation_the_segment_is_there(journal):
    """5.13."""
    before = read_all(journal)
    operations = 0
    while True:
        disk = DyingDisk(operations)
        try:
            pack(journal.folder, 1, disk)
        except Killed:
            operations += 1
        else:
            break
        assert read_all(journal) == before
        assert recover(journal.folder, repair=False).segment == 4
        assert 1 in list_unpacked(journal.folder) or packed_path(journal.folder, 1).exists()
    assert operations > 8
    assert not list(journal.folder.glob("1*.tmp"))
    assert read_all(journal) == before
    assert 1 not in list_unpacked(journal.folder)


def test_a_disk_that_fails_or_lies_changes_nothing(journal):
    class Lying(OsDisk):
        def pwritev(self, fd, pieces, at):
            return super().pwritev(fd, [bytes(len(piece)) for piece in pieces], at)

    before = sorted(p.name for p in journal.folder.iterdir())
    with pytest.raises(PackedError):
        pack(journal.folder, 1, Lying())
    assert sorted(p.name for p in journal.folder.iterdir()) == before


def test_no_byte_of_a_packed_segment_can_change_unseen(journal):
    """5.8: another byte is an error, or is read as what it was."""
    before = read_all(journal)
    pack(journal.folder, 1)
    path = packed_path(journal.folder, 1)
    data = path.read_bytes()
    dice, seen = random.Random(1), 0
    for at in [*range(160), *(dice.randrange(len(data)) for _ in range(300))]:
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :])
        try:
            assert read_all(journal) == before
        except JournalRotError as error:
            assert "0000000001.seg" in str(error)
            seen += 1
    assert seen > 300
    for size in (0, 10, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(JournalRotError):
            read_all(journal)


def test_a_journal_whose_last_segment_is_only_packed_has_lost_one(journal):
    """5.6."""
    pack(journal.folder, 3)
    segment_path(journal.folder, 4).unlink()
    with pytest.raises(JournalRotError, match="missing"):
        recover(journal.folder, OS_DISK)
