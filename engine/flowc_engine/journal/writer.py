"""The journal's writer: appends, and one `fdatasync` for all that was appended since the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from flowc_engine.bus import wire
from flowc_engine.journal import record as rec
from flowc_engine.journal.disk import OS_DISK, Disk
from flowc_engine.journal.segments import SegmentPreparer, write_all, write_zeros
from flowc_engine.journal.sizes import JournalSizes
from flowc_engine.journal.state import DurableState

Body = bytes | memoryview
_IOV_MAX = 1024  # pieces the kernel takes in one `pwritev`


def _now_us() -> int:
    return time.time_ns() // 1000


class JournalWriter:
    """Appends to the last segment of `folder`, from `end` on; rolls over to a prepared one when
    it is full.

    A failed write or sync is fatal (`OSError`): what is on disk is unknown then, and only
    recovery may say.
    """

    def __init__(
        self,
        folder: Path,
        journal_id: int,
        state: DurableState,
        *,
        disk: Disk = OS_DISK,
        sizes: JournalSizes | None = None,
        pool: Executor | None = None,
        now_us: Callable[[], int] = _now_us,
    ) -> None:
        """`state` is what the journal says up to its end; it becomes the writer's own. `pool`
        prepares segments, by itself a thread."""
        self._journal_id = journal_id
        self._state = state
        self._disk, self._now_us = disk, now_us
        self._preparer = SegmentPreparer(folder, disk, sizes, pool)
        self._fd = -1
        self._size = 0
        self._pieces: list[Body] = []
        self._pending_bytes = 0
        self.segment = -1
        self.position = 0  # the end of what was appended
        self._synced_position = 0
        self._durable_record = state.record
        self._durable_offset = state.offset
        self._earlier_bytes = 0  # in segments that this writer filled

    def create(self) -> None:
        """Begin an empty journal with its first segment."""
        self._open_next()

    def resume(self, fd: int, segment: int, position: int) -> None:
        """Go on behind what recovery found sound."""
        self._fd, self.segment = fd, segment
        self.position = self._synced_position = position
        self._size = self._disk.size(fd)

    @property
    def pending_bytes(self) -> int:
        """What `sync` has to write."""
        return self._pending_bytes

    def append(
        self,
        entry: rec.AnyEntry,
        bodies: Sequence[Body],
        *,
        record: int,
        first_offset: int,
        rows: int,
    ) -> tuple[int, int]:
        """Add one record; its place (segment, position) comes back. Not durable before `sync`."""
        state = self._state
        assert (record, first_offset) == (state.record, state.offset), (
            "the core and the journal disagree"
        )
        pieces = rec.encode_payload(entry, bodies)
        kind = rec.KIND_MARK if isinstance(entry, rec.Mark) else rec.KIND_ENTRY
        size = rec.HEADER_BYTES + sum(map(len, pieces))
        if self.position + size > self._size:
            self.sync()
            self._open_next(size)
        place = (self.segment, self.position)
        self._add(kind, pieces, rows)
        state.apply(entry, rows)
        return place

    def _add(self, kind: int, pieces: Sequence[Body], rows: int) -> None:
        header = rec.encode_header(
            kind,
            pieces,
            rows=rows,
            record=self._state.record,
            first_offset=self._state.offset,
            durable_through=self._durable_record,
            journal_id=self._journal_id,
        )
        size = len(header) + sum(map(len, pieces))
        self._pieces.append(header)
        self._pieces.extend(pieces)
        self._pending_bytes += size
        self.position += size

    def sync(self) -> None:
        """Make all that was appended durable.

        Raises `OSError`, after which the writer must not be used.
        """
        if not self._pieces:
            return
        self._write()
        if self.position * 2 > self._size:
            self._preparer.start()

    def _write(self) -> None:
        at = self._synced_position
        for start in range(0, len(self._pieces), _IOV_MAX):
            at = write_all(self._disk, self._fd, self._pieces[start : start + _IOV_MAX], at)
        self._disk.fdatasync(self._fd)
        assert at == self.position
        self._pieces.clear()
        self._pending_bytes = 0
        self._synced_position = at
        self._durable_record, self._durable_offset = self._state.record, self._state.offset

    def _open_next(self, first_bytes: int = 0) -> None:
        """Go on in a new segment, with room for a record of `first_bytes` behind its snapshot."""
        if self._fd >= 0:
            self._disk.close(self._fd)
        self._earlier_bytes += self.position
        self.segment += 1
        self._fd = self._preparer.take()
        prepared = self._size = self._disk.size(self._fd)
        self.position = self._synced_position = 0
        snapshot = self._snapshot()
        needed = rec.HEADER_BYTES + sum(map(len, snapshot)) + first_bytes
        if needed > prepared:
            self._size = needed + rec.ALIGN  # its own number may take more bytes in the snapshot
            write_zeros(self._disk, self._fd, prepared, self._size)
            snapshot = self._snapshot()
        self._add(rec.KIND_SNAPSHOT, snapshot, rows=0)
        self._write()
        self._preparer.name(self.segment)  # so whatever is named begins with its snapshot

    def _snapshot(self) -> list[Body]:
        return rec.encode_payload(self._state.snapshot(self._now_us(), self._size), [])

    @property
    def durable_at(self) -> wire.Durable:
        """Where the durable part ends."""
        return wire.Durable(
            self.segment, self._synced_position, self._durable_record, self._durable_offset
        )

    @property
    def total_bytes(self) -> int:
        """What this writer knows of the journal's size, without what earlier processes filled."""
        return self._earlier_bytes + self._synced_position

    def close(self) -> None:
        """Sync and let go."""
        self.sync()
        self._preparer.close()
        if self._fd >= 0:
            self._disk.close(self._fd)
            self._fd = -1
