"""The disk's port: what both disks promise, and what the virtual one may do when things go wrong
(spec: 12.4)."""

from __future__ import annotations

import errno
import random
from collections import Counter
from pathlib import Path

import pytest

from flowc_engine.journal.disk import OS_DISK, Disk
from flowc_engine.sim.disk import SECTOR_BYTES, KilledError, VirtualDisk


@pytest.fixture(params=["os", "virtual"])
def disk(request) -> Disk:
    return OS_DISK if request.param == "os" else VirtualDisk(random.Random(1))


class TestContract:
    """The same for the operating system's files and for virtual ones."""

    def test_what_is_written_is_read(self, disk: Disk, tmp_path: Path) -> None:
        fd = disk.open(tmp_path / "a", "create")
        assert disk.pwritev(fd, [b"one", memoryview(b"two")], 4) == 6
        assert disk.size(fd) == 10
        assert disk.pread(fd, 100, 0) == b"\0\0\0\0onetwo", "a hole reads as zeros"
        assert disk.pread(fd, 2, 5) == b"ne"
        assert disk.pread(fd, 5, 10) == b"", "behind the end"
        disk.pwritev(fd, [b"XX"], 5)
        disk.fdatasync(fd)
        again = disk.open(tmp_path / "a")
        assert disk.pread(again, 100, 4) == b"oXXtwo"

    def test_names(self, disk: Disk, tmp_path: Path) -> None:
        for name in ("a", "b"):
            fd = disk.open(tmp_path / name, "create")
            disk.pwritev(fd, [name.encode()], 0)
            disk.close(fd)
        disk.rename(tmp_path / "a", tmp_path / "b")
        disk.sync_folder(tmp_path)
        assert disk.names(tmp_path) == ["b"]
        assert disk.pread(disk.open(tmp_path / "b"), 9, 0) == b"a"
        disk.unlink(tmp_path / "b")
        disk.unlink(tmp_path / "b")
        assert disk.names(tmp_path) == []

    def test_an_open_file_outlives_its_name(self, disk: Disk, tmp_path: Path) -> None:
        fd = disk.open(tmp_path / "a", "create")
        disk.pwritev(fd, [b"kept"], 0)
        disk.rename(tmp_path / "a", tmp_path / "b")
        disk.unlink(tmp_path / "b")
        assert disk.pread(fd, 9, 0) == b"kept"

    def test_create_empties(self, disk: Disk, tmp_path: Path) -> None:
        disk.pwritev(disk.open(tmp_path / "a", "create"), [b"old"], 0)
        assert disk.size(disk.open(tmp_path / "a", "create")) == 0

    def test_errors(self, disk: Disk, tmp_path: Path) -> None:
        for what in (
            lambda: disk.open(tmp_path / "none"),
            lambda: disk.open(tmp_path / "none", "write"),
            lambda: disk.rename(tmp_path / "none", tmp_path / "b"),
        ):
            with pytest.raises(FileNotFoundError):
                what()
        disk.close(disk.open(tmp_path / "a", "create"))
        fd = disk.open(tmp_path / "a")
        with pytest.raises(OSError, match="Bad file") as caught:
            disk.pwritev(fd, [b"x"], 0)
        assert caught.value.errno == errno.EBADF


FOLDER = Path("journal")
A = FOLDER / "a"


def synced(seed: int, data: bytes) -> tuple[VirtualDisk, int]:
    """A disk with a durable file."""
    disk = VirtualDisk(random.Random(seed))
    fd = disk.open(A, "create")
    disk.pwritev(fd, [data], 0)
    disk.fdatasync(fd)
    disk.sync_folder(FOLDER)
    return disk, fd


def test_a_power_cut_keeps_what_was_synced_and_any_sectors_of_the_rest() -> None:
    outcomes = Counter()
    for seed in range(60):
        disk, fd = synced(seed, b"a" * 4 * SECTOR_BYTES)
        disk.pwritev(fd, [b"b" * 2 * SECTOR_BYTES], SECTOR_BYTES)
        disk.cut_power()
        data = disk.content("a")
        assert data[:SECTOR_BYTES] == data[3 * SECTOR_BYTES :] == b"a" * SECTOR_BYTES
        for at in (SECTOR_BYTES, 2 * SECTOR_BYTES):
            sector = data[at : at + SECTOR_BYTES]
            assert sector == b"b" * sector.count(b"b") + b"a" * sector.count(b"a")
            outcomes[{0: "lost", SECTOR_BYTES: "kept"}.get(sector.count(b"b"), "torn")] += 1
    assert set(outcomes) == {"lost", "kept", "torn"}


def test_a_kill_keeps_what_was_written() -> None:
    disk, fd = synced(1, b"aaaa")
    disk.pwritev(fd, [b"b"], 1)
    disk.process_died()
    assert disk.content("a") == b"abaa"
    with pytest.raises(OSError, match="Bad file"):
        disk.size(fd)


def test_after_a_sync_that_failed_the_next_one_makes_nothing_durable() -> None:
    """The trap: the pages count as clean, and what is lost is lost, whatever the cache shows."""
    lost = shown = 0
    for seed in range(40):
        disk, fd = synced(seed, b"a" * SECTOR_BYTES)
        disk.pwritev(fd, [b"b" * SECTOR_BYTES], 0)
        disk.fail_sync = True
        with pytest.raises(OSError, match="Input/output"):
            disk.fdatasync(fd)
        disk.fdatasync(fd)
        before = disk.content("a")
        disk.cut_power()
        lost += disk.content("a")[:1] == b"a"
        shown += before[:1] == b"b" and disk.content("a")[:1] == b"a"
    assert 0 < shown < lost < 40


def test_what_is_written_again_after_it_is_durable() -> None:
    for seed in range(20):
        disk, fd = synced(seed, b"a" * SECTOR_BYTES)
        disk.pwritev(fd, [b"b" * SECTOR_BYTES], 0)
        disk.fail_sync = True
        with pytest.raises(OSError, match="Input/output"):
            disk.fdatasync(fd)
        disk.pwritev(fd, [b"b" * SECTOR_BYTES], 0)
        disk.fdatasync(fd)
        disk.cut_power()
        assert disk.content("a") == b"b" * SECTOR_BYTES


def test_names_are_durable_when_the_folder_is_synced() -> None:
    seen = set()
    for seed in range(20):
        disk, _ = synced(seed, b"a")
        disk.rename(A, FOLDER / "b")
        disk.open(FOLDER / "c", "create")
        disk.cut_power()
        seen.add(tuple(sorted(disk.names(FOLDER))))
    assert ("a",) in seen
    assert ("b", "c") in seen
    disk, _ = synced(1, b"a")
    disk.rename(A, FOLDER / "b")
    disk.sync_folder(FOLDER)
    disk.cut_power()
    assert disk.names(FOLDER) == ["b"]


def test_a_full_disk_takes_what_has_its_blocks() -> None:
    disk, fd = synced(1, b"a" * 100)
    disk.full = True
    assert disk.pwritev(fd, [b"b" * 100], 0) == 100
    assert disk.pwritev(fd, [b"c" * 100], 50) == 50
    with pytest.raises(OSError, match="No space"):
        disk.pwritev(fd, [b"d"], 100)


def test_a_process_is_killed_in_the_call_that_was_asked_for() -> None:
    disk, fd = synced(1, b"a" * 100)
    disk.kill_in = 2
    disk.pwritev(fd, [b"b" * 10], 0)
    with pytest.raises(KilledError):
        disk.fdatasync(fd)
    assert disk.calls["sync"] == 2


def test_rot_is_in_what_was_synced() -> None:
    disk, _ = synced(1, b"a" * 10)
    disk.rot("a", 3)
    assert disk.content("a")[3:4] != b"a"
    disk.cut_power()
    assert disk.content("a").count(b"a") == 9
