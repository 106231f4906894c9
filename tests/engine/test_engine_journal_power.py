"""What recovery calls the journal's end is durable, whatever stopped the process before: found by
the simulator (spec: 5.6, 12.4)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from flowc_engine.bus.wire import Batch
from flowc_engine.journal import record as rec
from flowc_engine.journal.disk import Bytes
from flowc_engine.journal.recovery import recover
from flowc_engine.journal.sizes import JournalSizes
from flowc_engine.journal.state import DurableState
from flowc_engine.journal.writer import JournalWriter
from flowc_engine.sim.disk import KilledError, VirtualDisk

FOLDER = Path("journal")
SIZES = JournalSizes(4_096, 4_096, 4_096, 1_024, 1_000)


class Log:
    """A journal on a virtual disk, from where it ends."""

    def __init__(self, disk: VirtualDisk) -> None:
        found = recover(FOLDER, disk, lambda: 1)
        self.state, self.disk = found.state, disk
        own = DurableState()
        own.apply(found.state.snapshot(0), 0)
        self.writer = JournalWriter(FOLDER, found.journal_id, own, disk=disk, sizes=SIZES)
        if found.fd >= 0:
            self.writer.resume(found.fd, found.segment, found.position)
        else:
            self.writer.create()

    def event(self, body: bytes = b"x") -> None:
        entry = rec.SourceEvents(7, [Batch("A", 1)], [len(body)], "s", 1, self.state.offset)
        record, first = self.state.record, self.state.offset
        self.writer.append(entry, [body], record=record, first_offset=first, rows=1)
        self.state.apply(entry, 1)

    def synced(self) -> None:
        self.event()
        self.writer.sync()


def restarted(disk: VirtualDisk) -> int:
    """A new process takes over; the offset that it goes on from, and may tell."""
    disk.process_died()
    found = recover(FOLDER, disk, lambda: 1)
    disk.close(found.fd)
    return found.state.offset


@pytest.mark.parametrize("seed", range(10))
def test_what_a_killed_process_wrote_is_durable_once_it_is_recovered(seed: int) -> None:
    disk = VirtualDisk(random.Random(seed))
    log = Log(disk)
    log.synced()
    log.event(b"y" * 2_000)
    disk.kill_in = 2  # after the write, in the sync
    with pytest.raises(KilledError):
        log.writer.sync()
    told = restarted(disk)
    assert told == 2, "the page cache has it"
    disk.cut_power()
    assert restarted(disk) == told


@pytest.mark.parametrize("seed", range(30))
def test_a_sync_that_failed_is_not_trusted_after_a_restart(seed: int) -> None:
    """The next `fdatasync` returns, and has written nothing: what was read is written again."""
    disk = VirtualDisk(random.Random(seed))
    log = Log(disk)
    log.synced()
    log.event(b"y" * 2_000)
    disk.fail_sync = True
    with pytest.raises(OSError, match="Input/output"):
        log.writer.sync()
    told = restarted(disk)
    disk.cut_power()
    assert restarted(disk) == told


@pytest.mark.parametrize("seed", range(20))
def test_the_name_of_a_new_segment_is_durable_once_it_is_recovered(seed: int, monkeypatch) -> None:
    def killed(_: VirtualDisk, folder: Path) -> None:
        raise KilledError(folder)

    disk = VirtualDisk(random.Random(seed))
    log = Log(disk)
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(VirtualDisk, "sync_folder", killed)  # behind the rename
        while True:
            log.synced()
    disk.process_died()
    log = Log(disk)
    assert log.writer.segment == 1
    log.synced()
    told = log.state.offset
    disk.cut_power()
    assert restarted(disk) == told


class FailsToCut(VirtualDisk):
    """The sync behind a write of zeros fails, while `failing`."""

    failing = False

    def pwritev(self, fd: int, pieces: Sequence[Bytes], at: int) -> int:
        self.fail_sync = self.failing and not b"".join(pieces).strip(b"\0")
        return super().pwritev(fd, pieces, at)


@pytest.mark.parametrize("seed", range(20))
def test_a_tail_whose_cut_failed_does_not_come_back(seed: int) -> None:
    disk = FailsToCut(random.Random(seed))
    log = Log(disk)
    log.synced()
    log.event(b"y" * 1_200)
    log.event(b"z" * 1_200)
    with pytest.raises(KilledError):
        disk.kill_in = 2  # after the write, in the sync
        log.writer.sync()
    disk.cut_power()
    disk.failing = True
    with suppress(OSError):  # where there is a tail to cut
        recover(FOLDER, disk, lambda: 1)
    disk.failing = False
    disk.process_died()
    end = Log(disk).writer.position
    disk.cut_power()
    assert not disk.content("0000000000.seg")[end:].strip(b"\0")
