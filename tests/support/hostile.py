"""What a broker may find at its socket: junk below ZeroMQ, and messages that are none above it."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from flowc_dsl.plan import Plan
from flowc_engine.bus import wire
from support.bodies import body

_READY = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
HANDSHAKE = GREETING + struct.pack("BB", 4, len(_READY)) + _READY
HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n"


def frame(size: int, data: bytes, *, more: bool = False) -> bytes:
    """A frame that announces `size` bytes, and has `data`."""
    return struct.pack(">BQ", 2 | more, size) + data


def below_zeromq(dice: random.Random) -> bytes:
    """Some bytes for a fresh connection."""
    hello = wire.encode(wire.Hello("control", "junk", 0, "j", "", 1))
    chosen = dice.randrange(7)
    if chosen == 0:
        return dice.randbytes(dice.randrange(1, 400))
    if chosen == 1:
        return HTTP
    if chosen == 2:
        return GREETING[: dice.randrange(len(GREETING))]
    if chosen == 3:
        return HANDSHAKE[: dice.randrange(len(GREETING), len(HANDSHAKE))]
    if chosen == 4:  # half a frame
        return HANDSHAKE + frame(len(hello), hello[: dice.randrange(len(hello))])
    if chosen == 5:  # a frame of 2 GiB
        return HANDSHAKE + frame(2 << 30, hello)
    return HANDSHAKE + frame(len(hello), hello, more=True) + frame(1 << 62, b"x" * 100)


def throw(path: Path, data: bytes) -> socket.socket:
    """A connection on which this was said; it may be closed already."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    connection.setblocking(False)
    with suppress(OSError):
        connection.sendall(data)
    return connection


def sound(plan: Plan) -> list[list[bytes]]:
    """Messages as clients send them, one of each kind."""
    paid, placed = body(plan, "Paid", [1, 2], cause=0), body(plan, "Placed", [1, 2, 3])
    parked = wire.Parked(1, "Placed", "Pay.on_placed", "ValueError", 6, 1)
    step = wire.Step("Pay", 0, 3, 0, 3, [wire.Batch("Paid", 2)], [parked], [1], [0], 2, 1, 0)
    messages: list[tuple[wire.Message, list[bytes]]] = [
        (wire.Hello("service", "Pay", 0, "an incarnation", plan.hash, 4711), []),
        (wire.Heartbeat(), []),
        (wire.Resume("Pay", 0, 3, True, -1, 0), []),
        (step, [paid]),
        (wire.Replayed("Pay", 0, 3, 12, 0), []),
        (wire.Publish("gen", 1, 0, [wire.Batch("Placed", 3)]), [placed]),
        (wire.SourceDone("gen", 1, 3), []),
        (wire.Applied(3, 4, 5), []),
        (wire.StatusRequest(), []),
        (wire.Drain(), []),
        (wire.Unpark("Pay", [1, 2, 3], True), []),
    ]
    return [[wire.encode(message), *bodies] for message, bodies in messages]


def malformed(plan: Plan, seed: int) -> Iterator[list[bytes]]:
    """Without end: messages that were sound, and whose first frame is no message any more."""
    dice = random.Random(seed)
    kinds = sound(plan)
    while True:
        head, *bodies = dice.choice(kinds)
        for _ in range(dice.choice((1, 1, 1, 2, 5))):
            head = mutated(head, dice)
        if not is_message(head):
            yield [head, *bodies]


def mutated(data: bytes, dice: random.Random) -> bytes:
    """A byte changed, put in or taken out, or an end cut off or repeated."""
    at = dice.randrange(len(data) + 1)
    chosen = dice.randrange(5)
    if chosen == 0 and at < len(data):
        return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
    if chosen == 1:
        return data[:at] + dice.randbytes(dice.choice((1, 1, 4, 40))) + data[at:]
    if chosen == 2:
        return data[:at] + data[at + dice.randrange(1, 9) :]
    return data[:at] if chosen == 3 else data[:at] + data[: dice.randrange(len(data) + 1)]


def is_message(head: bytes) -> bool:
    try:
        wire.decode_client(head)
    except msgspec.DecodeError:
        return False
    return True


_NUMBERS = (-1, 0, 1, 2, 3, 7, 255, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63))
_WORDS = ("", "Pay", "Ship", "gen", "Placed", "Paid", "x" * 70_000, "\0", "\u20ac")


def nonsense(plan: Plan, seed: int) -> Iterator[list[bytes]]:
    """Without end: well-formed messages whose numbers and names are anything, from somebody who may
    say none of this; no `Hello`, which would make it another, and no `Drain`."""
    dice = random.Random(seed)
    kinds = [f for f in sound(plan) if not isinstance(wire.decode_client(f[0]), wire.Hello)]
    decoded = [(msgspec.msgpack.decode(head), bodies) for head, *bodies in kinds]
    decoded = [(fields, bodies) for fields, bodies in decoded if fields[0] != "Drain"]
    encoder = msgspec.msgpack.Encoder()
    while True:
        fields, bodies = dice.choice(decoded)
        head = encoder.encode([fields[0], *(_another(field, dice) for field in fields[1:])])
        if is_message(head):
            bodies = [b if dice.random() < 0.7 else mutated(b, dice) for b in bodies]
            yield [head, *(b for b in bodies if dice.random() < 0.9)]


def _another(value: object, dice: random.Random) -> object:
    if dice.random() < 0.3:
        return value
    if isinstance(value, bool):
        return dice.random() < 0.5
    if isinstance(value, int):
        return dice.choice(_NUMBERS)
    if isinstance(value, str):
        return dice.choice(_WORDS)
    if isinstance(value, list):
        return [_another(each, dice) for each in value for _ in range(dice.choice((0, 1, 1, 3)))]
    return value
