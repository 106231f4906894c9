"""Segments as files: as they were written, or packed.

A segment that the log has is packed by the log process (`flowc_engine.log.packing`): `SEQ.seg.zst`
has the same bytes in frames of `PACK_FRAME_BYTES`, each compressed by itself, so that any part can
be read. Readers see no difference. The file is, little endian:

    magic u32 | format u16 | zeros u16 | frame bytes u32 | frames u32 | segment bytes u64
    | the first `HEADER_BYTES` of the segment | the bytes of each frame, u32 | XXH3-64 of all before
    | the frames
"""

from __future__ import annotations

import struct
from itertools import accumulate
from pathlib import Path
from typing import Final, Protocol

import xxhash

from flowc_engine import limits
from flowc_engine.journal import record as rec
from flowc_engine.journal.disk import OS_DISK, Disk
from flowc_engine.journal.segments import packed_path, segment_path, write_all

_MAGIC: Final = 0x5A4C4F46  # "FOLZ"
_FORMAT: Final = 1
_HEAD: Final = struct.Struct("<IHHIIQ")
_SUM: Final = struct.Struct("<Q")
_FIRST: Final = _HEAD.size + rec.HEADER_BYTES
_LEVEL: Final = 1
_FRAMES_KEPT: Final = 2  # reads overlap a little

assert limits.PACK_FRAME_BYTES % rec.ALIGN == 0


class PackedError(Exception):
    """A packed segment is not what was written."""


class SegmentFile(Protocol):
    """An open segment."""

    @property
    def size(self) -> int:
        """Its bytes, the zeros at its end included."""

    def pread(self, size: int, at: int) -> bytes:
        """At most `size` bytes from `at` on. Raises `OSError`, and `PackedError`."""

    def close(self) -> None:
        """Let go of the file."""


class PlainFile:
    """A segment as it was written. `size` is asked each time: it may be the last one."""

    def __init__(self, fd: int, disk: Disk) -> None:
        self._fd, self._disk = fd, disk

    @property
    def size(self) -> int:
        return self._disk.size(self._fd)

    def pread(self, size: int, at: int) -> bytes:
        return self._disk.pread(self._fd, size, at)

    def close(self) -> None:
        self._disk.close(self._fd)


class PackedFile:
    """A packed segment. Takes the descriptor over."""

    def __init__(self, fd: int, disk: Disk) -> None:
        self._fd, self._disk = fd, disk
        self._frames: dict[int, bytes] = {}
        try:
            self._read_index()
        except BaseException:
            disk.close(fd)
            raise

    def _read_index(self) -> None:
        head = self._disk.pread(self._fd, _HEAD.size, 0)
        if len(head) < _HEAD.size:
            raise PackedError("the file has no beginning")
        magic, version, _, self._frame_bytes, frames, self.size = _HEAD.unpack(head)
        if (magic, version) != (_MAGIC, _FORMAT) or frames * 4 > limits.SEGMENT_BYTES:
            raise PackedError("the file is no packed segment")
        behind = _FIRST + 4 * frames
        index = self._disk.pread(self._fd, behind + _SUM.size, 0)
        if index[behind:] != _SUM.pack(xxhash.xxh3_64_intdigest(index[:behind])):
            raise PackedError("its index is damaged")
        self.first_header = index[_HEAD.size : _FIRST]
        sizes = struct.unpack(f"<{frames}I", index[_FIRST:behind])
        self._places = list(accumulate(sizes, initial=behind + _SUM.size))

    def pread(self, size: int, at: int) -> bytes:
        size = max(0, min(size, self.size - at))
        if not size:
            return b""
        first, last = at // self._frame_bytes, (at + size - 1) // self._frame_bytes
        whole = b"".join([self._frame(number) for number in range(first, last + 1)])
        begin = at - first * self._frame_bytes
        return whole[begin : begin + size]

    def _frame(self, number: int) -> bytes:
        found = self._frames.get(number)
        if found is None:
            begin, end = self._places[number : number + 2]
            wanted = min(self._frame_bytes, self.size - number * self._frame_bytes)
            found = _unpack(self._disk.pread(self._fd, end - begin, begin), wanted)
            while len(self._frames) >= _FRAMES_KEPT:
                del self._frames[next(iter(self._frames))]
            self._frames[number] = found
        return found

    def close(self) -> None:
        self._disk.close(self._fd)


def _unpack(data: bytes, size: int) -> bytes:
    import pyarrow as pa  # noqa: PLC0415 - few who read a journal need it

    try:
        found: bytes = pa.decompress(data, decompressed_size=size, codec="zstd", asbytes=True)
    except (pa.ArrowException, OSError) as error:
        raise PackedError(f"a part of it can't be unpacked: {error}") from None
    return found


def open_segment(folder: Path, segment: int, disk: Disk = OS_DISK) -> SegmentFile:
    """Open a segment, whichever file it is in. Raises `OSError`, and `PackedError`."""
    try:
        return PlainFile(disk.open(segment_path(folder, segment)), disk)
    except FileNotFoundError:  # it is packed before its file goes
        return PackedFile(disk.open(packed_path(folder, segment)), disk)


def pack(folder: Path, segment: int, disk: Disk = OS_DISK) -> int:
    """Pack a segment that is not written to any more; how many bytes are saved. Killed at any
    point, it leaves the segment in one of both files, or in both. Raises `OSError`, `PackedError`
    (then nothing has changed)."""
    path = segment_path(folder, segment)
    new = path.with_name(f"{path.name}.tmp")
    plain = PlainFile(disk.open(path), disk)
    try:
        packed_bytes = _write(plain, new, disk)
        _compare(plain, new, disk)
        saved = plain.size - packed_bytes
    except BaseException:
        disk.unlink(new)
        raise
    finally:
        plain.close()
    disk.rename(new, packed_path(folder, segment))
    disk.sync_folder(folder)
    disk.unlink(path)
    return saved


def _write(plain: PlainFile, new: Path, disk: Disk) -> int:
    import pyarrow as pa  # noqa: PLC0415 - see above

    frame, size = limits.PACK_FRAME_BYTES, plain.size
    codec = pa.Codec("zstd", _LEVEL)
    count = -(-size // frame)
    at = _FIRST + 4 * count + _SUM.size
    sizes: list[int] = []
    fd = disk.open(new, "create")
    try:
        for begin in range(0, size, frame):
            data: bytes = codec.compress(plain.pread(frame, begin), asbytes=True)
            at = write_all(disk, fd, [data], at)
            sizes.append(len(data))
        index = _HEAD.pack(_MAGIC, _FORMAT, 0, frame, count, size)
        index += plain.pread(rec.HEADER_BYTES, 0) + struct.pack(f"<{count}I", *sizes)
        write_all(disk, fd, [index, _SUM.pack(xxhash.xxh3_64_intdigest(index))], 0)
        disk.fdatasync(fd)
    finally:
        disk.close(fd)
    return at


def _compare(plain: PlainFile, new: Path, disk: Disk) -> None:
    packed = PackedFile(disk.open(new), disk)
    try:
        for begin in range(0, plain.size, limits.PACK_FRAME_BYTES):
            wanted = plain.pread(limits.PACK_FRAME_BYTES, begin)
            if packed.pread(limits.PACK_FRAME_BYTES, begin) != wanted:
                raise PackedError(f"{new.name} does not hold what was written to it")
    finally:
        packed.close()
