"""What the process that replays a service says to who started it, through a pipe.

A frame is the length of its head (u32) and of its bodies together (u64), little-endian; the head,
one of the structs below as msgpack; and the bodies, which `Made.sizes` tells apart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import IO

import msgspec

from flowc_engine.bus.wire import Batch, Parked

_LENGTHS = struct.Struct("<IQ")
Body = bytes | memoryview


class Said(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The base of all frames; the tag is the class's name."""


class Went(Said, frozen=True):
    """All recorded events below `through` were looked at."""

    through: int


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """Events of one type that came next: their offsets as little-endian i64. `called`: whether
    there is a handler that a replay calls for them."""

    event: str
    offsets: bytes
    called: bool = True


class Made(Said, frozen=True):
    """What came of some recorded events. `time_us`: when they were recorded. `parked`: those whose
    handlers raised, or emitted what they may not. Bodies of the batches follow."""

    time_us: int
    seen: list[Seen]
    batches: list[Batch]
    sizes: list[int]
    parked: list[Parked]


class Done(Said, frozen=True):
    """All was looked at. `warmed` events rebuilt the memory; `failed` of them raised in it."""

    warmed: int
    failed: int


AnySaid = Went | Made | Done

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnySaid)


def write(pipe: IO[bytes], said: AnySaid, bodies: Sequence[Body] = ()) -> None:
    """Say something; it is on its way when this returns."""
    head = _encoder.encode(said)
    pipe.write(_LENGTHS.pack(len(head), sum(map(len, bodies))) + head)
    for body in bodies:
        pipe.write(body)
    pipe.flush()


def read(pipe: IO[bytes]) -> Iterator[tuple[AnySaid, list[memoryview]]]:
    """All that is said, with its bodies, until the other end closes; a frame that is cut off there
    is left out. Raises `msgspec.DecodeError` for what is no frame."""
    while len(lengths := pipe.read(_LENGTHS.size)) == _LENGTHS.size:
        head_bytes, body_bytes = _LENGTHS.unpack(lengths)
        data = memoryview(pipe.read(head_bytes + body_bytes))
        if len(data) < head_bytes + body_bytes:
            return
        said: AnySaid = _decoder.decode(data[:head_bytes])
        bodies, at = [], head_bytes
        for size in said.sizes if isinstance(said, Made) else ():
            bodies.append(data[at : at + size])
            at += size
        yield said, bodies
