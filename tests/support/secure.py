"""A broker process that listens on TCP, its keys, and those who should not get in."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import zmq

from flowc_dsl.plan import Plan
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.bus.curve import Credentials, Pair
from flowc_engine.core.access import Principal
from flowc_engine.keys import KeyRing, read_key
from support.broker import BrokerProcess

PAY, SHIP, GEN = (
    Principal("service", "Pay"),
    Principal("service", "Ship"),
    Principal("source", "gen"),
)


def free_port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class SecureBroker(BrokerProcess):
    """A broker with a local and a TCP socket, and keys for Pay, Ship and gen."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        super().__init__(folder, plan)
        self.ring = KeyRing(folder / "keys", plan.system)
        self.ring.init([PAY, SHIP, GEN])
        self.port = free_port()
        self.tcp = f"tcp://127.0.0.1:{self.port}"

    def popen(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-I", "-m", "flowc_engine.broker", "--tcp", self.tcp]
        options = ["--state", self.folder, "--plan", self.folder / "plan.json"]
        return subprocess.Popen(
            [*command, *options, "--listen", self.endpoint],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def key(self, who: Principal) -> Credentials:
        found = read_key(self.ring.file_of(who))
        return Credentials(Pair(found.public, found.secret), self.ring.broker().public)

    def stranger(self) -> Credentials:
        """A key that nobody let in."""
        return Credentials(Pair.make(), self.ring.broker().public)

    def remote(self, who: Principal, key: Credentials | None = None, **changes: object) -> Client:
        """A client over TCP: says that it is `who`, and has the key of `who`, or another."""
        hello = wire.Hello(who.role, who.name, 0, uuid.uuid4().hex, self.plan.hash, os.getpid())
        hello = msgspec.structs.replace(hello, **changes)
        return Client(self.tcp, hello, key or self.key(who))

    def rss_mib(self) -> float:
        """Memory of the broker's process."""
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def connect_raw(port: int) -> socket.socket:
    """A TCP connection to a port of this machine."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    raw.settimeout(10)
    return raw


def greeting(mechanism: bytes) -> bytes:
    """The first 64 bytes of ZMTP 3.0."""
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32)


def announcing(size: int, *, command: bool) -> bytes:
    """The head of a frame that says it has this many bytes."""
    return bytes([0x06 if command else 0x02]) + struct.pack(">Q", size)


def was_closed(raw: socket.socket) -> bool:
    """Whether the other side hangs up, after whatever it says."""
    end = time.monotonic() + 20
    try:
        while time.monotonic() < end:
            if not raw.recv(65_536):
                return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return False


@contextmanager
def dealer(endpoint: str, **options: object) -> Iterator[zmq.Socket[bytes]]:
    """A DEALER with these options, and none of ours."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        for name, value in options.items():
            setattr(socket, name, value)
        socket.connect(endpoint)
        yield socket
