"""One replica of a service as a function of what the broker says: sans-IO.

`receive` takes messages, `work` handles a bounded piece of what was delivered, or one retry, and
says in messages what came of it. The caller owns the connection and the clock; the handlers are
called by `flowc.handling`.

The cursor's chain: a step begins where the last one ended, whether or not that is confirmed.
Steps that are not confirmed are kept, and sent again to a broker that was restarted.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from flowc.calls import Call
from flowc.clock import Clock
from flowc.codec import Codecs
from flowc.draft import Draft, Part
from flowc.errors import FencedError, HaltedError, RefusedError
from flowc.handling import Handling
from flowc.load import Handler
from flowc.outbox import STEP_BYTES_MAX, too_large
from flowc.packing import EmittedBatch
from flowc.reports import Reports
from flowc.retries import Held
from flowc.rows import (
    Rows,
    in_order,
    rows_between,
    rows_of_partitions,
    split_at_floors,
    stored_rows,
)
from flowc.suspects import Suspects
from flowc.waits import Waits, bodies_of
from flowc_dsl.plan import ServicePlan
from flowc_engine import limits
from flowc_engine.bus import wire

if TYPE_CHECKING:
    from flowc.stores import Stores

STEP_S_MAX = 0.05
"""A step is sent at least this often while there is work, however slow the handlers are."""
QUIET_STEP_S = 0.005
QUIET_ROWS_MAX = 64
"""A step in which few events were read and nothing was said waits this long for more: a lone event
costs no message of its own."""
DUE_PATIENCE_US = 1_000_000
"""A deadline that is due is emitted behind what was delivered before, which may cancel it; but no
later than this."""
UNCONFIRMED_BYTES_MAX = 2 * STEP_BYTES_MAX

Send = Callable[[wire.Message, Sequence[memoryview]], None]


class MemoryLostError(Exception):
    """Only a process with an empty memory can go on: the replay was cut short, or the epochs say
    that another process may have had the slot meanwhile, and have handled what this one did not."""


@dataclass(slots=True)
class _Piece:
    """Rows to handle from `at` on."""

    rows: Rows
    replaying: bool
    at: int = 0


@dataclass(slots=True)
class _Delivery:
    message: wire.Deliver
    pieces: deque[_Piece]


class Worker:
    """`handlers` and `calls` by event; `past` are the calls that rebuild memory, and `older` the
    ones for events that were there before the process, where they are not the same."""

    def __init__(
        self,
        service: ServicePlan,
        slot: int,
        codecs: Codecs,
        handlers: dict[str, list[Handler]],
        calls: dict[str, Call],
        send: Send,
        *,
        seed: int = 0,
        clock: Clock | None = None,
        suspects: Suspects | None = None,
        past: dict[str, Call] | None = None,
        older: dict[str, Call] | None = None,
        stores: Stores | None = None,
    ) -> None:
        self.service, self.slot = service, slot
        self._codecs, self._send = codecs, send
        self._waits = Waits(service, slot, codecs)
        self._was_full = False
        self._log = logging.getLogger(f"flowc.{service.name}")
        self._clock = clock or Clock()
        self._reports = Reports(self._log, handlers, self._clock)
        self._handling = Handling(
            service,
            codecs,
            handlers,
            calls,
            self._reports,
            self._log,
            seed=seed,
            suspects=suspects,
            clock=self._clock,
            past=past,
            older=older,
            stores=stores,
        )
        self._stores = stores
        self._queue: deque[_Delivery] = deque()
        self._unconfirmed: deque[tuple[wire.Step, list[memoryview], int]] = deque()
        self._unconfirmed_bytes = 0
        self._number = 0  # of the next step
        self._assign: wire.Assign | None = None
        self._partitions: frozenset[int] = frozenset()
        self._skip: frozenset[int] = frozenset()
        self._resume: wire.Resume | None = None
        self._replaying_to: int | None = None
        self._ahead: deque[Rows] = deque()  # deferred by another replica, and not passed here yet
        self._draft = Draft(-1, codecs)  # -1: nothing was ever assigned
        self._draft_since = self._now = 0.0
        self._chunk_rows = 64
        self.draining = False

    # ---- what the broker says

    def receive(self, message: wire.BrokerMessage, bodies: Sequence[bytes]) -> None:
        """Take a message. Raises `FencedError`, `RefusedError`, `MemoryLostError`."""
        match message:
            case wire.Deliver():
                self._delivered(message, bodies)
            case wire.Stepped():
                self._stepped(message)
            case wire.Assign():
                self._assigned(message)
            case wire.Drained():
                self.draining = True
            case wire.Fenced():
                raise FencedError(message.why)
            case wire.Refused():
                raise RefusedError(message.code, message.why)

    def _assigned(self, assign: wire.Assign) -> None:
        if self._assign is not None and self._assign.epoch >= assign.epoch:
            if self._assign.epoch == assign.epoch and self._resume is not None:
                self._send(self._resume, ())  # the broker has not seen it yet
            return
        fresh = self._draft.begin < 0
        replaced = not fresh and self._assign is not None and assign.epoch > self._assign.epoch + 1
        moved = self._stores is not None and self._partitions != frozenset(assign.partitions)
        if self._replaying_to is not None or replaced or (moved and not fresh):
            raise MemoryLostError
        self._queue.clear()  # it will be delivered again
        self._ahead.clear()
        if not fresh:
            self._flush(send=False)
        self._assign = assign
        self._partitions = frozenset(assign.partitions)
        self._skip = frozenset((*assign.deferred, *assign.parked))
        position = -1 if fresh else self._draft.begin
        if fresh and self._stores is not None:
            self._stores.begin(assign)
        replay = self._has_past or self._waits.any
        slot = (assign.service, assign.slot, assign.epoch)
        self._resume = wire.Resume(*slot, replay, position, self._waits.open)
        self._send(self._resume, ())
        if fresh:
            self._number = assign.number
            self._waits.begin(assign.since)
            self._handling.began = assign.end
            self._draft = Draft(assign.cursor, self._codecs)
            self._replaying_to = assign.cursor if replay and assign.cursor > 0 else None
        else:
            self._send_again(assign)

    @property
    def _has_past(self) -> bool:
        """Whether handlers are called for past events: what is in a store is not lost."""
        return not self.service.stateless if self._stores is None else self._stores.building

    def _send_again(self, assign: wire.Assign) -> None:
        """The steps that the broker does not have."""
        kept, self._unconfirmed, self._unconfirmed_bytes = self._unconfirmed, deque(), 0
        for step, bodies, size in kept:
            if step.number >= assign.number:
                self._say(msgspec.structs.replace(step, epoch=assign.epoch), bodies, size)

    def _stepped(self, stepped: wire.Stepped) -> None:
        if self._assign is None or stepped.epoch != self._assign.epoch or not self._unconfirmed:
            return
        step, _, size = self._unconfirmed.popleft()
        assert step.after == stepped.cursor, (step, stepped)
        self._unconfirmed_bytes -= size
        if self._stores is not None:
            self._stores.confirmed(step.number)

    def _delivered(self, deliver: wire.Deliver, bodies: Sequence[bytes]) -> None:
        assign = self._assign
        if assign is None or deliver.epoch != assign.epoch:
            return  # of an older assignment: it will be delivered again
        rows = [
            stored_rows(self._codecs, batch, body)
            for batch, body in zip(deliver.batches, bodies, strict=True)
        ]
        if deliver.mode == "deferred":
            self._deferred(deliver, rows)
            return
        replay = deliver.mode == "replay"
        own = [self._own(whole, deliver) for whole in rows]
        pieces: deque[_Piece] = deque()
        for run in in_order(own):
            if replay:
                pieces.append(_Piece(run, replaying=True))
            else:
                pieces += self._above_floors(run, assign.floors)
        self._queue.append(_Delivery(deliver, pieces))

    def _own(self, whole: Rows, deliver: wire.Deliver) -> Rows:
        """The rows that are to be handled, decoded if their handlers want them one by one."""
        own = rows_between(whole, deliver.begin, deliver.end)
        own = rows_of_partitions(own, self._partitions)
        past = deliver.mode == "replay"
        forgotten = past and not self._has_past
        if len(own) and not self._handling.whole(own.event, past=past) and not forgotten:
            own.decode()
        return own

    def _without_deferred(self, rows: Rows) -> Rows:
        """Deferred events are no part of the past: they will be handled yet, as parked ones may. In
        live deliveries they can be too, below a floor."""
        if not self._skip or self._skip.isdisjoint(rows.offsets):
            return rows
        return rows.take([i for i, o in enumerate(rows.offsets) if o not in self._skip])

    def _above_floors(self, rows: Rows, floors: dict[int, int]) -> list[_Piece]:
        """Events below their partition's floor were handled by another replica once: they rebuild
        this one's memory, and emit nothing."""
        return [
            _Piece(run, replaying=is_past)
            for run, is_past in split_at_floors(rows, floors)
            if not is_past or self._has_past or self._waits.any
        ]

    def _deferred(self, deliver: wire.Deliver, bodies: list[Rows]) -> None:
        """Hold them. What another replica deferred may lie ahead, below a floor: memory has to have
        what came before it first."""
        self._send(wire.Held(deliver.service, deliver.slot, deliver.epoch), ())
        resolved = {o for step, _, _ in self._unconfirmed for o in step.resolved}
        known = resolved.union(self._draft.resolved)
        wanted = {o for o in deliver.offsets if o not in known and o not in self._handling.retries}
        for rows in in_order(bodies):
            for i, offset in enumerate(rows.offsets):
                if offset in wanted:
                    self._ahead.append(rows.take([i]))
        self._pass_by(self._draft.end)

    def _pass_by(self, position: int) -> None:
        """All below `position` was seen: what is held of it may be tried."""
        ahead, self._ahead = self._ahead, deque()
        for row in ahead:
            if row.offsets[0] < position:
                self._handling.retries.hold(row, attempts=0, due=0.0)
            else:
                self._ahead.append(row)

    # ---- work

    def pause_s(self, now: float) -> float | None:
        """How long there is nothing to do: 0 for work now, None until a message comes."""
        if self._can_work():
            return 0.0
        due = [] if self._draft.empty else [self._draft_since + QUIET_STEP_S]
        retry_due = self._handling.retries.next_due()
        if retry_due is not None and not self._stuck():
            due.append(retry_due)
        wait_due_us = self._wait_due_us()
        if wait_due_us is not None:
            due.append(now + (wait_due_us - self._clock.now_us()) / 1e6)
        return max(0.0, min(due) - now) if due else None

    @property
    def settled(self) -> bool:
        """Nothing is under way: all that was delivered is handled, and confirmed."""
        return not self._queue and self.confirmed

    @property
    def confirmed(self) -> bool:
        """All that was handled is durable."""
        return not self._unconfirmed and self._draft.empty

    def _stuck(self) -> bool:
        return self._unconfirmed_bytes > UNCONFIRMED_BYTES_MAX

    def _can_work(self) -> bool:
        full = len(self._handling.retries) >= limits.DEFERRED_PER_SLOT_MAX or self._full()
        return bool(self._queue) and not full and not self._stuck()

    def _full(self) -> bool:
        """Whether no more deadlines can be set before some are due."""
        full = self._replaying_to is None and self._waits.set >= limits.OPEN_EVENTS_PER_SLOT_MAX
        if full and not self._was_full:
            self._log.warning(
                "%d deadlines are set, which is all that there may be: what comes waits until some "
                "are due", self._waits.set,
            )  # fmt: skip
        self._was_full = full
        return full

    def _wait_due_us(self) -> int | None:
        """When the next deadline or tick is to be emitted, by the clock; None if none is, yet."""
        due_us = self._waits.next_due_us() if self._waits.any else None
        replaying = self._assign is None or self._replaying_to is not None
        if due_us is None or replaying or self.draining or self._stuck():
            return None
        if self._full():
            return due_us
        assert self._assign is not None
        if self._draft.end < self._assign.end:  # an emitted one may be among what was not seen yet
            return None
        return due_us + DUE_PATIENCE_US if self._queue else due_us

    def work(self, now: float) -> None:
        """Handle one bounded piece; `now` is the caller's monotonic clock, in s.

        Raises `HaltedError`.
        """
        self._now = now
        wait_due_us = self._wait_due_us()
        if wait_due_us is not None and wait_due_us <= self._clock.now_us():
            self._emit_due()
        held = None if self._stuck() else self._handling.retries.take_due(now)
        if held is not None:
            self._retry(held)
            if not self._can_work():
                self.flush()
        elif self._can_work():
            self._advance(now)
        elif not self._draft.empty and now - self._draft_since >= QUIET_STEP_S:
            self.flush()

    def flush(self) -> None:
        """Send what was handled as a step."""
        self._flush(send=True)

    def _retry(self, held: Held) -> None:
        try:
            self._handling.retry(held, self._draft, self._now)
        except HaltedError:
            self.flush()
            raise

    def _advance(self, now: float) -> None:
        delivery = self._queue[0]
        if self._draft.empty:
            self._draft_since = now
        ended = now
        if delivery.pieces:
            ended = self._handle_some(delivery.pieces)
        if not delivery.pieces:
            self._queue.popleft()
            self._delivery_done(delivery.message)
        elif (
            ended - self._draft_since >= STEP_S_MAX
            or self._draft.outbox.count >= 2 * limits.COALESCE_ROWS_MAX
            or not self._can_work()
        ):
            self._flush(send=True)

    def _handle_some(self, pieces: deque[_Piece]) -> float:
        """Handle about `_chunk_rows` rows; the time it is then comes back."""
        begun = self._clock.elapsed_s()
        done = 0
        while pieces and done < self._chunk_rows:
            done += self._handle_piece(pieces, self._chunk_rows - done)
        took = self._clock.elapsed_s() - begun
        fits = int(STEP_S_MAX / 2 * done / max(took, 1e-6))
        self._chunk_rows = min(max(fits, 1), 4 * self._chunk_rows, limits.BATCH_ROWS_MAX)
        return self._now + took

    def _handle_piece(self, pieces: deque[_Piece], rows_max: int) -> int:
        """Handle the first piece, or a part of it; the number of its rows comes back."""
        piece = pieces[0]
        begin, end = piece.at, len(piece.rows)
        if self._ahead and not piece.replaying:
            self._pass_by(piece.rows.offsets[begin])
        if not self._handling.whole(piece.rows.event):
            end = min(begin + rows_max, end)
        self._see(piece.rows.part(begin, end), replaying=piece.replaying)
        if self._replaying_to is None:  # also behind what only rebuilt memory, below a floor
            self._draft.end = piece.rows.offsets[end - 1] + 1
        piece.at = end
        if end == len(piece.rows):
            pieces.popleft()
        return end - begin

    def _delivery_done(self, deliver: wire.Deliver) -> None:
        if deliver.mode == "live":
            self._draft.end = deliver.end
            if self._ahead:
                self._pass_by(deliver.end)
            self._handling.tell_passed(deliver.end)
            waited = self._now - self._draft_since
            if (
                not self._draft.quiet
                or self._draft.handled > QUIET_ROWS_MAX
                or (waited >= QUIET_STEP_S)
            ):
                self._flush(send=True)
            return
        slot = (deliver.service, deliver.slot, deliver.epoch)
        if self._stores is not None and deliver.end == self._replaying_to:
            self._stores.reached(deliver.end)
        self._send(wire.Replayed(*slot, deliver.end, self._waits.open), ())
        if deliver.end == self._replaying_to:
            self._replaying_to = None

    def _see(self, rows: Rows, *, replaying: bool) -> None:
        """Events in the order of their offsets, each once: what waits is told, and handlers are
        called."""
        own, joined = self._waits.seen(rows)
        own = self._without_deferred(own)
        if not len(own) or not self._handling.has_handlers(own.event):
            self._draft.handled += 0 if replaying else len(own)
        elif not replaying:
            self._handling.run(own, self._draft, self._now)
        elif self._has_past:
            self._handling.replay(own)
        for indices, batch in joined if not replaying else ():
            self._join(rows, indices, batch)
        if self._waits.partners > limits.OPEN_EVENTS_PER_SLOT_MAX:
            raise HaltedError(
                f"{self._waits.partners:,} events of {self.service.name} wait for a partner to be "
                f"joined with, at most {limits.OPEN_EVENTS_PER_SLOT_MAX:,} may"
            )

    def _join(self, rows: Rows, indices: list[int], batch: EmittedBatch) -> None:
        """`indices`: of the rows that these were joined because of."""
        why = too_large(self._codecs[batch.event], batch)
        if why is None:
            self._draft.outbox.add_batch(batch)
        elif len(indices) > 1:
            middle = len(indices) // 2
            self._join(rows, indices[:middle], batch.part(0, middle))
            self._join(rows, indices[middle:], batch.part(middle, len(indices)))
        else:
            parked = self._reports.parked(rows, indices[0], f"SchemaError: joined, it is {why}", 1)
            handler = self._reports.names(batch.event)
            self._draft.parked.append(msgspec.structs.replace(parked, handler=handler))

    def _emit_due(self) -> None:
        """Give deadlines and ticks their places in the log."""
        self.flush()
        now_us = self._clock.now_us()
        for due in self._waits.due(now_us, limits.DUE_ROWS_MAX):
            for out in bodies_of(self._codecs[due.event], due, now_us):
                part = Part(self._draft.begin, self._draft.begin, out, [], {}, [], 0)
                self._say(self._step(part), out.bodies, out.size)

    # ---- steps

    def _flush(self, *, send: bool) -> None:
        if self._draft.empty:
            return
        draft, self._draft = self._draft, Draft(self._draft.end, self._codecs)
        parts = list(draft.steps(self._reports.blame, self._clock.now_us()))  # which may split it
        steps = [self._step(part) for part in parts]
        if self._stores is not None:
            bodies = [part.out.bodies for part in parts]
            self._stores.commit(self._draft.begin, list(zip(steps, bodies, strict=True)))
        for step, part in zip(steps, parts, strict=True):
            self._say(step, part.out.bodies, part.out.size, send=send)

    def _step(self, part: Part) -> wire.Step:
        assert self._assign is not None
        number, self._number = self._number, self._number + 1
        return wire.Step(
            self.service.name, self.slot, self._assign.epoch, part.before, part.after,
            part.out.batches, part.parked, list(part.deferred), part.resolved, part.handled, number,
            self._waits.open, part.late, part.passed, list(part.deferred.values()),
        )  # fmt: skip

    def _say(
        self, step: wire.Step, bodies: list[memoryview], size: int, *, send: bool = True
    ) -> None:
        self._unconfirmed.append((step, bodies, size))
        self._unconfirmed_bytes += size
        if send:
            self._send(step, bodies)
