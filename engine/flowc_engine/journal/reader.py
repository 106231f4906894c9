"""Reading what is durable: records from a place on, over segment boundaries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flowc_engine import limits
from flowc_engine.journal import record as rec
from flowc_engine.journal.disk import OS_DISK, Disk
from flowc_engine.journal.packed import PackedError, PackedFile, SegmentFile, open_segment
from flowc_engine.journal.segments import list_unpacked, segment_path


class JournalRotError(Exception):
    """Acknowledged data in the journal is damaged: nothing may go on as if it were not."""

    def __init__(self, path: Path, position: int, what: str) -> None:
        super().__init__(f"{path.name} at byte {position}: {what}")
        self.path, self.position = path, position


def journal_id(folder: Path) -> int:
    """Of which journal the segments in `folder` are. Raises `JournalRotError` where none says."""
    path = folder
    for segment in reversed(list_unpacked(folder)):  # the last may be about to begin
        path = segment_path(folder, segment)
        with path.open("rb") as file:
            header = rec.decode_header(memoryview(file.read(rec.HEADER_BYTES)))
        if header is not None:
            return header.journal_id
    raise JournalRotError(path, 0, "no segment says which journal this is")


class Read(NamedTuple):
    """One record, and the place behind it."""

    header: rec.Header
    entry: rec.AnyEntry
    bodies: list[memoryview]
    segment: int
    position: int


class JournalReader:
    """Reads the segments of `folder`. Each record's checksums are verified."""

    def __init__(self, folder: Path, disk: Disk = OS_DISK) -> None:
        self._folder, self._disk = folder, disk
        self._files: dict[int, SegmentFile] = {}

    def read(
        self, segment: int, position: int, end_segment: int, end_position: int, bytes_max: int
    ) -> Iterator[Read]:
        """The records from a place to the end, at most about `bytes_max` of them (at least one).

        Raises `JournalRotError` at a record that is not what was written, and where one is missing.
        Snapshots are left out.
        """
        left = bytes_max
        following: int | None = None
        while (segment, position) < (end_segment, end_position) and left > 0:
            file = self._open(segment)
            stop = end_position if segment == end_segment else file.size
            if position > stop:
                raise self._rot(segment, stop, "the file ends here, and records were behind it")
            chunk = memoryview(
                self._pread(segment, min(stop - position, max(left, rec.HEADER_BYTES)), position)
            )
            at = 0
            while at < len(chunk) and left > 0:
                header = rec.decode_header(chunk[at:])
                if header is None:
                    break
                if at + header.record_bytes > len(chunk):
                    if at:
                        break  # read again from here
                    chunk = memoryview(self._pread(segment, header.record_bytes, position))
                payload = chunk[
                    at + rec.HEADER_BYTES : at + rec.HEADER_BYTES + header.payload_bytes
                ]
                if not rec.payload_is_sound(header, payload):
                    raise self._rot(segment, position + at, "a record's checksum does not match")
                if following not in (None, header.record):
                    raise self._rot(
                        segment, position + at,
                        f"record {header.record}, and {following} is to follow: others are missing",
                    )  # fmt: skip
                following = header.record + (header.kind != rec.KIND_SNAPSHOT)
                at += header.record_bytes
                if header.kind != rec.KIND_SNAPSHOT:  # which alone may be larger than `bytes_max`
                    left -= header.record_bytes
                    entry, bodies = rec.decode_payload(payload)
                    yield Read(header, entry, bodies, segment, position + at)
            if at == 0:
                self._check_end(segment, position, chunk, last=segment == end_segment)
                segment, position = segment + 1, 0
            else:
                position += at

    def read_all(
        self, segment: int, position: int, end_segment: int, end_position: int
    ) -> Iterator[Read]:
        """The same to the end, a stretch at a time."""
        place, end = (segment, position), (end_segment, end_position)
        while place < end:
            begin = place
            for read in self.read(*place, *end, limits.SCAN_BYTES_MAX):
                place = (read.segment, read.position)
                yield read
            if place == begin:  # only snapshots are left
                return

    def _check_end(self, segment: int, position: int, rest: memoryview, *, last: bool) -> None:
        """No record begins here: only zeros may follow, and a segment."""
        if last:
            raise self._rot(segment, position, "no record where one was acknowledged")
        if bytes(rest).strip(b"\0"):
            raise self._rot(segment, position, "neither a record nor the end of the segment")

    def has(self, segment: int) -> bool:
        """Whether a segment is still there: the first ones may have been deleted."""
        try:
            self._open(segment)
        except FileNotFoundError:
            return False
        return True

    def _rot(self, segment: int, position: int, what: str) -> JournalRotError:
        return JournalRotError(segment_path(self._folder, segment), position, what)

    def _pread(self, segment: int, size: int, position: int) -> bytes:
        try:
            return self._open(segment).pread(size, position)
        except PackedError as error:
            raise self._rot(segment, position, str(error)) from None

    def _open(self, segment: int) -> SegmentFile:
        file = self._files.get(segment)
        if file is None:
            while len(self._files) >= limits.OPEN_SEGMENTS_MAX:
                self._files.pop(next(iter(self._files))).close()
            try:
                file = open_segment(self._folder, segment, self._disk)
            except PackedError as error:
                raise self._rot(segment, 0, str(error)) from None
            self._files[segment] = file
        return file

    def close(self) -> None:
        """Close the files."""
        while self._files:
            self._files.popitem()[1].close()


def read_first_header(folder: Path, segment: int, disk: Disk = OS_DISK) -> rec.Header:
    """The header of a segment's snapshot. Raises `JournalRotError`."""
    path = segment_path(folder, segment)
    try:
        file = open_segment(folder, segment, disk)
    except PackedError as error:
        raise JournalRotError(path, 0, str(error)) from None
    try:
        data = (
            file.first_header if isinstance(file, PackedFile) else file.pread(rec.HEADER_BYTES, 0)
        )
    finally:
        file.close()
    header = rec.decode_header(data)
    if header is None or header.kind != rec.KIND_SNAPSHOT:
        raise JournalRotError(path, 0, "the segment does not begin with a snapshot")
    return header
