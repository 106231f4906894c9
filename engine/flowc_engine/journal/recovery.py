"""Finding the end of a journal after whatever happened to it.

The last segment gives the state: its snapshot, with the records behind it applied. The first
record that is not sound ends the journal, and the question is which of two it is:

- a torn tail: what was being written when the machine or the process stopped. It was never
  acknowledged, and is overwritten with zeros.
- rot: it was acknowledged. Proof is any later sound header whose `durable_through` covers it (every
  commit writes down what was durable before it, and a mark follows the last one), or a file that is
  shorter than it was made. Nothing is touched; `JournalRotError`.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.journal import record as rec
from flowc_engine.journal.disk import OS_DISK, Disk
from flowc_engine.journal.reader import JournalRotError
from flowc_engine.journal.segments import (
    BEGIN,
    first_kept,
    list_segments,
    list_unpacked,
    segment_path,
    write_all,
    write_zeros,
)
from flowc_engine.journal.state import DurableState

_ZEROS: Final = bytes(64 * limits.KIB)  # to compare with is far faster than to look at each


def _random_id() -> int:
    return secrets.randbits(63)


@dataclass(slots=True)
class Recovered:
    """`fd` is -1 when there is no segment yet. `cut_bytes` of a torn tail were removed."""

    journal_id: int
    state: DurableState
    fd: int = -1
    segment: int = -1
    position: int = 0
    cut_bytes: int = 0


def recover(
    folder: Path,
    disk: Disk = OS_DISK,
    new_id: Callable[[], int] = _random_id,
    *,
    repair: bool = True,
) -> Recovered:
    """Bring the journal in `folder` to its end. Raises `JournalRotError`, and `OSError`.

    Without `repair` nothing is written: what would be cut is left as it is.
    """
    segments = list_segments(folder, disk)
    _check_dense(folder, segments, disk)
    if not segments:
        return Recovered(new_id(), DurableState())
    path = segment_path(folder, segments[-1])
    if segments[-1] not in list_unpacked(folder, disk):
        raise JournalRotError(path, 0, "the segment is missing: the last one is never packed")
    fd = disk.open(path, "write" if repair else "read")
    try:
        data = memoryview(disk.pread(fd, disk.size(fd), 0))
        found, proven = _find_end(path, data)
        if repair:
            _write_again(disk, fd, data[proven : found.position], proven)
            disk.sync_folder(folder)  # a process may have been killed before it had done so
        if repair and found.cut_bytes:
            _cut(disk, fd, data, found.position)
    except (JournalRotError, OSError):
        disk.close(fd)
        raise
    found.fd, found.segment = fd, segments[-1]
    return found


def state_at(folder: Path, end: wire.Durable) -> DurableState:
    """What the journal says up to a place that is durable. Raises `JournalRotError`, `OSError`."""
    path = segment_path(folder, end.segment)
    with path.open("rb") as file:
        data = memoryview(file.read(end.position))
    first = rec.decode_header(data)
    state = DurableState(record=first.record if first is not None else 0)
    at = _replay(data, first.journal_id, state)[1] if first is not None else 0
    if at != end.position:
        raise JournalRotError(path, at, "no record where one was acknowledged")
    return state


def _check_dense(folder: Path, segments: list[int], disk: Disk) -> None:
    try:
        first = first_kept(folder, disk)
    except ValueError:
        raise JournalRotError(folder / BEGIN, 0, "the number of a segment is expected") from None
    if segments and segments[0] > first:
        raise JournalRotError(segment_path(folder, first), 0, "the segment is missing")
    for earlier, later in pairwise(segments):
        if later != earlier + 1:
            raise JournalRotError(segment_path(folder, earlier + 1), 0, "the segment is missing")


def snapshot_of(folder: Path, segment: int, disk: Disk = OS_DISK) -> rec.Snapshot:
    """The snapshot that begins a segment which is not packed.

    Raises `JournalRotError`, and `OSError`.
    """
    path = segment_path(folder, segment)
    fd = disk.open(path)
    try:
        header = rec.decode_header(disk.pread(fd, rec.HEADER_BYTES, 0))
        size = rec.HEADER_BYTES if header is None else header.record_bytes
        return _read_snapshot(path, memoryview(disk.pread(fd, size, 0)))[1]
    finally:
        disk.close(fd)


def _find_end(path: Path, data: memoryview) -> tuple[Recovered, int]:
    """What the segment says and where it ends; and up to where that is proven to be durable."""
    first, snapshot = _read_snapshot(path, data)
    made_bytes = snapshot.segment_bytes
    state = DurableState(record=first.record)
    proven, at = _replay(data, first.journal_id, state)
    if len(data) < made_bytes:
        raise JournalRotError(
            path, min(at, len(data)),
            f"the file was made with {made_bytes:,} bytes, and has {len(data):,}",
        )  # fmt: skip
    end = _used(data, at)
    later = _later_header(data[:end], at, first.journal_id)
    if later is not None and later[1].durable_through > state.record:
        raise JournalRotError(
            path,
            at,
            f"record {state.record} is damaged, and was durable: "
            f"record {later[1].record} at byte {later[0]} says so",
        )
    return Recovered(first.journal_id, state, position=at, cut_bytes=end - at), proven


def _used(data: memoryview, start: int) -> int:
    """Behind the last byte from `start` on that is not zero; `start` if there is none."""
    end = len(data)
    while end > start:
        begin = max(start, end - len(_ZEROS))
        chunk = bytes(data[begin:end])
        if chunk != _ZEROS[: end - begin]:
            return begin + len(chunk.rstrip(b"\0"))
        end = begin
    return end


def _read_snapshot(path: Path, data: memoryview) -> tuple[rec.Header, rec.Snapshot]:
    """The snapshot that begins a segment, and its header.

    A segment has its name only once its snapshot is durable.
    """
    header = rec.decode_header(data)
    if header is not None and header.kind == rec.KIND_SNAPSHOT:
        payload = data[rec.HEADER_BYTES : rec.HEADER_BYTES + header.payload_bytes]
        if rec.payload_is_sound(header, payload):
            entry, _ = rec.decode_payload(payload)
            assert isinstance(entry, rec.Snapshot)
            return header, entry
    raise JournalRotError(path, 0, "the segment does not begin with a sound snapshot")


def _write_again(disk: Disk, fd: int, data: memoryview, at: int) -> None:
    """Make durable what was read, and may be in the page cache alone: a process was killed between
    its write and its sync, or the sync failed, and then another one would write nothing."""
    if data:
        write_all(disk, fd, [data], at)
        disk.fdatasync(fd)


def _cut(disk: Disk, fd: int, data: memoryview, at: int) -> None:
    """Overwrite the tail with zeros. If that fails it is put back for the next recovery to see: the
    zeros may be in the page cache alone, and what is on disk would be there again one day."""
    try:
        write_zeros(disk, fd, at, len(data))
    except OSError:
        with suppress(OSError):
            write_all(disk, fd, [data[at:]], at)
        raise


def _replay(data: memoryview, journal_id: int, state: DurableState) -> tuple[int, int]:
    """Apply the sound records from the start on; up to where a later record proves them to be
    durable comes back, and where they end."""
    at = 0
    unproven: deque[tuple[int, int]] = deque()
    while True:
        header = rec.decode_header(data[at : at + rec.HEADER_BYTES])
        if header is None or (header.journal_id, header.record) != (journal_id, state.record):
            break
        payload = data[at + rec.HEADER_BYTES : at + rec.HEADER_BYTES + header.payload_bytes]
        if not rec.payload_is_sound(header, payload):
            break
        while unproven and unproven[0][0] < header.durable_through:
            unproven.popleft()
        unproven.append((header.record, at))
        entry, _ = rec.decode_payload(payload)
        state.apply(entry, header.rows)
        at += header.record_bytes
    return unproven[0][1] if unproven else at, at


def _later_header(data: memoryview, start: int, journal_id: int) -> tuple[int, rec.Header] | None:
    """The last sound header at or behind `start`: the one that knows most."""
    magic = rec.MAGIC.to_bytes(4, "little")
    raw = bytes(data[start:])
    at = raw.rfind(magic)
    while at >= 0:
        if (start + at) % rec.ALIGN == 0:
            header = rec.decode_header(data[start + at :])
            if header is not None and header.journal_id == journal_id:
                return start + at, header
        at = raw.rfind(magic, 0, at)
    return None
