"""The journal's format: one record, and the entry in it.

A segment file (`SEQ.seg`, ten digits) is preallocated with zeros, and starts with a record of
kind `SNAPSHOT`. A record is a header of `HEADER_BYTES` and a payload, padded with zeros to a
multiple of `ALIGN`:

    magic u32 | format u16 | kind u16 | payload bytes u32 | rows u32 | record number u64 | first
    offset u64
    | durable_through u64 | journal id u64 | payload checksum u64 | header checksum u64

Little endian; checksums are XXH3-64 over the payload and over the header before its checksum.
The length is inside a checksum. Records are numbered densely from 0 over all segments.
`durable_through` is the number of records that were known durable when this one was written (all
records below it were).

The payload is: u32 length of the entry | the entry as msgpack | padding to `ALIGN` | each body,
each padded to `ALIGN`. The rows of a record's batches have the offsets from `first offset` on,
batch after batch.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import xxhash

from flowc_engine.bus.wire import Batch, Parked

Body = bytes | memoryview

MAGIC = 0x574F4C46  # "FLOW"
FORMAT = 1
ALIGN = 64
_HEAD = struct.Struct("<IHHIIQQQQQ")  # all but the header's checksum
_SUM = struct.Struct("<Q")
HEADER_BYTES = 64
KIND_ENTRY, KIND_SNAPSHOT, KIND_MARK = 1, 2, 3
KINDS = (KIND_ENTRY, KIND_SNAPSHOT, KIND_MARK)

assert _HEAD.size + _SUM.size <= HEADER_BYTES == ALIGN


class Entry(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What a record says happened.

    `batches` names the bodies that follow, in order; `sizes` their bytes.
    """

    time_us: int
    batches: list[Batch]
    sizes: list[int]


class SourceEvents(Entry, frozen=True):
    """Events from outside, the `seq`-th of this source and on."""

    source: str
    epoch: int
    seq: int


class StepDone(Entry, frozen=True):
    """A step: the slot's cursor goes from `before` to `after`.

    `partitions` are those of `deferred`; records of an older flowc have none.
    """

    service: str
    slot: int
    epoch: int
    before: int
    after: int
    parked: list[Parked]
    deferred: list[int]
    resolved: list[int]
    partitions: list[int] = []


class SlotEpoch(Entry, frozen=True):
    """A process took the slot over."""

    service: str
    slot: int
    epoch: int


class SourceOpened(Entry, frozen=True):
    source: str
    epoch: int


class SourceEnded(Entry, frozen=True):
    source: str
    epoch: int
    seq: int


class Unparked(Entry, frozen=True):
    """Parked events of a slot were let go: to be handled again (`retry`), or for good."""

    service: str
    slot: int
    offsets: list[int]
    retry: bool


class SlotState(msgspec.Struct, array_like=True):
    """What is kept of a slot of a service. `parked` counts what was ever parked, `parked_now` has
    the offsets and partitions of what still is. `steps` is the number of its next step. `since`
    says from which offset on a handler that waits does so, by its event. `deferred_in` has the
    partitions of the deferred events, by offset; what an older flowc deferred is not in it.
    """

    service: str
    slot: int
    partitions: list[int]
    cursor: int
    epoch: int = 0
    parked: int = 0
    deferred: list[int] = []
    floors: dict[int, int] = {}
    parked_now: dict[int, int] = {}
    steps: int = 0
    since: dict[str, int] = {}
    deferred_in: dict[int, int] = {}


class SourceState(msgspec.Struct, array_like=True):
    source: str
    epoch: int = 0
    seq: int = 0
    done: bool = False


class Slots(Entry, frozen=True):
    """The slots were laid out anew (the plan or its replicas changed)."""

    slots: list[SlotState]


class Snapshot(Entry, frozen=True):
    """All that the records before it say: recovery starts at the last one.

    It has the number of the record that follows it: snapshots are not counted. `segment_bytes` is
    the size that the segment's file was made with, 0 in those of older versions.
    """

    offset: int
    record: int
    slots: list[SlotState]
    sources: list[SourceState]
    segment_bytes: int = 0


class Mark(Entry, frozen=True):
    """Nothing happened; the record before it is now provably durable."""


AnyEntry = (
    SourceEvents
    | StepDone
    | Unparked
    | SlotEpoch
    | SourceOpened
    | SourceEnded
    | Slots
    | Snapshot
    | Mark
)


def emitter(entry: AnyEntry) -> str:
    """The name of the source or service whose events these are, "" if it has none."""
    if isinstance(entry, SourceEvents):
        return entry.source
    return entry.service if isinstance(entry, StepDone) else ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnyEntry)


class Header(NamedTuple):
    kind: int
    payload_bytes: int
    rows: int
    record: int
    first_offset: int
    durable_through: int
    journal_id: int
    payload_sum: int

    @property
    def record_bytes(self) -> int:
        """Header and payload and padding: where the next record starts, from this one."""
        return HEADER_BYTES + padded(self.payload_bytes)


def padded(size: int) -> int:
    """`size` rounded up to a multiple of `ALIGN`."""
    return (size + ALIGN - 1) & ~(ALIGN - 1)


def encode_payload(entry: AnyEntry, bodies: Sequence[Body]) -> list[Body]:
    """The payload as pieces to be written one after the other."""
    meta = _encoder.encode(entry)
    head = struct.pack("<I", len(meta)) + meta
    pieces: list[Body] = [head, bytes(padded(len(head)) - len(head))]
    for body in bodies:
        pieces.append(body)
        pieces.append(bytes(padded(len(body)) - len(body)))
    return pieces


def encode_header(
    kind: int,
    pieces: Sequence[Body],
    *,
    rows: int,
    record: int,
    first_offset: int,
    durable_through: int,
    journal_id: int,
) -> bytes:
    """The header for the payload `pieces`."""
    digest = xxhash.xxh3_64()
    size = 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    head = _HEAD.pack(
        MAGIC,
        FORMAT,
        kind,
        size,
        rows,
        record,
        first_offset,
        durable_through,
        journal_id,
        digest.intdigest(),
    )
    return (head + _SUM.pack(xxhash.xxh3_64_intdigest(head))).ljust(HEADER_BYTES, b"\0")


def decode_header(data: bytes | memoryview) -> Header | None:
    """The header at the start of `data`, or None if these bytes are no header (whatever they
    are)."""
    if len(data) < HEADER_BYTES:
        return None
    head = bytes(data[: _HEAD.size])
    magic, version, kind, size, rows, record, first, durable, journal, payload_sum = _HEAD.unpack(
        head
    )
    (head_sum,) = _SUM.unpack(data[_HEAD.size : _HEAD.size + _SUM.size])
    if (
        magic != MAGIC
        or version != FORMAT
        or kind not in KINDS
        or head_sum != xxhash.xxh3_64_intdigest(head)
    ):
        return None
    return Header(kind, size, rows, record, first, durable, journal, payload_sum)


def payload_is_sound(header: Header, payload: bytes | memoryview) -> bool:
    """Whether `payload` (of `header.payload_bytes`) is what was written."""
    return (
        len(payload) == header.payload_bytes
        and xxhash.xxh3_64_intdigest(payload) == header.payload_sum
    )


def decode_payload(payload: memoryview) -> tuple[AnyEntry, list[memoryview]]:
    """The entry and its bodies (views into `payload`).

    The checksum is taken to have been verified.
    """
    (size,) = struct.unpack_from("<I", payload)
    entry = _decoder.decode(payload[4 : 4 + size])
    at = padded(4 + size)
    bodies = []
    for length in entry.sizes:
        bodies.append(payload[at : at + length])
        at += padded(length)
    return entry, bodies
