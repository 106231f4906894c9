"""The ZAP handler: libzmq asks it about each connection, and it knows keys.

It is a socket in the broker's own poller, not a thread: a handler that died alone would leave
sockets that wait for it, or, without an enforced domain, that let everybody in. Its protocol is
ZeroMQ's RFC 27.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import zmq
from zmq.utils import z85

_ENDPOINT: Final = "inproc://zeromq.zap.01"
_VERSION: Final = b"1.0"
_CURVE: Final = b"CURVE"
_FRAMES: Final = 9  # peer, empty, version, request, domain, address, identity, mechanism, key


class ZapHandler:
    """Answers for all sockets of `context` whose domain is `domain`.

    `admits` is asked about a public key (Z85). Whoever is let in has its key as the `User-Id` of
    each of its messages.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], domain: bytes, admits: Callable[[str], bool]
    ) -> None:
        self._domain, self._admits = domain, admits
        self.socket = context.socket(zmq.ROUTER)
        """For a poller; read by `serve` only."""
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_ENDPOINT)
        self.denied = 0

    def serve(self) -> None:
        """Answer what was asked. Every question gets an answer, whatever goes wrong."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                key = self._judge(frames)
            except Exception:  # noqa: BLE001 - an answer that never comes would hang the socket
                key = ""
            self._answer(frames, key)

    def _judge(self, frames: list[bytes]) -> str:
        """The key that is let in, or ""."""
        if len(frames) != _FRAMES:
            return ""
        _, _, version, _, domain, _, _, mechanism, raw = frames
        if (version, domain, mechanism) != (_VERSION, self._domain, _CURVE):
            return ""
        key = z85.encode(raw).decode()
        return key if self._admits(key) else ""

    def _answer(self, frames: list[bytes], key: str) -> None:
        if not key:
            self.denied += 1
        envelope, request = frames[:2], frames[3] if len(frames) > 3 else b""
        code, text = (b"200", b"OK") if key else (b"400", b"this key is not let in")
        self.socket.send_multipart([*envelope, _VERSION, request, code, text, key.encode(), b""])

    def close(self) -> None:
        """Answer no more."""
        self.socket.close(linger=0)
