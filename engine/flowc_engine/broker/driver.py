"""The broker's loop: ROUTER sockets, the clock, and what they tell a `Broker`.

There are two sockets at most: the local one, whose folder is the user's alone, and one over TCP,
where each message comes with the key of its sender. A peer is named by the socket's letter and the
id that the socket gave it.
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import zmq

from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.broker.broker import Broker
from flowc_engine.broker.listener import Received, SecureListener
from flowc_engine.bus.client import configure
from flowc_engine.core.effects import Body
from flowc_engine.journal.recovery import Recovered
from flowc_engine.keys import AllowList, KeyRing

_LOCAL: Final = b"l"
_REMOTE: Final = b"r"


class Clock:
    """ms since the epoch that never run backwards, whatever happens to the machine's clock."""

    def __init__(self) -> None:
        self._base_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """The time in ms."""
        return (self._base_ns + time.monotonic_ns()) // 1_000_000


class BrokerDriver:
    """Owns the sockets and the journal of one broker. `recovered` is the journal's end."""

    def __init__(self, plan: Plan, folder: Path, recovered: Recovered, endpoint: str) -> None:
        self.broker = Broker(plan, folder, recovered, Clock().now_ms, self._transmit)
        self._context = zmq.Context()
        self._local = self._context.socket(zmq.ROUTER)
        configure(self._local)
        self._local.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._local.setsockopt(zmq.PROBE_ROUTER, 1)  # who connects hears of us, and says hello
        self._local.bind(endpoint)
        self._remote: SecureListener | None = None
        self._allowed: AllowList | None = None
        self._look_at_s = 0.0
        self._poller = zmq.Poller()
        self._poller.register(self._local, zmq.POLLIN)
        self.stopping = False

    def listen(self, endpoint: str, ring: KeyRing) -> None:
        """Let those in over TCP whom the ring allows, from now on and as it changes.

        Raises `ListenError`, `KeysError`.
        """
        ring.entries()  # a list that can't be read is told at the start
        self._allowed = allowed = AllowList(ring)
        self._remote = SecureListener(
            self._context, endpoint, ring.broker(), lambda key: key in allowed.keys
        )
        self._follow_allowed()
        self._remote.prove(self._take_remote)
        self._poller.register(self._remote.socket, zmq.POLLIN)
        self._poller.register(self._remote.zap.socket, zmq.POLLIN)

    def run(self) -> None:
        """Serve until `stopping`.

        Raises `OSError` (a disk that fails or is full) and `JournalRotError`.
        """
        while not self.stopping:
            if self._poller.poll(self.broker.pause_ms()):
                self._receive()
                self._receive_remote()
            self._follow_allowed()
            self.broker.turn()

    def close(self) -> None:
        """Make all durable, and leave the proof that it was."""
        self.broker.close()
        self._local.close(linger=limits.CLOSE_LINGER_MS)
        if self._remote is not None:
            self._remote.close()
        self._context.term()

    def _receive(self) -> None:
        """Take what there is: up to a group commit's worth."""
        left = limits.GROUP_BYTES_MAX
        while left > 0:
            try:
                peer, *frames = self._local.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            left -= sum(map(len, frames)) + limits.FRAME_COST_BYTES
            self.broker.take(_LOCAL + peer, frames)

    def _receive_remote(self) -> None:
        """The same from elsewhere, and let newcomers in."""
        if self._remote is None:
            return
        self._remote.zap.serve()
        left = limits.GROUP_BYTES_MAX
        while left > 0 and (got := self._remote.receive()) is not None:
            left -= sum(map(len, got.frames)) + limits.FRAME_COST_BYTES
            self._take_remote(got)

    def _take_remote(self, got: Received) -> None:
        self.broker.take(_REMOTE + got.peer, got.frames, got.key)

    def _follow_allowed(self) -> None:
        """See within a tick whom `flowc keys` lets in, and whom no longer."""
        now = time.monotonic()
        if self._allowed is None or now < self._look_at_s:
            return
        self._look_at_s = now + limits.TICK_MS / 1000
        if self._allowed.refresh():
            if self._allowed.fault:
                print(f"keys: {self._allowed.fault}", file=sys.stderr, flush=True)
            self.broker.core.allow(self._allowed.keys)

    def _transmit(self, peer: bytes, frames: Sequence[Body]) -> bool:
        socket = self._local
        if peer[:1] == _REMOTE:
            assert self._remote is not None
            socket = self._remote.socket
        try:
            socket.send_multipart([peer[1:], *frames], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            return False
        return True
