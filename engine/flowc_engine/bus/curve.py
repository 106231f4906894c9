"""CURVE on sockets: who may be spoken to over TCP is decided by keys.

Keys are 40 characters of Z85, as `zmq.curve_keypair` gives them. Over `ipc://` there are none: the
folder of the socket is the user's alone.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import zmq

from flowc_engine import limits

DOMAIN: Final = b"flow"
TCP: Final = "tcp://"
_FAILED: Final = {
    zmq.Event.HANDSHAKE_FAILED_AUTH: "the broker does not let this key in",
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: "the broker's key is another one, or it is no broker",
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: "what answers there is no broker of flowc with keys",
}


class CurveError(Exception):
    """An endpoint that can't be used like this; the text says what to do."""


class Pair(NamedTuple):
    """A key pair."""

    public: str
    secret: str

    @staticmethod
    def make() -> Pair:
        """A new one. Raises `CurveError` where libzmq has no CURVE."""
        require_curve()
        public, secret = zmq.curve_keypair()
        return Pair(public.decode(), secret.decode())

    def __repr__(self) -> str:
        return f"Pair({self.public!r}, ...)"  # a secret is in no traceback


class Credentials(NamedTuple):
    """What a client needs: its own pair, and the broker's public key."""

    own: Pair
    broker: str


def require_curve() -> None:
    """Raises `CurveError` where libzmq was built without CURVE."""
    if not zmq.has("curve"):
        raise CurveError(
            f"libzmq {zmq.zmq_version()} was built without CURVE, so there is no safe TCP; "
            "`pip install pyzmq` brings one that has it"
        )


def secure_server(socket: zmq.Socket[bytes], pair: Pair) -> None:
    """Let in only who a ZAP handler lets in, whether there is one or not. Before `bind`.

    Without the domain, libzmq takes any key when no handler answers.
    """
    require_curve()
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, pair.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode())
    socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def secure_client(socket: zmq.Socket[bytes], endpoint: str, key: Credentials | None) -> None:
    """Speak to that broker only, and as the owner of the key. Before `connect`.

    Raises `CurveError` for TCP without a key.
    """
    if key is None:
        if endpoint.startswith(TCP):
            raise CurveError(
                f"{endpoint}: TCP needs a key; `flowc keys export FILE NAME` on the broker's "
                "machine writes one"
            )
        return
    require_curve()
    socket.setsockopt(zmq.CURVE_SERVERKEY, key.broker.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, key.own.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, key.own.secret.encode())
    socket.setsockopt(zmq.CONNECT_TIMEOUT, limits.CONNECT_MS)
    socket.setsockopt(zmq.IPV6, int("[" in endpoint))


class Link(NamedTuple):
    """How a connection stands. `fault`: why it does not, "" while it does. `ended`: libzmq has
    given it up, and does not try again."""

    fault: str
    ended: bool = False


class Handshakes:
    """Watches a client's connection."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self.monitor: zmq.Socket[bytes] = socket.get_monitor_socket(
            zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED | sum(_FAILED)
        )
        """For a poller."""
        self.link = Link("no answer yet")

    def news(self) -> Link | None:
        """How it stands now, None if nothing has happened since it was last asked."""
        changed = False
        while self.monitor.poll(0, zmq.POLLIN):
            changed = True
            # By hand: `zmq.utils.monitor` imports asyncio, in every process that has a client.
            event = zmq.Event(*struct.unpack_from("=H", self.monitor.recv_multipart()[0]))
            if event in _FAILED:
                self.link = Link(_FAILED[event], ended=True)
            elif event == zmq.Event.HANDSHAKE_SUCCEEDED:
                self.link = Link("")
            elif not self.link.ended:
                self.link = Link("the connection broke")
        return self.link if changed else None

    def close(self) -> None:
        """Watch no more."""
        self._socket.disable_monitor()
        self.monitor.close(linger=0)
