"""What the broker knows of a connection, and forgets with it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.core import effects as fx
from flowc_engine.journal import record as rec
from flowc_engine.journal.state import SlotKey


@dataclass(slots=True)
class SourceSession:
    peer: bytes | None = None
    incarnation: str = ""


@dataclass(slots=True)
class SlotSession:
    """The delivery to one replica of a service.

    `sent` is how far its events were looked up; `chain` is the end of the last delivery, where
    the next begins, so that the steps form a chain without gaps. `outstanding` are deliveries
    not answered yet: (end, bytes).
    """

    key: SlotKey
    events: frozenset[str]
    latest: bool = False
    peer: bytes | None = None
    incarnation: str = ""
    epoch: int = 0
    assign_record: int | None = None  # the assignment may be sent once all below this is durable
    assigned_ms: int | None = None
    resumed: bool = False
    replay_until: int | None = None
    chain: int = 0
    sent: int = 0
    fetching: bool = False
    deferred: tuple[int, ...] = ()  # to be delivered, whatever the cursor
    deferred_sent: bool = False  # a part of them, which was not answered yet
    unparked: list[tuple[int, list[int]]] = field(default_factory=list)
    """To be delivered once the records below this one are durable."""
    outstanding: deque[tuple[int, int]] = field(default_factory=deque)
    outstanding_bytes: int = 0
    handled: int = 0
    emitted: int = 0
    seen_by: int = 0
    """A process with handlers that wait is told when it has seen all below this offset; one of
    `delivery latest` handlers, that it was there before."""
    open: int = 0
    late: dict[str, int] = field(default_factory=dict)
    passed: int = 0

    def connect(self, peer: bytes, incarnation: str, epoch: int, assign_record: int) -> None:
        """A process took the slot over."""
        self.disconnect()
        self.peer, self.incarnation, self.epoch = peer, incarnation, epoch
        self.assign_record = assign_record

    def disconnect(self) -> None:
        """Nobody serves the slot; what was delivered and not stepped will be delivered again."""
        self.peer, self.resumed, self.replay_until = None, False, None
        self.assign_record = self.assigned_ms = None
        self.outstanding.clear()
        self.outstanding_bytes = 0
        self.fetching = self.deferred_sent = False
        self.unparked.clear()
        self.seen_by = 0

    def release(self, durable_record: int) -> None:
        """Deliver what was unparked, durably."""
        while self.unparked and self.unparked[0][0] <= durable_record:
            self.deferred = tuple(sorted({*self.deferred, *self.unparked.pop(0)[1]}))

    def assign_due(self, now_ms: int) -> bool:
        """Whether an assignment was sent, and its answer is late."""
        return (
            self.assigned_ms is not None
            and not self.resumed
            and now_ms - self.assigned_ms >= limits.ASSIGN_REPEAT_MS
        )

    def resume(self, cursor: int, position: int, *, replay: bool, deferred: list[int]) -> None:
        """The process accepted; from here on it is delivered to.

        A repeated answer changes nothing.
        """
        if self.resumed:
            return
        self.resumed = True
        self.deferred = tuple(sorted(deferred))
        self.unparked.clear()
        if position >= 0:  # it lived on
            self.chain = self.sent = position
            return
        self.chain = self.sent = cursor
        if replay and cursor > 0:
            self.replay_until = cursor
            self.chain = self.sent = 0

    @property
    def ready(self) -> bool:
        """Whether it is past its replay."""
        return self.resumed and self.replay_until is None

    def next_fetch(self, durable_offset: int) -> fx.Fetch | None:
        """What to read for it now, or None: nothing to read, no credit, or not ready."""
        if not self.resumed or self.fetching:
            return None
        if self.replay_until is not None and self.sent >= self.replay_until:
            if self.outstanding:
                return None
            self.chain = self.sent = self.replay_until
            self.replay_until = None
        if self.replay_until is None and self.deferred:
            if self.deferred_sent:
                return None
            at, self.deferred, self.fetching = self.deferred, (), True
            return fx.Fetch(self.key, self.epoch, at[0], at[-1] + 1, limits.DELIVER_BYTES_MAX, at)
        limit = durable_offset if self.replay_until is None else self.replay_until
        if self.sent >= limit or self.outstanding_bytes >= limits.CREDIT_BYTES_MAX:
            return None
        self.fetching = True
        return fx.Fetch(self.key, self.epoch, self.sent, limit, limits.DELIVER_BYTES_MAX)

    def deliver_deferred(
        self, fetch: fx.Fetch, end: int, still: list[int], batches: list[wire.Delivered]
    ) -> wire.Deliver:
        """The message with the rows below `end` that wait to be retried (`still`, whatever was
        fetched); the others are fetched once it is answered."""
        waiting = frozenset(still)
        at = [o for o in fetch.at if o < end and o in waiting]
        self.deferred = tuple(sorted((*(o for o in fetch.at if o >= end), *self.deferred)))
        self.deferred_sent = True
        return wire.Deliver(*self.key, self.epoch, self.chain, self.chain, "deferred", batches, at)

    def deliver(self, end: int, batches: list[wire.Delivered], size: int) -> wire.Deliver | None:
        """The message for what a fetch found, or None when it found nothing of the slot's.

        The last one of a replay is always sent: its end tells the service that its memory is whole;
        and one that reaches `seen_by`, which may be empty too.
        """
        self.sent = end
        if not batches and end != self.replay_until and not self.chain < self.seen_by <= end:
            return None
        begin, self.chain = self.chain, end
        self.outstanding.append((end, size))
        self.outstanding_bytes += size
        mode: Literal["live", "replay"] = "live" if self.replay_until is None else "replay"
        return wire.Deliver(*self.key, self.epoch, begin, end, mode, batches)

    def count(self, step: wire.Step) -> None:
        """What a step says that it did."""
        self.open = step.open
        self.handled += step.handled
        self.emitted += sum(batch.rows for batch in step.batches)
        self.passed += step.passed
        for handler, late in step.late.items():
            self.late[handler] = self.late.get(handler, 0) + late

    def settle(self, through: int) -> None:
        """All deliveries that end at or below `through` are answered."""
        while self.outstanding and self.outstanding[0][0] <= through:
            self.outstanding_bytes -= self.outstanding.popleft()[1]

    def idle(self, state: rec.SlotState, durable_offset: int) -> bool:
        """Whether it has handled all that there is."""
        return (
            self.ready
            and not self.outstanding
            and not self.fetching
            and not state.deferred
            and not self.deferred
            and not self.deferred_sent
            and not self.unparked
            and self.sent >= durable_offset
        )

    def status(self, state: rec.SlotState, end: int) -> wire.SlotStatus:
        """For the supervisor. `end`: the next event's offset."""
        at = self.sent if self.ready and not self.outstanding else state.cursor
        return wire.SlotStatus(
            *self.key,
            connected=self.peer is not None,
            ready=self.ready,
            cursor=state.cursor,
            lag=max(0, end - at),
            handled=self.handled,
            emitted=self.emitted,
            parked=len(state.parked_now),
            deferred=len(state.deferred),
            open=self.open,
            late=dict(self.late),
            passed=self.passed,
        )
