"""The broker's TCP socket: CURVE, with a ZAP handler of its own, and the proof that both work.

Before it serves, it knocks at its own door: a fresh unknown key and a peer without any must not get
a message in, and a key that is let in must. libzmq lets everybody in where its options are not just
right, so a broker that can't show that strangers stay out does not run.
"""

from __future__ import annotations

import errno
import secrets
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import zmq

from flowc_engine import limits
from flowc_engine.bus.client import configure
from flowc_engine.bus.curve import (
    DOMAIN,
    Credentials,
    CurveError,
    Handshakes,
    Pair,
    secure_client,
    secure_server,
)
from flowc_engine.bus.zap import ZapHandler

_ANY: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - to connect to, not to bind
_KNOWN: Final = "a known key"
_POLL_MS: Final = 20


class ListenError(Exception):
    """The endpoint can't be listened on, or is not safe; the text says why."""


class Received(NamedTuple):
    """A message: who sent it, as the socket names it and as its key says, and its frames."""

    peer: bytes
    key: str
    frames: list[bytes]


class SecureListener:
    """A ROUTER at `endpoint` that has messages only of those whose key `admits` knows."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        pair: Pair,
        admits: Callable[[str], bool],
    ) -> None:
        """Raises `ListenError`."""
        self._pair = pair
        self._tester = ""  # the public key of the test at the start
        self.zap = ZapHandler(context, DOMAIN, lambda key: key == self._tester or admits(key))
        self.socket = context.socket(zmq.ROUTER)
        configure(self.socket)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.PROBE_ROUTER, 1)
        self.socket.setsockopt(zmq.IPV6, int("[" in endpoint))
        try:
            secure_server(self.socket, pair)
            self.socket.bind(endpoint)
        except (CurveError, zmq.ZMQError) as error:
            self.close()
            raise ListenError(f"can't listen on {endpoint}: {_bind_fault(error)}") from None
        bound = self.socket.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(bound, bytes)
        self.endpoint = bound.rstrip(b"\0").decode()

    def receive(self) -> Received | None:
        """The next message, if there is one."""
        try:
            peer, *frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return Received(peer.bytes, _key_of(peer), [frame.bytes for frame in frames])

    def close(self) -> None:
        """Stop listening; what is queued has a moment to go."""
        self.socket.close(linger=limits.CLOSE_LINGER_MS)
        self.zap.close()

    # ---- the test

    def prove(self, take: Callable[[Received], None]) -> None:
        """Raises `ListenError` unless strangers are seen to be kept out, and a known key to get in.

        Messages of others that come meanwhile go to `take`.
        """
        known = Pair.make()
        self._tester = known.public
        context = zmq.Context()
        try:
            own = {_KNOWN: known, "an unknown key": Pair.make(), "no key": None}
            address, broker = self._own_address(), self._pair.public
            knocks = {who: _Knock(context, address, pair, broker) for who, pair in own.items()}
            try:
                self._watch(knocks, take)
            finally:
                for knock in knocks.values():
                    knock.close()
        finally:
            self._tester = ""
            context.term()

    def _watch(self, knocks: dict[str, _Knock], take: Callable[[Received], None]) -> None:
        words = {knock.word: who for who, knock in knocks.items()}
        waiting = set(knocks)
        end = time.monotonic() + limits.SELF_TEST_MS_MAX / 1000
        poller = zmq.Poller()
        for socket in (self.socket, self.zap.socket, *(k.monitor for k in knocks.values())):
            poller.register(socket, zmq.POLLIN)
        while waiting:
            if time.monotonic() > end:
                unseen = " and ".join(sorted(waiting))
                raise ListenError(f"{self.endpoint}: not seen what becomes of {unseen}; not run")
            poller.poll(_POLL_MS)
            self.zap.serve()
            while (got := self.receive()) is not None:
                who = words.get(got.frames[0]) if len(got.frames) == 1 else None
                if who is None:
                    take(got)
                elif who != _KNOWN:
                    raise ListenError(f"{self.endpoint} is open: {who} got in; not run")
                elif got.key != self._tester:
                    raise ListenError(f"{self.endpoint}: whose key it is is not told; not run")
                else:
                    waiting.discard(who)
            waiting -= {who for who in waiting - {_KNOWN} if knocks[who].is_refused()}

    def _own_address(self) -> str:
        scheme, _, rest = self.endpoint.partition("://")
        host, _, port = rest.rpartition(":")
        return f"{scheme}://{_ANY.get(host, host)}:{port}"


class _Knock:
    """A client that tries to get one word in."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, own: Pair | None, broker: str
    ) -> None:
        self.word = secrets.token_bytes(16)
        self._socket = context.socket(zmq.DEALER)
        configure(self._socket)
        if own is not None:
            secure_client(self._socket, endpoint, Credentials(own, broker))
        self._handshakes = Handshakes(self._socket)
        self.monitor = self._handshakes.monitor
        self._socket.connect(endpoint)
        self._socket.send(self.word)

    def is_refused(self) -> bool:
        self._handshakes.news()
        return self._handshakes.link.ended

    def close(self) -> None:
        self._handshakes.close()
        self._socket.close(linger=0)


def _key_of(frame: zmq.Frame) -> str:
    """The key that libzmq has seen proven on the connection; "?" if there was no proof."""
    try:
        key = frame.get("User-Id")
    except zmq.ZMQError:
        return "?"
    return key if isinstance(key, str) and key else "?"


def _bind_fault(error: CurveError | zmq.ZMQError) -> str:
    if isinstance(error, CurveError):
        return str(error)
    if error.errno == errno.EADDRINUSE:
        return "another process has this port"
    if error.errno in (errno.ENODEV, errno.EADDRNOTAVAIL):
        return "this machine has no such address; name one of its own (`ip address` shows them)"
    return error.strerror or str(error)
