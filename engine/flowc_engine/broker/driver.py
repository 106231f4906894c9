"""The broker's loop: take what peers say, let the core decide, write, sync once, tell."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import msgspec
import zmq

from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.broker.fetch import Fetcher
from flowc_engine.broker.verify import BodyVerifier
from flowc_engine.bus import wire
from flowc_engine.bus.client import configure
from flowc_engine.core import effects as fx
from flowc_engine.core.broker import BrokerCore
from flowc_engine.journal.recovery import Recovered
from flowc_engine.journal.state import DurableState
from flowc_engine.journal.writer import JournalWriter


class Clock:
    """ms since the epoch that never run backwards, whatever happens to the machine's clock."""

    def __init__(self) -> None:
        self._base_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """The time in ms."""
        return (self._base_ns + time.monotonic_ns()) // 1_000_000


class BrokerDriver:
    """Owns the socket and the journal of one broker. `recovered` is the journal's end."""

    def __init__(self, plan: Plan, folder: Path, recovered: Recovered, endpoint: str) -> None:
        self._clock = Clock()
        state = recovered.state
        own = DurableState()
        own.apply(state.snapshot(0), 0)  # the writer's copy: the core runs ahead of it
        self._journal = JournalWriter(folder, recovered.journal_id, own)
        if recovered.fd >= 0:
            self._journal.resume(recovered.fd, recovered.segment, recovered.position)
        else:
            self._journal.create()
        self._core = BrokerCore(plan, state, self._clock.now_ms())
        self._fetcher = Fetcher(folder, {s.name: frozenset(s.subscribes) for s in plan.services})
        self._verifier = BodyVerifier(plan)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        configure(self._socket)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.bind(endpoint)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._urgent = False
        self._lazy_since_ms: int | None = None
        self.stopping = False
        durable = self._journal.durable_at
        self._fetcher.start(durable)
        self._core.durable(durable, self._clock.now_ms())
        self._carry_out()

    def run(self) -> None:
        """Serve until `stopping`.

        Raises `OSError` (a disk that fails or is full) and `JournalRotError`.
        """
        tick_at = 0
        while not self.stopping:
            if self._poller.poll(self._pause_ms()):
                self._receive()
            now = self._clock.now_ms()
            if now >= tick_at:
                tick_at = now + limits.TICK_MS
                self._core.tick(now)
            self._carry_out()

    def _pause_ms(self) -> int:
        since = self._lazy_since_ms
        if since is None:
            return limits.TICK_MS
        return max(0, since + limits.LAZY_SYNC_MS - self._clock.now_ms())

    def close(self) -> None:
        """Make all durable, and leave the proof that it was."""
        self._urgent = True
        self._carry_out()
        self._core.mark(self._clock.now_ms())
        self._carry_out()
        self._journal.close()
        self._socket.close(linger=limits.CLOSE_LINGER_MS)
        self._context.term()

    def _receive(self) -> None:
        """Take what there is: up to a group commit's worth."""
        left = limits.GROUP_BYTES_MAX
        now = self._clock.now_ms()
        while left > 0:
            try:
                peer, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            left -= sum(map(len, frames)) + limits.FRAME_COST_BYTES
            self._take(peer, frames, now)

    def _take(self, peer: bytes, frames: list[bytes], now_ms: int) -> None:
        try:
            message = wire.decode_client(frames[0] if frames else b"")
        except msgspec.DecodeError as error:
            self._send(fx.Send(peer, wire.Refused("malformed", str(error)), []))
            return
        bodies = frames[1:]
        batches = message.batches if isinstance(message, wire.Publish | wire.Step) else []
        why = self._verifier.refuse(batches, bodies)
        if why is not None:
            self._send(fx.Send(peer, wire.Refused("body", why), []))
            return
        self._core.receive(peer, message, list(bodies), now_ms)

    def _carry_out(self) -> None:
        """Do what the core asks until it asks for nothing."""
        fetches: list[fx.Fetch] = []
        while True:
            for effect in self._core.take():
                match effect:
                    case fx.Send():
                        self._send(effect)
                    case fx.Append():
                        place = self._journal.append(
                            effect.entry, effect.bodies, record=effect.record,
                            first_offset=effect.first_offset, rows=effect.rows,
                        )  # fmt: skip
                        self._fetcher.appended(effect, *place)
                        self._note(effect)
                    case fx.Fetch():
                        fetches.append(effect)
            if self._sync_due():
                self._urgent, self._lazy_since_ms = False, None
                self._journal.sync()
                durable = self._journal.durable_at
                self._fetcher.durable(durable)
                self._core.journal_bytes = self._journal.total_bytes
                self._core.durable(durable, self._clock.now_ms())
            elif fetches:
                for fetch in fetches:
                    self._core.fetched(fetch, *self._fetcher.fetch(fetch))
                fetches = []
            else:
                return

    def _note(self, append: fx.Append) -> None:
        if not append.lazy:
            self._urgent = True
        elif self._lazy_since_ms is None:
            self._lazy_since_ms = self._clock.now_ms()

    def _sync_due(self) -> bool:
        """Whether somebody waits for what was appended, or it has waited long enough."""
        if self._urgent:
            return True
        since = self._lazy_since_ms
        return since is not None and self._clock.now_ms() - since >= limits.LAZY_SYNC_MS

    def _send(self, send: fx.Send) -> None:
        frames = [send.peer, wire.encode(send.message), *send.bodies]
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            self._core.lost(send.peer)
