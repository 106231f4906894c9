"""`Publisher`: a source of events, from any Python program.

    with flowc.Publisher(endpoint, plan, "orders") as source:
        source.publish(OrderPlaced(order_id=..., total=...))
        source.flush()              # returns when all is durable

`publish` puts the event in a queue; a thread of its own has the connection. An event is sent at
once when nothing is on its way; else when the broker has acknowledged, or when many are waiting.
So a lone event does not wait, and under load the batches grow by themselves. Events keep the
order in which they were published.

Each event has a number, dense from 0 over all runs of the source: the broker takes it once. After
a lost connection what was not acknowledged is sent again.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import pyarrow as pa
import zmq

from flowc.batch import Batch, batch_columns
from flowc.classes import use_plan
from flowc.codec import Codecs, misfit_row, now_us
from flowc.columns import MisfitError
from flowc.errors import ContractError, FencedError, FlowcError, RefusedError, SchemaError
from flowc.packing import EmittedBatch, Packer, UnfitError, by_type
from flowc.remote import credentials
from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.core.access import Principal

if TYPE_CHECKING:
    from flowc.event import Event

_ROW_BYTES_GUESS: Final = 256
_QUEUE_ROWS_MAX: Final = 2 * limits.COALESCE_ROWS_MAX
_QUEUE_ROWS_MIN: Final = 16


class _Sent(NamedTuple):
    """A message that is not acknowledged. Its events end before number `end`."""

    message: wire.Publish
    bodies: list[memoryview]
    end: int
    size: int


class Publisher:
    """One source. `name` is its own: two processes with one name fence each other.

    `emits` narrows what it may publish; by default every external event and command of the plan.
    Over TCP, `key` is the file that `flowc keys export` wrote. Raises `CodeError` if it is no good.
    """

    def __init__(
        self,
        endpoint: str,
        plan: Plan,
        name: str,
        emits: Iterable[str] | None = None,
        key: str | Path | None = None,
    ) -> None:
        self._key = credentials(key, endpoint, plan, Principal("source", name))
        self.name, self._plan, self._endpoint = name, plan, endpoint
        self._classes = use_plan(plan)
        self._codecs = Codecs(self._classes)
        external = frozenset(e.name for e in plan.events if e.external)
        self._emits = external if emits is None else external & frozenset(emits)
        self.allowed: dict[type, str] = {}
        """Classes that were let through once."""
        self.queue: deque[Any] = deque()
        """What is to be sent; only appended to from outside, after `check`."""
        self.high = _QUEUE_ROWS_MAX
        """With this many in the queue, `attend` has to be called."""
        self.idle = False
        """The connection sleeps: after an append, `attend` has to be called."""
        self.draining = False
        self._cond = threading.Condition()
        self._opened: wire.Opened | None = None
        self._acked = 0
        self._sent = 0  # the number of the next event to be sent
        self._unacked: deque[_Sent] = deque()
        self._unacked_bytes = 0
        self._row_bytes: float = _ROW_BYTES_GUESS
        self._error: FlowcError | None = None
        self._finish = self._finished = self._closing = False
        self._encoding = self._halted = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._io, name=f"flowc {name}", daemon=True)
        self._thread.start()

    # ---- for the program

    def open(self, timeout_s: float | None = None) -> wire.Opened:
        """Wait for the broker; it says how many events of the source it has.

        Raises `TimeoutError`, `FencedError`, `RefusedError`.
        """
        with self._cond:
            self._wait_for(lambda: self._opened is not None, timeout_s, "the broker to answer")
            assert self._opened is not None
            return self._opened

    def publish(self, event: Event | Batch) -> None:
        """Queue an event, or a batch of them; waits while the queue is full.

        Raises `ContractError` for what it may not emit, and what went wrong with earlier events:
        `SchemaError`, `FencedError`, `RefusedError`.
        """
        if type(event) not in self.allowed:
            self.check(event)
        self.queue.append(event)
        if self.idle or len(self.queue) >= self.high:
            self.attend()

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until all that was published is durable. Raises as `publish`, and `TimeoutError`."""
        with self._cond:
            self._poke()
            self._wait_for(self._all_acked, timeout_s, "the broker to acknowledge")

    def settle(self, timeout_s: float) -> bool:
        """Wait until what was sent is durable, whatever has gone wrong; whether it is."""
        with self._cond:
            self._poke()
            return self._cond.wait_for(self._all_acked, timeout_s)

    def finish(self, timeout_s: float | None = None) -> None:
        """Flush, and declare the source exhausted."""
        self.flush(timeout_s)
        with self._cond:
            self._finish = True
            self._poke()
            self._wait_for(lambda: self._finished, timeout_s, "the broker to acknowledge")

    def close(self) -> None:
        """Drop the connection; what was not acknowledged may be lost."""
        if os.getpid() == self._pid:
            self._closing = True
            self._poke()
            self._thread.join()
            with suppress(OSError):
                os.close(self._wake)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()

    def check(self, event: Any) -> None:
        """Raises `ContractError` unless this may be published."""
        batch = isinstance(event, Batch)
        cls = event.event if batch else type(event)
        name = self._classes.name_of(cls)
        if name is None:
            what = f"{cls.__name__}, which is no event of {self._plan.system}"
        elif name not in self._emits:
            external = any(e.name == name and e.external for e in self._plan.events)
            why = "not among its `emits`" if external else "not declared external"
            what = f"{name}, which is {why}"
        else:
            if not batch:
                self.allowed[cls] = name
            return
        declared = ", ".join(sorted(self._emits)) or "nothing"
        raise ContractError(f"source {self.name} emitted {what} (it may emit {declared})")

    def attend(self) -> None:
        """Wake the connection, and wait while the queue is full."""
        self._poke()
        if len(self.queue) >= self.high:
            with self._cond:
                self._wait_for(lambda: len(self.queue) < self.high, None, "room")
        elif self._error is not None:
            raise self._error

    def _wait_for(self, condition: Callable[[], bool], timeout_s: float | None, what: str) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("a publisher does not survive a fork; make a new one")
        met = self._cond.wait_for(lambda: self._error is not None or condition(), timeout_s)
        if self._error is not None:
            raise self._error
        if not met:
            raise TimeoutError(f"waited {timeout_s} s for {what}")

    def _all_acked(self) -> bool:
        # In this order: the connection's thread sets `_encoding` before it empties the queue.
        if self._opened is None or self.queue or self._encoding:
            return False
        return self._acked == self._sent

    def _poke(self) -> None:
        self.idle = False
        os.eventfd_write(self._wake, 1)

    # ---- the connection's thread

    def _io(self) -> None:
        try:
            self._serve()
        except FlowcError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - it would die unseen, and everybody wait
            self._fail(FlowcError(f"the connection of source {self.name} failed: {error!r}"))

    def _fail(self, error: FlowcError) -> None:
        with self._cond:
            self._error = error
            self.high = 0  # whoever publishes next is told
            self._cond.notify_all()

    def _serve(self) -> None:
        hello = wire.Hello("source", self.name, 0, uuid.uuid4().hex, self._plan.hash, os.getpid())
        with Client(self._endpoint, hello, self._key) as client:
            poller = zmq.Poller()
            poller.register(client.socket, zmq.POLLIN)
            poller.register(self._wake, zmq.POLLIN)
            told_done = 0.0
            while not self._closing:
                poller.poll(self._pause_ms())
                self.idle = False
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
                while (got := client.receive(0)) is not None:
                    self._take(client, got[0])
                self._send_queue(client)
                now = time.monotonic()
                if self._finish and not self._finished and now - told_done > 1.0:
                    told_done = now
                    assert self._opened is not None
                    client.send(wire.SourceDone(self.name, self._opened.epoch, self._sent))

    def _pause_ms(self) -> int:
        if self._unacked or self._opened is None:
            return limits.HEARTBEAT_MS
        self.idle = True  # from here on, who appends pokes; who had appended before is seen below
        return 0 if self.queue else limits.HEARTBEAT_MS

    def _take(self, client: Client, message: wire.BrokerMessage) -> None:
        match message:
            case wire.Published() if self._opened and message.epoch == self._opened.epoch:
                self._acknowledged(message.seq)
            case wire.Opened():
                self._reopened(client, message)
            case wire.Drained():
                self.draining = True
                self.drained()
            case wire.Fenced():
                raise FencedError(message.why)
            case wire.Refused():
                raise RefusedError(message.code, message.why)

    def drained(self) -> None:
        """Called on the connection's thread when the broker wants the source to end."""

    def _reopened(self, client: Client, opened: wire.Opened) -> None:
        first = self._opened is None
        with self._cond:
            self._opened = opened
            if first:
                self._sent = self._acked = opened.seq
            self._finished = self._finish and opened.done
            self._cond.notify_all()
        self._acknowledged(opened.seq)
        for index, sent in enumerate(self._unacked):
            again = wire.Publish(self.name, opened.epoch, sent.message.seq, sent.message.batches)
            self._unacked[index] = sent._replace(message=again)
            client.send(again, sent.bodies)

    def _acknowledged(self, seq: int) -> None:
        while self._unacked and self._unacked[0].end <= seq:
            self._unacked_bytes -= self._unacked.popleft().size
        with self._cond:
            self._acked = max(self._acked, seq)
            self._cond.notify_all()

    def _send_queue(self, client: Client) -> None:
        """Send what the window takes: all there is if nothing is on its way, else only what makes a
        full message."""
        while self.queue and self._opened is not None and not self._halted:
            rows = max(1, int(min(limits.COALESCE_ROWS_MAX,
                                  limits.COALESCE_BYTES_MAX / self._row_bytes)))  # fmt: skip
            if self._unacked and (len(self.queue) < rows or self._window_full()):
                return
            self._encoding = True  # before the queue is seen to be empty
            items = [self.queue.popleft() for _ in range(min(rows, len(self.queue)))]
            with self._cond:
                self._cond.notify_all()
            for batches, bodies in self._messages(items):
                self._publish(client, batches, bodies)
            self._encoding = False

    def _window_full(self) -> bool:
        return (
            len(self._unacked) >= limits.SOURCE_WINDOW_MESSAGES_MAX
            or self._unacked_bytes >= limits.SOURCE_WINDOW_BYTES_MAX
        )

    def _publish(self, client: Client, batches: list[wire.Batch], bodies: list[memoryview]) -> None:
        assert self._opened is not None
        message = wire.Publish(self.name, self._opened.epoch, self._sent, batches)
        rows = sum(b.rows for b in batches)
        size = sum(map(len, bodies))
        self._row_bytes = size / rows
        room = int(limits.SOURCE_WINDOW_BYTES_MAX / self._row_bytes)
        self.high = min(max(room, _QUEUE_ROWS_MIN), _QUEUE_ROWS_MAX)
        self._sent += rows
        self._unacked.append(_Sent(message, bodies, self._sent, size))
        self._unacked_bytes += size
        client.send(message, bodies)

    def _messages(self, items: list[Any]) -> Iterator[tuple[list[wire.Batch], list[memoryview]]]:
        """The items as messages, each of a bounded size.

        At an event that can't be sent the error is kept for the program, and it ends.
        """
        mixed = None if Batch in set(map(type, items)) else self._mixed(items)
        if mixed is not None:
            yield mixed
            return
        number = self._sent
        for cls, group in groupby(items, type):  # neighbours of one type together
            for item in group if cls is Batch else (list(group),):
                emitted, why = self._columns(item)
                rows = len(emitted.causes)
                try:
                    if rows:
                        packer = Packer(now_us())
                        packer.add(self._codecs[emitted.event], emitted, range(rows))
                        yield from zip(
                            *([[x] for x in xs] for xs in packer.bodies()[:2]), strict=True
                        )
                except UnfitError as error:
                    why = str(error)
                number += rows
                if why is not None:
                    self._halt(SchemaError(f"source {self.name}, event {number}: {why}"))
                    return

    def _mixed(self, items: list[Any]) -> tuple[list[wire.Batch], list[memoryview]] | None:
        """Events as one message; None if one does not fit, or if they are too large for that."""
        packer = Packer(now_us())
        for own in by_type(items).values():
            chosen = items if len(own) == len(items) else [items[i] for i in own]
            emitted, why = self._columns(chosen)
            if why is not None:
                return None
            try:
                packer.add(self._codecs[emitted.event], emitted, own)
            except UnfitError:
                return None
        batches, bodies, size = packer.bodies()
        if size > limits.SOURCE_WINDOW_BYTES_MAX or len(batches) > limits.BATCHES_PER_MESSAGE_MAX:
            return None
        return batches, bodies

    def _columns(self, item: Batch | list[Any]) -> tuple[EmittedBatch, str | None]:
        """The columns of all, or of those before one that does not fit, and why it does not."""
        name = self._classes.name_of(item.event if isinstance(item, Batch) else type(item[0]))
        assert name is not None, "it was let through"
        codec, why = self._codecs[name], None
        try:
            if isinstance(item, Batch):
                columns, rows = batch_columns(codec, item)[0], len(item)
            else:
                columns, rows = codec.columns(item), len(item)
        except MisfitError as error:
            rows, why, columns = 0, f"{name}: {error}", []
            if not isinstance(item, Batch):
                rows, text = misfit_row(codec, item)
                why, columns = f"{name}.{text}", codec.columns(item[:rows])
        nulls = pa.nulls(rows, pa.int64())
        return EmittedBatch(name, columns, nulls, nulls), why

    def _halt(self, error: FlowcError) -> None:
        """Send nothing more, and tell the program; what is on its way is still confirmed."""
        self._halted = True
        self.queue.clear()
        self._fail(error)
