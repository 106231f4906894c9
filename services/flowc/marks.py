"""Beside the files of a store: which partitions have one, how far each is, and who has it.

A file that is missing, or older than it was, can't say so itself. `marks` says of each partition up
to which offset its service had applied events (`through`; -1: never), and up to which its file has
(`applied`; 0: there is none). It is made durable after the files, and before the step is sent.

A replica holds its partitions' places in the file (locks of POSIX: the kernel lets go of them when
the process ends, however it does, and a forked child has none).
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from flowc_engine.journal.disk import OS_DISK

_MAGIC: Final = b"flowcst1"
_HEAD: Final = struct.Struct("<8sQ")  # magic, journal
_MARK: Final = struct.Struct("<qq")
_LOCK: Final = struct.Struct("hhqqi4x")  # struct flock, with 64-bit offsets


class Mark(NamedTuple):
    through: int
    applied: int


class ForeignMarksError(Exception):
    """The file is none of this journal's."""


_NEVER: Final = Mark(-1, 0)


class Marks:
    """The file at `path`, made if it is missing. Raises `OSError`, `ForeignMarksError`."""

    def __init__(self, path: Path, journal: int, partitions: int) -> None:
        self.path = path
        size = _HEAD.size + _MARK.size * partitions
        if not path.exists():
            _make(path, _HEAD.pack(_MAGIC, journal) + _MARK.pack(*_NEVER) * partitions)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        data = os.pread(self._fd, size, 0)
        if len(data) != size or _HEAD.unpack_from(data) != (_MAGIC, journal):
            self.close()
            raise ForeignMarksError

    def hold(self, partitions: Iterable[int]) -> int | None:
        """Hold these partitions, or none of them: the process that has one comes back."""
        for partition in partitions:
            start = _HEAD.size + _MARK.size * partition
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, _MARK.size, start)
            except (BlockingIOError, PermissionError):
                fcntl.lockf(self._fd, fcntl.LOCK_UN)
                return self._holder(start)
        return None

    def _holder(self, start: int) -> int:
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, _MARK.size, 0)
        told = _LOCK.unpack(fcntl.fcntl(self._fd, fcntl.F_GETLK, asked))
        return 0 if told[0] == fcntl.F_UNLCK else int(told[4])

    def __getitem__(self, partition: int) -> Mark:
        at = _HEAD.size + _MARK.size * partition
        return Mark(*_MARK.unpack(os.pread(self._fd, _MARK.size, at)))

    def write(self, marks: dict[int, Mark]) -> None:
        """Make these durable. Raises `OSError`."""
        for partition, mark in marks.items():
            os.pwrite(self._fd, _MARK.pack(*mark), _HEAD.size + _MARK.size * partition)
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Let go of all that is held."""
        os.close(self._fd)


def _make(path: Path, data: bytes) -> None:
    """Whole or not at all; replicas may do so at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    with suppress(FileExistsError):
        os.link(part, path)
    part.unlink()
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        OS_DISK.sync_folder(folder)
