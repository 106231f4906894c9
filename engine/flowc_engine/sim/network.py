"""Links between the broker and its clients, as ZeroMQ has them over TCP.

A link is FIFO each way. When it breaks, what is under way is lost, or arrives late; to the broker,
even behind what the client says on its next link. The client does not notice; what it says
meanwhile waits for the next link, and there the broker does not know it. The broker notices after a
while, and what it says until then is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

Frames = list[bytes]


class Endpoint(Protocol):
    """A client, as its link sees it."""

    name: str

    def arrived(self, frames: Frames) -> None:
        """The broker said something."""


class Surroundings(Protocol):
    """What a network needs of its world."""

    now_ms: float

    def at(self, time_ms: float, what: Callable[[], None]) -> None:
        """Call `what` then, behind what was to be called then."""

    def latency_ms(self) -> float:
        """Of the next message."""

    def to_broker(self, peer: bytes, frames: Frames) -> None:
        """A message has reached the broker."""


class Link:
    """One connection; the broker knows it as `peer`."""

    def __init__(self, peer: bytes, client: Endpoint) -> None:
        self.peer, self.client = peer, client
        self.cut = False
        self.noticed_ms = 0.0  # when the broker has noticed that it is cut
        self.held_until = [0.0, 0.0]  # a partition: to the broker, to the client
        self.last_due = [0.0, 0.0]
        self.stragglers = False  # what was under way to the broker still arrives
        self.heard = True  # and what was under way to the client


class Network:
    """All links. `lose` says of each message of the handshake whether it gets lost: those are
    repeated by the protocol. `duplicate` says of each of a client's whether it comes twice."""

    def __init__(self, world: Surroundings) -> None:
        self._world = world
        self._links: dict[bytes, Link] = {}
        self._of: dict[str, Link] = {}
        self._waiting: dict[str, deque[Frames]] = {}
        self._last: dict[str, Link] = {}
        self._made = 0
        self.down = False  # the broker does not listen

    def connect(self, client: Endpoint) -> None:
        """A client has (again) a link, if there is somebody to connect to."""
        if client.name in self._of or self.down:
            return
        self._made += 1
        link = Link(b"p%d" % self._made, client)
        if client.name in self._last:  # what is late is behind nothing of the next link
            self._last[client.name].heard = False
        self._last[client.name] = link
        self._links[link.peer] = self._of[client.name] = link
        for frames in self._waiting.pop(client.name, ()):
            self._to_broker(link, frames)

    def link(self, name: str) -> Link | None:
        """The link that a client has now."""
        return self._of.get(name)

    def send(self, client: Endpoint, frames: Frames) -> None:
        """A client says something; without a link it waits."""
        link = self._of.get(client.name)
        if link is None:
            self._waiting.setdefault(client.name, deque()).append(frames)
        else:
            self._to_broker(link, frames)

    def transmit(self, peer: bytes, frames: Sequence[bytes | memoryview]) -> bool:
        """The broker says something; False if the peer is known to be gone."""
        link = self._links.get(peer)
        if link is None or (link.cut and self._world.now_ms >= link.noticed_ms):
            self._links.pop(peer, None)
            return False
        if not link.cut:
            whole = [bytes(f) for f in frames]
            self._schedule(link, 1, lambda: self._arrive(link, whole))
        return True

    def cut(self, client: Endpoint, noticed_in_ms: float, *, stragglers: bool) -> bool:
        """The client's link breaks; whether it had one."""
        link = self._of.pop(client.name, None)
        if link is None:
            return False
        link.cut, link.noticed_ms = True, self._world.now_ms + noticed_in_ms
        link.stragglers = link.heard = stragglers
        return True

    def gone(self, client: Endpoint, *, stragglers: bool) -> None:
        """The client's process is dead."""
        self._waiting.pop(client.name, None)
        self.cut(client, 0.0, stragglers=stragglers)

    def broker_gone(self, *, heard: bool) -> None:
        """The broker's process is dead: all links are. `heard`: what it had said still arrives."""
        self.down = True
        for link in self._of.values():
            link.cut, link.heard = True, heard
        self._of.clear()
        self._links.clear()

    def hold(self, client: Endpoint, ways: Sequence[int], for_ms: float) -> None:
        """A partition: what is said from now on arrives after it (0: to the broker, 1: to the
        client)."""
        link = self._of.get(client.name)
        for way in ways if link is not None else ():
            assert link is not None
            link.held_until[way] = self._world.now_ms + for_ms

    def heal(self) -> None:
        """No link is held any longer."""
        for link in self._of.values():
            link.held_until = [0.0, 0.0]

    def _to_broker(self, link: Link, frames: Frames) -> None:
        def arrive() -> None:
            if link.peer in self._links and (not link.cut or link.stragglers):
                self._world.to_broker(link.peer, frames)

        self._schedule(link, 0, arrive)

    def _arrive(self, link: Link, frames: Frames) -> None:
        if not link.cut or link.heard:
            link.client.arrived(frames)

    def _schedule(self, link: Link, way: int, what: Callable[[], None]) -> None:
        now = self._world.now_ms
        due = max(now + self._world.latency_ms(), link.held_until[way], link.last_due[way])
        link.last_due[way] = due
        self._world.at(due, what)  # sums of times would differ in their last digits, and overtake
