"""Segment files: their names, and the thread that prepares the next one ahead.

A segment is written full of zeros and synced before it is used: overwriting blocks that exist is
1.5 to 4 times as fast to `fdatasync` as appending, and a journal write can't meet a full disk.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from flowc_engine import limits

SUFFIX: Final = ".seg"
_PREPARED: Final = "next.tmp"
_CHUNK: Final = bytes(limits.PREPARE_BYTES)


def segment_path(folder: Path, segment: int) -> Path:
    """The file of segment `segment`, counted from 0."""
    return folder / f"{segment:010d}{SUFFIX}"


def list_segments(folder: Path) -> list[int]:
    """The numbers of the segments there are, ascending."""
    return sorted(int(p.name[: -len(SUFFIX)]) for p in folder.glob(f"*{SUFFIX}"))


def sync_folder(folder: Path) -> None:
    """Make names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_zeros(fd: int, start: int, end: int) -> None:
    """Overwrite [start, end) with zeros and sync: chunk by chunk, as a sync of all of it at once
    would hold up the journal's own for as long as it takes."""
    while start < end:
        start += os.pwrite(fd, _CHUNK[: min(len(_CHUNK), end - start)], start)
        os.fdatasync(fd)


class SegmentPreparer:
    """Keeps one zeroed segment ready. Sizes double from `SEGMENT_BYTES_MIN` to `SEGMENT_BYTES`."""

    def __init__(self, folder: Path, first_bytes: int) -> None:
        self._folder = folder
        self._bytes = first_bytes
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="segment-preparer")
        self._next: Future[int] | None = None

    def start(self) -> None:
        """Begin to prepare the next segment in the background."""
        if self._next is None:
            self._next = self._pool.submit(self._prepare, self._bytes)
            self._bytes = min(self._bytes * 2, limits.SEGMENT_BYTES)

    def _prepare(self, size: int) -> int:
        path = self._folder / _PREPARED
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_zeros(fd, 0, size)
            os.fsync(fd)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)  # give the space back: others need it to drain
            raise
        return fd

    def take(self, segment: int) -> int:
        """The descriptor of the prepared file, now named as `segment`.

        Raises `OSError` (disk full).
        """
        self.start()
        assert self._next is not None
        try:
            fd = self._next.result()
        finally:
            self._next = None
        (self._folder / _PREPARED).rename(segment_path(self._folder, segment))
        sync_folder(self._folder)
        return fd

    def close(self) -> None:
        """Wait for the thread and drop what it prepared."""
        self._pool.shutdown(wait=True)
        if self._next is not None and self._next.exception() is None:
            os.close(self._next.result())
        (self._folder / _PREPARED).unlink(missing_ok=True)
