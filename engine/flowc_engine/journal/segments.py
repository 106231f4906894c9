"""Segment files: their names, and the thread that prepares the next one ahead.

A segment is written full of zeros and synced before it is used: overwriting blocks that exist is
1.5 to 4 times as fast to `fdatasync` as appending, and a journal write can't meet a full disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from flowc_engine import limits
from flowc_engine.journal.disk import OS_DISK, Bytes, Disk
from flowc_engine.journal.sizes import JournalSizes, standard_sizes

SUFFIX: Final = ".seg"
PACKED: Final = ".seg.zst"
BEGIN: Final = "begin"
_PREPARED: Final = "next.tmp"
_CHUNK: Final = bytes(limits.PREPARE_BYTES)


def segment_path(folder: Path, segment: int) -> Path:
    """The file of segment `segment`, counted from 0."""
    return folder / f"{segment:010d}{SUFFIX}"


def packed_path(folder: Path, segment: int) -> Path:
    """The file of the segment once it is packed, see `packed`."""
    return folder / f"{segment:010d}{PACKED}"


def list_segments(folder: Path, disk: Disk = OS_DISK) -> list[int]:
    """The numbers of the segments there are, packed or not, ascending."""
    names = disk.names(folder)
    return sorted({_number(name) for name in names if name.endswith((SUFFIX, PACKED))})


def list_unpacked(folder: Path, disk: Disk = OS_DISK) -> list[int]:
    """The numbers of the segments that have a file as it was written, ascending."""
    return sorted(_number(name) for name in disk.names(folder) if name.endswith(SUFFIX))


def first_kept(folder: Path, disk: Disk = OS_DISK) -> int:
    """The first segment that there must be: those before it were deleted. Raises `ValueError` for a
    file that says nothing."""
    if BEGIN not in disk.names(folder):
        return 0
    fd = disk.open(folder / BEGIN)
    try:
        return int(disk.pread(fd, disk.size(fd), 0))
    finally:
        disk.close(fd)


def delete_first(folder: Path, segment: int, disk: Disk = OS_DISK) -> None:
    """Delete the first segment, which nothing reads any more. That it may be gone is durable
    before it is. Raises `OSError`."""
    new = folder / f"{BEGIN}.tmp"
    fd = disk.open(new, "create")
    try:
        write_all(disk, fd, [f"{segment + 1}\n".encode()], 0)
        disk.fdatasync(fd)
    finally:
        disk.close(fd)
    disk.rename(new, folder / BEGIN)
    disk.sync_folder(folder)
    for path in (segment_path(folder, segment), packed_path(folder, segment)):
        disk.unlink(path)
    disk.sync_folder(folder)


def _number(name: str) -> int:
    return int(name.partition(".")[0])


def write_all(disk: Disk, fd: int, pieces: Sequence[Bytes], at: int) -> int:
    """Write the pieces one after the other from `at` on; where they end comes back. Not durable."""
    size = sum(map(len, pieces))
    written = disk.pwritev(fd, pieces, at)
    while written != size:  # a disk that is nearly full takes a part
        written += disk.pwritev(fd, [b"".join(pieces)[written:]], at + written)
    return at + size


def write_zeros(disk: Disk, fd: int, start: int, end: int) -> None:
    """Overwrite [start, end) with zeros and sync: chunk by chunk, as a sync of all of it at once
    would hold up the journal's own for as long as it takes."""
    while start < end:
        start = write_all(disk, fd, [_CHUNK[: min(len(_CHUNK), end - start)]], start)
        disk.fdatasync(fd)


class SegmentPreparer:
    """Keeps one zeroed segment ready. `pool` runs what is done in the background."""

    def __init__(
        self,
        folder: Path,
        disk: Disk = OS_DISK,
        sizes: JournalSizes | None = None,
        pool: Executor | None = None,
    ) -> None:
        sizes = sizes or standard_sizes()
        self._folder, self._disk = folder, disk
        self._bytes, self._bytes_max = sizes.first_segment, sizes.segment
        self._pool = pool or ThreadPoolExecutor(1, thread_name_prefix="segment-preparer")
        self._next: Future[int] | None = None

    def start(self) -> None:
        """Begin to prepare the next segment in the background."""
        if self._next is None:
            self._next = self._pool.submit(self._prepare, self._bytes)
            self._bytes = min(self._bytes * 2, self._bytes_max)

    def _prepare(self, size: int) -> int:
        path = self._folder / _PREPARED
        fd = self._disk.open(path, "create")
        try:
            write_zeros(self._disk, fd, 0, size)
        except OSError:
            self._disk.close(fd)
            self._disk.unlink(path)  # give the space back: others need it to drain
            raise
        return fd

    def take(self) -> int:
        """The descriptor of the prepared file, which has no segment's name yet.

        Raises `OSError` (disk full).
        """
        self.start()
        assert self._next is not None
        try:
            return self._next.result()
        finally:
            self._next = None

    def name(self, segment: int) -> None:
        """Make what was taken `segment`, durably. What it begins with must be synced."""
        self._disk.rename(self._folder / _PREPARED, segment_path(self._folder, segment))
        self._disk.sync_folder(self._folder)

    def close(self) -> None:
        """Wait for the thread and drop what it prepared."""
        self._pool.shutdown(wait=True)
        if self._next is not None and self._next.exception() is None:
            self._disk.close(self._next.result())
        self._disk.unlink(self._folder / _PREPARED)
