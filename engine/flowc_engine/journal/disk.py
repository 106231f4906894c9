"""The file operations that the journal needs, as a port: the operating system's, or the simulator's
(`flowc_engine.sim.disk`).

A descriptor is an int of the disk that opened it. Every operation raises `OSError`. What makes data
durable is `fdatasync` of its file, and for a new name `sync_folder` too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

Bytes = bytes | memoryview
Mode = Literal["read", "write", "create"]


class Disk(Protocol):
    """What the writer, recovery, readers and the preparer of segments do to files."""

    def names(self, folder: Path) -> list[str]:
        """The names in a folder, in any order."""

    def open(self, path: Path, mode: Mode = "read") -> int:
        """A descriptor; "create" makes the file, or empties it, and writes."""

    def close(self, fd: int) -> None:
        """Let go of a descriptor."""

    def size(self, fd: int) -> int:
        """The file's bytes."""

    def pread(self, fd: int, size: int, at: int) -> bytes:
        """At most `size` bytes from `at` on; fewer at the end of the file."""

    def pwritev(self, fd: int, pieces: Sequence[Bytes], at: int) -> int:
        """Write the pieces one after the other from `at` on; how many bytes were written."""

    def fdatasync(self, fd: int) -> None:
        """Make what was written durable."""

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name."""

    def unlink(self, path: Path) -> None:
        """Take a name away, if it is there."""

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""


_FLAGS: Final = {
    "read": os.O_RDONLY,
    "write": os.O_RDWR,
    "create": os.O_RDWR | os.O_CREAT | os.O_TRUNC,
}


class OsDisk:
    """The operating system's files."""

    def names(self, folder: Path) -> list[str]:
        return os.listdir(folder)  # noqa: PTH208 - names are wanted, not paths

    def open(self, path: Path, mode: Mode = "read") -> int:
        return os.open(path, _FLAGS[mode] | os.O_CLOEXEC, 0o600)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def pread(self, fd: int, size: int, at: int) -> bytes:
        return os.pread(fd, size, at)

    def pwritev(self, fd: int, pieces: Sequence[Bytes], at: int) -> int:
        return os.pwritev(fd, pieces, at)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


OS_DISK: Final[Disk] = OsDisk()
