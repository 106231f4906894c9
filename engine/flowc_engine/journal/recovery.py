"""Finding the end of a journal after whatever happened to it.

The last segment that begins with a sound snapshot gives the state; the records behind it are
applied to it. The first record that is not sound ends the journal, and the question is which of
two it is:

- a torn tail: what was being written when the machine or the process stopped. It was never
  acknowledged,
  and is overwritten with zeros.
- rot: it was acknowledged. Proof is any later sound header whose `durable_through` covers it
  (every commit
  writes down what was durable before it, and a mark follows the last one). Nothing is touched;
  `JournalRotError`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from flowc_engine.journal import record as rec
from flowc_engine.journal.disk import OS_DISK, Disk
from flowc_engine.journal.reader import JournalRotError
from flowc_engine.journal.segments import list_segments, segment_path, write_zeros
from flowc_engine.journal.state import DurableState


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
    folder: Path, disk: Disk = OS_DISK, new_id: Callable[[], int] = _random_id
) -> Recovered:
    """Bring the journal in `folder` to its end. Raises `JournalRotError`, and `OSError`."""
    segments = list_segments(folder, disk)
    _check_dense(folder, segments)
    while segments:
        path = segment_path(folder, segments[-1])
        fd = disk.open(path, "write")
        data = memoryview(disk.pread(fd, disk.size(fd), 0))
        try:
            found = _recover_segment(path, disk, fd, data)
        except (JournalRotError, OSError):
            disk.close(fd)
            raise
        if found is not None:
            found.segment = segments[-1]
            return found
        disk.close(fd)
        _check_unused(path, data, alone=len(segments) == 1)
        disk.unlink(path)  # made when the process stopped: nothing in it was ever acknowledged
        disk.sync_folder(folder)
        segments.pop()
    return Recovered(new_id(), DurableState())


def _check_dense(folder: Path, segments: list[int]) -> None:
    for earlier, later in pairwise(segments):
        if later != earlier + 1:
            raise JournalRotError(segment_path(folder, earlier + 1), 0, "the segment is missing")


def _check_unused(path: Path, data: memoryview, *, alone: bool) -> None:
    """A segment without a snapshot is fine only while no record was written to it."""
    later = _later_header(data, 0, None)
    if later is not None and later[1].kind != rec.KIND_SNAPSHOT:
        raise JournalRotError(path, 0, "the snapshot is damaged, and records follow it")
    if alone and any(data):
        raise JournalRotError(path, 0, "the only segment does not begin with a snapshot")


def _recover_segment(path: Path, disk: Disk, fd: int, data: memoryview) -> Recovered | None:
    """The end of this segment, or None if its snapshot is not sound."""
    first = rec.decode_header(data)
    if first is None or first.kind != rec.KIND_SNAPSHOT:
        return None
    state = DurableState(record=first.record)
    at = _replay(data, first.journal_id, state)
    if at == 0:
        return None
    found = Recovered(first.journal_id, state, fd, position=at)
    later = _later_header(data, at, first.journal_id)
    if later is not None and later[1].durable_through > state.record:
        raise JournalRotError(
            path,
            at,
            f"record {state.record} is damaged, and was durable: "
            f"record {later[1].record} at byte {later[0]} says so",
        )
    tail = bytes(data[at:]).rstrip(b"\0")
    if tail:
        found.cut_bytes = len(tail)
        write_zeros(disk, fd, at, len(data))
    return found


def _replay(data: memoryview, journal_id: int, state: DurableState) -> int:
    """Apply the sound records from the start on; where they end comes back."""
    at = 0
    while True:
        header = rec.decode_header(data[at : at + rec.HEADER_BYTES])
        if header is None or (header.journal_id, header.record) != (journal_id, state.record):
            return at
        payload = data[at + rec.HEADER_BYTES : at + rec.HEADER_BYTES + header.payload_bytes]
        if not rec.payload_is_sound(header, payload):
            return at
        entry, _ = rec.decode_payload(payload)
        state.apply(entry, header.rows)
        at += header.record_bytes


def _later_header(
    data: memoryview, start: int, journal_id: int | None
) -> tuple[int, rec.Header] | None:
    """The last sound header at or behind `start`: the one that knows most."""
    magic = rec.MAGIC.to_bytes(4, "little")
    raw = bytes(data[start:])
    at = raw.rfind(magic)
    while at >= 0:
        if (start + at) % rec.ALIGN == 0:
            header = rec.decode_header(data[start + at :])
            if header is not None and journal_id in (None, header.journal_id):
                return start + at, header
        at = raw.rfind(magic, 0, at)
    return None
