"""What is said at the query endpoint of the log process.

A request is one frame of msgpack. An answer is one frame of msgpack and then, if it has rows, an
Arrow IPC stream cut into frames; join them. `id` is the asker's, and comes back.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pyarrow as pa

from flowc_engine import limits
from flowc_engine.bus.wire import decode
from flowc_engine.log.readers import FailureKind

_FRAME_BYTES = limits.FRAME_BYTES_MAX // 2


class Request(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The base of what is asked."""

    id: int


class Query(Request, frozen=True):
    """SQL. `rows_max` < 0: all. `as_of`: wait until events below this offset are in the log; -1:
    until all is that the broker has acknowledged by now; 0: don't wait."""

    sql: str
    rows_max: int = -1
    as_of: int = -1


class History(Request, frozen=True):
    """The events of these types with offsets in [begin, end), as they were on the wire, with
    `_offset` and `_source` behind; at most about `rows_max`, and of complete offsets."""

    events: list[str]
    begin: int
    end: int
    rows_max: int = limits.HISTORY_ROWS_MAX


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """`applied`: the log had all events below this offset when it was asked. `current`: these are
    all that were acknowledged then. Frames: one Arrow stream."""

    id: int
    applied: int
    current: bool
    truncated: bool


class HistoryPart(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """`next` is where to go on; all below it were found. Frames: one Arrow stream for each name in
    `events`, in this order, none cut."""

    id: int
    next: int
    events: list[str]


class Failure(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """No answer, and why."""

    id: int
    kind: FailureKind
    message: str


Reply = Answer | HistoryPart | Failure

_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[Query | History] = msgspec.msgpack.Decoder(
    Query | History
)
_reply_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """Frame 0."""
    return _encoder.encode(message)


def decode_request(frame: bytes) -> Query | History:
    """What is asked. Raises `msgspec.DecodeError` for anything else."""
    return decode(_request_decoder, frame)


def decode_reply(frame: bytes) -> Reply:
    """What was answered. Raises `msgspec.DecodeError` for anything else."""
    return decode(_reply_decoder, frame)


def table_frames(table: pa.Table) -> list[memoryview]:
    """An Arrow stream in frames that the bus takes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    whole = memoryview(sink.getvalue())
    return [whole[at : at + _FRAME_BYTES] for at in range(0, len(whole), _FRAME_BYTES)]


def read_table(frames: Sequence[bytes]) -> pa.Table:
    """The inverse of `table_frames`."""
    whole = frames[0] if len(frames) == 1 else b"".join(frames)
    return pa.ipc.open_stream(whole).read_all()
