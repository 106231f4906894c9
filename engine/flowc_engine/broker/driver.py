"""The broker's loop: a ROUTER socket, the clock, and what they tell a `Broker`."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from pathlib import Path

import zmq

from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.broker.broker import Broker
from flowc_engine.bus.client import configure
from flowc_engine.core.effects import Body
from flowc_engine.journal.recovery import Recovered


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
        self._broker = Broker(plan, folder, recovered, Clock().now_ms, self._transmit)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        configure(self._socket)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.bind(endpoint)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self.stopping = False

    def run(self) -> None:
        """Serve until `stopping`.

        Raises `OSError` (a disk that fails or is full) and `JournalRotError`.
        """
        while not self.stopping:
            if self._poller.poll(self._broker.pause_ms()):
                self._receive()
            self._broker.turn()

    def close(self) -> None:
        """Make all durable, and leave the proof that it was."""
        self._broker.close()
        self._socket.close(linger=limits.CLOSE_LINGER_MS)
        self._context.term()

    def _receive(self) -> None:
        """Take what there is: up to a group commit's worth."""
        left = limits.GROUP_BYTES_MAX
        while left > 0:
            try:
                peer, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            left -= sum(map(len, frames)) + limits.FRAME_COST_BYTES
            self._broker.take(peer, frames)

    def _transmit(self, peer: bytes, frames: Sequence[Body]) -> bool:
        try:
            self._socket.send_multipart([peer, *frames], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            return False
        return True
