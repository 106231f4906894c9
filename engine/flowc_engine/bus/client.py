"""A client of the broker: a DEALER socket that says hello, keeps its heartbeat, and speaks
`wire`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import zmq

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.bus.curve import Credentials, CurveError, Handshakes, secure_client

Body = bytes | memoryview


class Client:
    """One connection. It belongs to the thread and the process that made it.

    `receive` also keeps the session alive: it sends `Heartbeat` when due, and answers `Who` (a
    broker that was restarted) with `Hello`. Nothing that is sent is sure to have arrived:
    acknowledgements are the protocol's (`Published`, `Stepped`). Over TCP it needs a key, and asks
    for `Schemas` before each `Hello`. A broker that is not there, or does not let the key in, is
    tried again for ever.
    """

    def __init__(
        self,
        endpoint: str,
        hello: wire.Hello | wire.SchemasRequest,
        key: Credentials | None = None,
    ) -> None:
        """Raises `CurveError` for TCP without a key. Who only asks for the schemas need not say
        hello."""
        self._pid = os.getpid()
        self._endpoint = endpoint
        self._hello = [wire.encode(hello)]
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        configure(self._socket)
        self._socket.setsockopt(zmq.RECONNECT_IVL, limits.RECONNECT_MIN_MS)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, limits.RECONNECT_MAX_MS)
        self._handshakes: Handshakes | None = None
        try:
            secure_client(self._socket, endpoint, key)
        except CurveError:
            self.close()
            raise
        self.fault = ""
        """Over TCP: why the broker can't be spoken to now, as of the last heartbeat."""
        if key is not None:
            self._handshakes = Handshakes(self._socket)
            if isinstance(hello, wire.Hello):
                self._hello.insert(0, wire.encode(wire.SchemasRequest(hello.plan_hash)))
        self._socket.connect(endpoint)
        self._heartbeat = wire.encode(wire.Heartbeat())
        self._say_hello()
        self._heartbeat_at = time.monotonic() + limits.HEARTBEAT_MS / 1000

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """For a poller. Read with `receive` only."""
        return self._socket

    def send(self, message: wire.Message, bodies: Sequence[Body] = ()) -> None:
        """Queue a message. Raises `RuntimeError` after a fork: the child's sends would vanish."""
        if os.getpid() != self._pid:
            raise RuntimeError("a bus connection does not survive a fork; make a new one")
        if bodies:
            self._socket.send_multipart([wire.encode(message), *bodies], copy=True)
        else:
            self._socket.send(wire.encode(message))

    def receive(self, timeout_ms: int) -> tuple[wire.BrokerMessage, list[bytes]] | None:
        """The next message and its bodies, or None after `timeout_ms` (0: only what is there)."""
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            self._beat()
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                left_ms = int((deadline - time.monotonic()) * 1000)
                if timeout_ms <= 0 or left_ms < 0:
                    return None
                self._socket.poll(min(left_ms, limits.HEARTBEAT_MS))
                if left_ms == 0:
                    timeout_ms = 0  # one last look
                continue
            if frames == [b""]:  # a connection was made: perhaps to a broker that was restarted
                self._say_hello()
                continue
            message = wire.decode_broker(frames[0])
            if isinstance(message, wire.Who):
                self._say_hello()
                continue
            return message, frames[1:]

    def _beat(self) -> None:
        now = time.monotonic()
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + limits.HEARTBEAT_MS / 1000
            if self._handshakes is not None:
                self._look_at_handshakes(self._handshakes)
            self._socket.send(self._heartbeat)

    def _say_hello(self) -> None:
        for message in self._hello:
            self._socket.send(message)

    def _look_at_handshakes(self, handshakes: Handshakes) -> None:
        """After one that failed libzmq gives up; we don't: the key may be let in again."""
        link = handshakes.news()
        self.fault = handshakes.link.fault
        if link is not None and link.ended:
            self._socket.disconnect(self._endpoint)
            self._socket.connect(self._endpoint)
            self._say_hello()

    def leave(self) -> None:
        """Tell the broker that nothing more will come, and close; it may not be there to hear."""
        self._socket.send(wire.encode(wire.Bye()))
        self.close(limits.CLOSE_LINGER_MS)

    def close(self, linger_ms: int = 0) -> None:
        """Drop the connection, and what is still queued after so long."""
        if self._handshakes is not None:
            self._handshakes.close()
        self._socket.close(linger=linger_ms)
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def configure(socket: zmq.Socket[bytes]) -> None:
    """The options that every socket of ours has."""
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, 0)  # bounded by credits and windows, never by silent drops
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, limits.FRAME_BYTES_MAX)
    socket.setsockopt(zmq.HEARTBEAT_IVL, limits.ZMTP_HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, limits.ZMTP_HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, limits.HANDSHAKE_MS)
