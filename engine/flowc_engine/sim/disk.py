"""A disk that forgets what was not synced: files as sectors, names, and faults.

What is written is in the page cache, and on the platter after a `fdatasync` that returned. A power
cut keeps any of the sectors that were not synced, loses them, or tears them; and any of the names
that were changed since the last `sync_folder`. A `fdatasync` that fails has written some of the
sectors, and counts all of them as clean, as Linux does: the next one returns well, and writes
nothing.
"""

from __future__ import annotations

import errno
import os
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flowc_engine.journal.disk import Bytes, Mode

SECTOR_BYTES: Final = 512


class KilledError(Exception):
    """The process that called was killed in this very call."""


class _File:
    """`cache` is what reads see, `platter` what a power cut leaves; `dirty` are the [start, end) in
    which the cache may be newer."""

    def __init__(self) -> None:
        self.cache = bytearray()
        self.platter = bytearray()
        self.dirty: list[tuple[int, int]] = []

    def write(self, data: Bytes, at: int) -> None:
        end = at + len(data)
        if end > len(self.cache):
            self.cache.extend(bytes(end - len(self.cache)))
        self.cache[at:end] = data
        self.dirty.append((at, end))

    def settle(self) -> None:
        """All of the cache is on the platter."""
        if len(self.platter) < len(self.cache):
            self.platter.extend(bytes(len(self.cache) - len(self.platter)))
        for start, end in self.dirty:
            self.platter[start:end] = self.cache[start:end]
        self.dirty.clear()

    def settle_some(self, dice: random.Random, *, torn: bool) -> list[tuple[int, int]]:
        """Some of the dirty sectors reach the platter; what did not comes back. Nothing is dirty
        then."""
        share = dice.choice((0.0, 0.5, 0.9, 1.0))
        lost = []
        for start, end in _sectors(self.dirty):
            keep = end
            if dice.random() >= share:
                keep = dice.randrange(start, end) if torn and dice.random() < 0.2 else start
            if keep > len(self.platter):
                self.platter.extend(bytes(keep - len(self.platter)))
            self.platter[start:keep] = self.cache[start:keep]
            if keep < end:
                lost.append((keep, end))
        self.dirty.clear()
        return lost

    def forget(self, lost: Sequence[tuple[int, int]]) -> None:
        """Pages are dropped from the cache: what is read is what is on the platter."""
        for start, end in lost:
            self.cache[start:end] = bytes(self.platter[start:end]).ljust(end - start, b"\0")


def _sectors(dirty: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is dirty, sector by sector, ascending, each once."""
    found: dict[int, tuple[int, int]] = {}
    for start, end in dirty:
        for sector in range(start // SECTOR_BYTES, -(-end // SECTOR_BYTES)):
            low, high = max(start, sector * SECTOR_BYTES), min(end, (sector + 1) * SECTOR_BYTES)
            known = found.get(sector, (low, high))
            found[sector] = min(low, known[0]), max(high, known[1])
    return [found[sector] for sector in sorted(found)]


class VirtualDisk:
    """One folder's files. `calls` counts what was done to them."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._files: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}
        self._changes: list[dict[str, _File | None]] = []  # of names, since they were synced
        self._fds: dict[int, tuple[_File, Mode]] = {}
        self._next_fd = 3
        self.calls: Counter[str] = Counter()
        self.full = False
        self.kill_in = 0  # the process is killed in its so many-th call from here on
        self.fail_sync = False  # the next sync fails, of a file or a folder
        self.fail_read = False
        self.short_writes = 0.0  # the share of writes that write less than they were given

    # ---- the port

    def names(self, folder: Path) -> list[str]:  # noqa: ARG002 - there is one folder
        """As `Disk` has it."""
        return list(self._files)

    def open(self, path: Path, mode: Mode = "read") -> int:
        """As `Disk` has it."""
        self._call("open")
        if mode == "create":
            self._rename({path.name: _File()})
        elif path.name not in self._files:
            raise _error(errno.ENOENT)
        self._next_fd += 1
        self._fds[self._next_fd] = self._files[path.name], mode
        return self._next_fd

    def close(self, fd: int) -> None:
        """As `Disk` has it."""
        self._file(fd)
        del self._fds[fd]

    def size(self, fd: int) -> int:
        """As `Disk` has it."""
        return len(self._file(fd).cache)

    def pread(self, fd: int, size: int, at: int) -> bytes:
        """As `Disk` has it."""
        file = self._file(fd)
        if self.fail_read:
            self.fail_read = False
            raise _error(errno.EIO)
        return bytes(file.cache[at : at + size])

    def pwritev(self, fd: int, pieces: Sequence[Bytes], at: int) -> int:
        """As `Disk` has it."""
        file = self._file(fd, write=True)
        data = b"".join(pieces)
        if self.full and at + len(data) > len(file.cache):
            data = data[: max(0, len(file.cache) - at)]
            if not data:
                raise _error(errno.ENOSPC)
        if self.short_writes and len(data) > 1 and self._dice.random() < self.short_writes:
            data = data[: self._dice.randrange(1, len(data))]
        if self._is_killed():
            file.write(data[: self._dice.randrange(len(data) + 1)], at)
        self._call("write")
        file.write(data, at)
        return len(data)

    def fdatasync(self, fd: int) -> None:
        """As `Disk` has it."""
        file = self._file(fd, write=True)
        self._call("sync")
        if self.fail_sync:
            self.fail_sync = False
            lost = file.settle_some(self._dice, torn=False)
            if self._dice.random() < 0.5:
                file.forget(lost)
            raise _error(errno.EIO)
        file.settle()

    def rename(self, old: Path, new: Path) -> None:
        """As `Disk` has it."""
        self._call("rename")
        if old.name not in self._files:
            raise _error(errno.ENOENT)
        self._rename({old.name: None, new.name: self._files[old.name]})

    def unlink(self, path: Path) -> None:
        """As `Disk` has it."""
        self._call("unlink")
        if path.name in self._files:
            self._rename({path.name: None})

    def sync_folder(self, folder: Path) -> None:  # noqa: ARG002 - there is one folder
        """As `Disk` has it."""
        self._call("sync_folder")
        if self.fail_sync:  # a file system that fails so is read-only then: no trap
            self.fail_sync = False
            raise _error(errno.EIO)
        self._durable = dict(self._files)
        self._changes.clear()

    # ---- what may happen to it

    def process_died(self) -> None:
        """Its descriptors are closed; the page cache stays."""
        self._fds.clear()
        self.kill_in = 0

    def cut_power(self) -> None:
        """The machine stops, and starts again."""
        self.process_died()
        files = {id(f): f for f in (*self._files.values(), *self._durable.values())}
        for file in files.values():
            file.settle_some(self._dice, torn=True)
            file.cache = bytearray(file.platter)
        kept = self._dice.choice((0, len(self._changes), self._dice.randint(0, len(self._changes))))
        for change in self._changes[:kept]:  # a journaling file system keeps their order
            _apply(self._durable, change)
        self._files = dict(self._durable)
        self._changes.clear()

    def rot(self, name: str, at: int) -> None:
        """A bit of what is on the platter flips."""
        file = self._files[name]
        flipped = 1 << self._dice.randrange(8)
        file.platter[at] ^= flipped
        file.cache[at] ^= flipped

    def content(self, name: str) -> bytes:
        """What a reader sees."""
        return bytes(self._files[name].cache)

    # ---- small things

    def _rename(self, change: dict[str, _File | None]) -> None:
        self._changes.append(change)
        _apply(self._files, change)

    def _file(self, fd: int, *, write: bool = False) -> _File:
        if fd not in self._fds:
            raise _error(errno.EBADF)
        file, mode = self._fds[fd]
        if write and mode == "read":
            raise _error(errno.EBADF)
        return file

    def _is_killed(self) -> bool:
        """Whether the call that is coming is the one."""
        return self.kill_in == 1

    def _call(self, what: str) -> None:
        self.calls[what] += 1
        if self.kill_in:
            self.kill_in -= 1
            if not self.kill_in:
                raise KilledError


def _apply(files: dict[str, _File], change: dict[str, _File | None]) -> None:
    for name, file in change.items():
        files.pop(name, None)
        if file is not None:
            files[name] = file


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
