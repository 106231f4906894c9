"""The journal: what was synced is read back, a torn tail is cut, and rot stops everything (spec:
journal)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowc_engine import limits
from flowc_engine.broker.fetch import Fetcher
from flowc_engine.bus.wire import Batch
from flowc_engine.core import effects as fx
from flowc_engine.journal import record as rec
from flowc_engine.journal.ending import journal_end
from flowc_engine.journal.reader import JournalReader, JournalRotError
from flowc_engine.journal.recovery import recover, state_at
from flowc_engine.journal.segments import list_segments, segment_path
from flowc_engine.journal.state import DurableState
from flowc_engine.journal.writer import JournalWriter


class Log:
    """A journal with a state that runs beside it, as the broker has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = recover(folder)
        self.cut_bytes = found.cut_bytes
        self.state = found.state
        own = DurableState()
        own.apply(found.state.snapshot(0), 0)
        self.writer = JournalWriter(folder, found.journal_id, own)
        if found.fd >= 0:
            self.writer.resume(found.fd, found.segment, found.position)
        else:
            self.writer.create()

    def events(self, rows: int, body: bytes) -> None:
        seq = self.state.source("s").seq
        entry = rec.SourceEvents(7, [Batch("A", rows)], [len(body)], "s", 1, seq)
        self._append(entry, rows, [body])

    def mark(self) -> None:
        self._append(rec.Mark(7, [], []), 0, [])

    def _append(self, entry: rec.AnyEntry, rows: int, bodies: list[bytes]) -> None:
        self.writer.append(
            entry, bodies, record=self.state.record, first_offset=self.state.offset, rows=rows
        )
        self.state.apply(entry, rows)

    def sync(self) -> None:
        self.writer.sync()

    def read(self) -> list[bytes]:
        end = self.writer.durable_at
        reader = JournalReader(self.folder)
        reads = reader.read(0, 0, end.segment, end.position, 1 << 40)
        bodies = [bytes(b) for read in reads for b in read.bodies]
        reader.close()
        return bodies


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(limits, "SEGMENT_BYTES_MIN", 4096)
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 16384)


def test_what_was_synced_is_read_back_over_segments(tmp_path, small_segments):
    log = Log(tmp_path)
    bodies = [os.urandom(17 * i % 3000 + 1) for i in range(60)]
    for i, data in enumerate(bodies):
        log.events(i % 3 + 1, data)
        if i % 4 == 0:
            log.sync()
    log.sync()
    assert log.read() == bodies
    assert len(list_segments(tmp_path)) > 2
    log.writer.close()
    again = Log(tmp_path)
    assert again.state == log.state
    assert again.read() == bodies
    again.writer.close()


def test_a_record_larger_than_a_segment_has_room(tmp_path, small_segments):
    log = Log(tmp_path)
    log.events(1, b"x" * 100_000)
    log.events(1, b"y")
    log.sync()
    assert log.read() == [b"x" * 100_000, b"y"]
    log.writer.close()


def test_what_was_not_synced_is_not_there(tmp_path, small_segments):
    log = Log(tmp_path)
    log.events(2, b"kept")
    log.sync()
    log.events(2, b"lost")
    again = Log(tmp_path)
    assert (again.state.offset, again.read()) == (2, [b"kept"])
    again.writer.close()


def journal_of_three(folder: Path) -> tuple[Log, list[int]]:
    """Two acknowledged records with the proof of it, then one whose sync nobody wrote down."""
    log = Log(folder)
    ends = []
    for data in (b"first", b"second", b"third"):
        log.events(1, data * 9)
        log.sync()
        ends.append(log.writer.durable_at.position)
    log.writer.close()
    return log, ends


def test_a_tail_torn_at_any_byte_is_cut(tmp_path, small_segments):
    _, ends = journal_of_three(tmp_path)
    path = segment_path(tmp_path, 0)
    whole = path.read_bytes()
    last_body = whole.rindex(b"third") + 5
    for cut in range(ends[1], last_body):
        path.write_bytes(whole[:cut] + bytes(len(whole) - cut))
        log = Log(tmp_path)
        assert log.state.offset == 2, cut
        assert log.read() == [b"first" * 9, b"second" * 9]
        assert path.read_bytes()[ends[1] :] == bytes(len(whole) - ends[1]), "the tail is gone"
        log.events(1, b"fourth")  # and the journal goes on
        log.sync()
        assert log.read()[-1] == b"fourth"
        log.writer.close()


def test_a_bit_flipped_in_what_was_acknowledged_stops_and_says_where(tmp_path, small_segments):
    _, ends = journal_of_three(tmp_path)
    path = segment_path(tmp_path, 0)
    whole = path.read_bytes()
    start = 64 + rec.padded(rec.decode_header(whole).payload_bytes)
    silent = []
    for at in range(start, ends[1]):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        try:
            found = recover(tmp_path)
        except JournalRotError as error:
            assert error.path == path
            assert start <= error.position <= at
        else:
            os.close(found.fd)
            if found.state.offset != 3:
                silent.append(at)
        assert path.read_bytes() == bytes(flipped), "evidence is not touched"
    assert silent == []


def test_a_mark_proves_the_last_record(tmp_path, small_segments):
    log = Log(tmp_path)
    log.events(1, b"only")
    log.sync()
    log.mark()
    log.writer.close()
    path = segment_path(tmp_path, 0)
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"only")] ^= 1
    path.write_bytes(whole)
    with pytest.raises(JournalRotError, match="record 0 is damaged, and was durable"):
        recover(tmp_path)


def test_a_journal_that_is_only_read_stays_as_it_is(tmp_path, small_segments):
    """Its end is the same, and a torn tail is left for the next broker."""
    log = Log(tmp_path)
    log.events(1, b"kept")
    log.sync()
    log.writer.close()
    path = segment_path(tmp_path, 0)
    whole = bytearray(path.read_bytes())
    end = journal_end(tmp_path, repair=False)
    whole[end.position : end.position + 9] = b"torn tail"
    path.write_bytes(whole)
    assert journal_end(tmp_path, repair=False) == end
    assert path.read_bytes() == whole
    assert state_at(tmp_path, end) == log.state
    assert journal_end(tmp_path) == end
    assert path.read_bytes() != whole


def test_a_missing_segment_is_rot(tmp_path, small_segments):
    log = Log(tmp_path)
    for _ in range(30):
        log.events(1, b"z" * 1000)
        log.sync()
    log.writer.close()
    segment_path(tmp_path, 2).unlink()
    with pytest.raises(JournalRotError, match=r"0000000002.seg.*missing"):
        recover(tmp_path)


def test_rot_in_an_older_segment_is_found_when_it_is_read(tmp_path, small_segments):
    log = Log(tmp_path)
    for _ in range(30):
        log.events(1, b"z" * 1000)
        log.sync()
    path = segment_path(tmp_path, 1)
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"zzzz")] ^= 1
    path.write_bytes(whole)
    with pytest.raises(JournalRotError, match=r"0000000001.seg"):
        log.read()
    log.writer.close()


def test_a_segment_has_its_name_once_its_snapshot_is_durable(tmp_path, small_segments):
    log, _ = journal_of_three(tmp_path)
    (tmp_path / "next.tmp").write_bytes(b"was being prepared")
    again = Log(tmp_path)
    assert again.state == log.state
    again.writer.close()
    segment_path(tmp_path, 1).write_bytes(bytes(4096))
    with pytest.raises(JournalRotError, match=r"1.seg at byte 0: .* sound snapshot"):
        recover(tmp_path)


def test_a_snapshot_larger_than_half_a_segment_is_kept(tmp_path, small_segments):
    """The next file is prepared under the name that this one had."""
    log = Log(tmp_path)
    for n in range(200):
        log._append(rec.SourceOpened(7, [], [], f"a source with a long name {n:100}", n), 0, [])
    log.sync()
    assert len(list_segments(tmp_path)) > 2
    log.writer.close()
    again = Log(tmp_path)
    assert again.state == log.state
    again.writer.close()


def test_a_file_that_was_cut_is_rot_wherever_it_was(tmp_path, small_segments):
    """Spec 5.6: at the end of a record too, where what is left looks whole."""
    _, ends = journal_of_three(tmp_path)
    path = segment_path(tmp_path, 0)
    whole = path.read_bytes()
    for cut in (0, 1, 64, *ends, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(JournalRotError, match=r"0000000000.seg at byte"):
            recover(tmp_path)
        assert path.read_bytes() == whole[:cut]


@pytest.mark.parametrize("zeros", [False, True])
def test_records_missing_at_the_end_of_an_older_segment_are_missed(
    tmp_path, small_segments, monkeypatch, zeros
):
    log = Log(tmp_path)
    ends: dict[int, list[int]] = {}
    for _ in range(30):
        log.events(1, b"z" * 1000)
        log.sync()
        ends.setdefault(log.writer.segment, []).append(log.writer.position)
    path = segment_path(tmp_path, 1)
    whole, cut = path.read_bytes(), ends[1][-2]
    path.write_bytes(whole[:cut] + bytes(len(whole) - cut) * zeros)
    with pytest.raises(JournalRotError, match="others are missing"):
        log.read()
    monkeypatch.setattr(limits, "SCAN_BYTES_MAX", 1)  # where each record is read by itself, too
    fetcher = Fetcher(tmp_path, {"Pay": frozenset("A")})
    fetcher.start(log.writer.durable_at)
    at = 0
    with pytest.raises(JournalRotError, match="others are missing"):
        while at < 30:
            at = fetcher.fetch(fx.Fetch(("Pay", 0), 1, at, 30, 1)).end
    assert 0 < at < 30
    log.writer.close()


def test_a_full_disk_stops_before_anything_is_acknowledged(tmp_path, small_segments, monkeypatch):
    log = Log(tmp_path)
    log.events(1, b"kept" * 100)
    log.sync()

    def full(disk: object, fd: int, start: int, end: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flowc_engine.journal.segments.write_zeros", full)
    with pytest.raises(OSError, match="No space"):
        for _ in range(20):
            log.events(1, b"more" * 200)
            log.sync()
    monkeypatch.undo()
    monkeypatch.setattr(limits, "SEGMENT_BYTES_MIN", 4096)
    again = Log(tmp_path)
    assert again.read()[0] == b"kept" * 100
    assert again.state.offset == len(again.read())
    again.writer.close()


def test_durable_means_that_fdatasync_has_returned(tmp_path, small_segments, monkeypatch):
    """A kill -9 can't tell: the page cache survives it. So the order of the calls is held here."""
    log = Log(tmp_path)
    calls: list[object] = []
    write, sync = os.pwritev, os.fdatasync

    def pwritev(fd, pieces, at):
        calls.append("write")
        return write(fd, pieces, at)

    def fdatasync(fd):
        calls.append(("sync", log.writer.durable_at.offset))
        sync(fd)

    monkeypatch.setattr(os, "pwritev", pwritev)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    log.events(3, b"data")
    log.sync()
    assert calls[:2] == ["write", ("sync", 0)]
    assert log.writer.durable_at.offset == 3
    log.writer.close()


def test_a_sync_that_fails_makes_nothing_durable(tmp_path, small_segments, monkeypatch):
    log = Log(tmp_path)

    def fdatasync(fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    log.events(3, b"data")
    with pytest.raises(OSError, match="Input/output"):
        log.sync()
    assert log.writer.durable_at.offset == 0
    monkeypatch.undo()
