"""Publishing a few events from outside, durable before it is said: what `flowc emit` does."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.codec import columns
from flowc_engine.config import EMIT_SOURCE
from flowc_engine.state import StateDir

_CHUNK_ROWS: Final = limits.COALESCE_ROWS_MAX
_POLL_MS: Final = 100


class EmitError(Exception):
    """The events were refused; none of them is in the log."""


@dataclass(frozen=True, slots=True)
class Part:
    """Events of one message: `rows` of them, as one body, behind `before` others."""

    before: int
    rows: int
    body: bytes


def make_parts(plan: Plan, event: str, rows: list[dict[str, Any]]) -> list[Part]:
    """The messages for `rows`, as `flowc_engine.codec.read_event` gave them.

    Raises `EmitError` for an event that is too large.
    """
    parts: list[Part] = []
    chunk = _CHUNK_ROWS
    at = 0
    while at < len(rows):
        taken = rows[at : at + chunk]
        body = _body(plan, event, taken)
        if len(body) > limits.EVENT_BYTES_MAX:
            if len(taken) == 1:
                raise EmitError(
                    f"event {at + 1} is {len(body):,} bytes, at most {limits.EVENT_BYTES_MAX:,}"
                )
            chunk = max(1, len(taken) // 2)
            continue
        parts.append(Part(at, len(taken), body))
        at += len(taken)
    return parts


def _body(plan: Plan, event: str, rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa  # noqa: PLC0415 - a wrong command line is told without it

    from flowc_engine.partition import key_index, partitioner  # noqa: PLC0415 - as above
    from flowc_engine.schema import wire_schema  # noqa: PLC0415 - as above

    own = columns(plan, event, rows)
    now_us = time.time_ns() // 1000
    key, partition = key_index(plan, event), partitioner(plan, event)
    if key is not None and partition is not None:
        partitions = partition(own[key])
    else:  # no key: round robin from anywhere
        partitions = pa.array(
            [(now_us + i) % plan.partitions for i in range(len(rows))], pa.int32()
        )
    nothing = pa.nulls(len(rows), pa.int64())
    schema = wire_schema(plan, event)
    times = pa.array([now_us] * len(rows), schema.field("_time").type)
    batch = pa.record_batch([*own, times, nothing, nothing, partitions], schema=schema)
    return bytes(batch.serialize())


@contextmanager
def one_at_a_time(state: StateDir) -> Iterator[None]:
    """Wait for other `flowc emit`s on this state: they publish as one source."""
    with (state.path / "emit.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class Publisher:
    """Publishes parts once each, whatever happens to the broker meanwhile.

    `deliver` may be called again, with another endpoint: the sequence numbers that the broker keeps
    say what has arrived.
    """

    def __init__(self, plan: Plan, event: str, parts: list[Part]) -> None:
        self._plan, self._event, self._parts = plan, event, parts
        self._start: int | None = None
        self._total = sum(p.rows for p in parts)
        self.first_offset: int | None = None

    @property
    def begun(self) -> bool:
        """Whether anything was sent."""
        return self._start is not None

    def deliver(self, endpoint: str, timeout_ms: int) -> bool:
        """Whether all is durable; False when the broker did not say so in time.

        Raises `EmitError`.
        """
        deadline = time.monotonic() + timeout_ms / 1000
        incarnation = secrets.token_hex(8)
        hello = wire.Hello(
            "source", EMIT_SOURCE, 0, incarnation, self._plan.hash, os.getpid()
        )  # fmt: skip
        with Client(endpoint, hello) as client:
            while time.monotonic() < deadline:
                got = client.receive(_POLL_MS)
                if got is not None and self._take(client, got[0]):
                    return True
        return False

    def _take(self, client: Client, message: wire.BrokerMessage) -> bool:
        match message:
            case wire.Opened():
                if self._start is None:
                    self._start = message.seq
                arrived = message.seq - self._start
                if message.done and arrived == self._total:
                    return True
                self._publish(client, message.epoch, arrived)
            case wire.Published():
                assert self._start is not None
                if self.first_offset is None:
                    self.first_offset = message.first
                if message.seq == self._start + self._total:
                    done = wire.SourceDone(EMIT_SOURCE, message.epoch, message.seq)
                    client.send(done)
            case wire.Refused(code="plan"):
                raise EmitError(
                    "the run that is up was started with another version of the program"
                )
            case wire.Refused() | wire.Fenced():
                raise EmitError(message.why)
            case _:
                pass
        return False

    def _publish(self, client: Client, epoch: int, arrived: int) -> None:
        assert self._start is not None
        if arrived == self._total:
            client.send(wire.SourceDone(EMIT_SOURCE, epoch, self._start + self._total))
        for part in self._parts:
            if part.before >= arrived:
                batches = [wire.Batch(self._event, part.rows)]
                seq = self._start + part.before
                client.send(wire.Publish(EMIT_SOURCE, epoch, seq, batches), [part.body])
