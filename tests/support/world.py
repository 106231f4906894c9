"""A world for the broker's core: a virtual disk, clients that follow the protocol, and one seed
that decides all.

The real core and the real journal fold run here; sockets, files and processes are lists. A broker
crash loses what was not synced; a host crash loses all that the host knew.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import msgspec

from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.core import effects as fx
from flowc_engine.core.broker import BrokerCore
from flowc_engine.journal import record as rec
from flowc_engine.journal.state import DurableState

Event = tuple[str, int]  # type, number


def pack(numbers: list[int]) -> bytes:
    return ",".join(map(str, numbers)).encode()


def unpack(body: bytes) -> list[int]:
    return [int(n) for n in body.split(b",")]


@dataclass
class Disk:
    """The journal as a list; the first `durable` entries survive a crash."""

    entries: list[tuple[rec.AnyEntry, int, list[bytes]]] = field(default_factory=list)
    durable: int = 0
    rows: int = 0  # of all entries

    def append(self, entry: rec.AnyEntry, rows: int, bodies: list[bytes]) -> None:
        self.entries.append((entry, rows, bodies))
        self.rows += rows

    def crash(self) -> None:
        del self.entries[self.durable :]
        self.rows = sum(rows for _, rows, _ in self.entries)

    def state(self) -> DurableState:
        state = DurableState()
        for entry, rows, _ in self.entries:
            state.apply(entry, rows)
        return state

    def events(self) -> list[tuple[str, str, int]]:
        """(emitter, type, number) by offset."""
        found = []
        for entry, _, bodies in self.entries:
            who = getattr(entry, "source", None) or getattr(entry, "service", "")
            for batch, body in zip(entry.batches, bodies, strict=True):
                found += [(who, batch.event, n) for n in unpack(body)]
        return found


@dataclass
class Host:
    """A service process that emits `(out, n)` for each `n`; numbers divisible by `bad_every` fail
    first."""

    plan: Plan
    service: str
    slot: int
    incarnation: str
    bad_every: int = 0
    epoch: int = 0
    position: int = -1
    unconfirmed: list[tuple[wire.Step, list[bytes]]] = field(default_factory=list)
    deferred: dict[int, int] = field(default_factory=dict)  # offset -> number
    seen: list[int] = field(default_factory=list)  # its memory
    dead: bool = False
    resumed: bool = False
    replay_to: int = 0
    confirmed: int = 0
    number: int = 0  # of its next step

    def hello(self) -> wire.Hello:
        return wire.Hello("service", self.service, self.slot, self.incarnation, self.plan.hash, 1)

    def take(self, message: wire.BrokerMessage, bodies: list[bytes]) -> list[fx.Send]:
        match message:
            case wire.Who():
                return [self._say(self.hello())]
            case wire.Fenced():
                self.dead = True
            case wire.Assign():
                return self._assigned(message)
            case wire.Deliver() if message.epoch == self.epoch:
                return self._delivered(message, bodies)
            case wire.Stepped() if message.epoch == self.epoch:
                self.confirmed = max(self.confirmed, message.cursor)
                self.unconfirmed = [u for u in self.unconfirmed if u[0].after > message.cursor]
        return []

    def _say(self, message: wire.Message, bodies: list[bytes] | None = None) -> fx.Send:
        return fx.Send(b"", message, list(bodies or []))

    def _assigned(self, assign: wire.Assign) -> list[fx.Send]:
        if assign.epoch == self.epoch and self.resumed:
            return [
                self._say(wire.Resume(self.service, self.slot, self.epoch, True, self.position))
            ]
        assert assign.cursor >= self.confirmed, "confirmed, and lost"
        self.epoch, self.resumed = assign.epoch, True
        fresh = self.position < 0
        resume = wire.Resume(self.service, self.slot, self.epoch, True, self.position)
        out = [self._say(resume)]
        kept = [u for u in self.unconfirmed if u[0].number >= assign.number]
        self.unconfirmed = []
        for step, bodies in kept:
            again = msgspec.structs.replace(step, epoch=self.epoch)
            self.unconfirmed.append((again, bodies))
            out.append(self._say(again, bodies))
        if fresh:
            self.number = assign.number
            self.seen, self.deferred, self.unconfirmed = [], {}, []
            self.replay_to = assign.cursor
            self.position = 0 if assign.cursor == 0 else -1
        return out

    def _delivered(self, message: wire.Deliver, bodies: list[bytes]) -> list[fx.Send]:
        rows = [
            (batch.first + i, n)
            for batch, body in zip(message.batches, bodies, strict=True)
            for i, n in enumerate(unpack(body))
        ]
        if message.mode == "deferred":
            mine = {o for step, _ in self.unconfirmed for o in step.resolved}
            new = [(o, n) for o, n in rows if o in message.offsets and o not in mine]
            self.deferred.update(new)
            return []
        rows = [r for r in rows if message.begin <= r[0] < message.end]
        if message.mode == "replay":
            self.seen += [n for _, n in rows]
            if message.end == self.replay_to:
                self.position = message.end
            return [self._say(wire.Replayed(self.service, self.slot, self.epoch, message.end))]
        failing = {o for o, n in rows if self.bad_every and n % self.bad_every == 0}
        good = [n for o, n in rows if o not in failing]
        self.deferred.update({o: n for o, n in rows if o in failing})
        self.seen += good
        self.position = message.end
        return [self._step(message.begin, message.end, good, sorted(failing), [])]

    def retry(self) -> list[fx.Send]:
        """Handle what was deferred, for good."""
        if not self.resumed or not self.deferred:
            return []
        offset, number = self.deferred.popitem()
        self.seen.append(number)
        return [self._step(self.position, self.position, [number], [], [offset])]

    def _step(
        self, before: int, after: int, numbers: list[int], deferred: list[int], resolved: list[int]
    ) -> fx.Send:
        emits = self.plan.service(self.service).emits
        batches = [wire.Batch(emits[0], len(numbers))] if emits and numbers else []
        step = wire.Step(
            self.service, self.slot, self.epoch, before, after, batches, [], deferred, resolved,
            number=self.number,
        )  # fmt: skip
        self.number += 1
        bodies = [pack(numbers)] if batches else []
        self.unconfirmed.append((step, bodies))
        return self._say(step, bodies)


@dataclass
class Source:
    """Publishes 0, 1, 2, … up to `total`, and says so."""

    plan: Plan
    name: str
    event: str
    total: int
    epoch: int = -1
    sent: int = 0
    acked: int = 0
    done: bool = False

    def hello(self) -> wire.Hello:
        return wire.Hello("source", self.name, 0, "i", self.plan.hash, 1)

    def take(self, message: wire.BrokerMessage) -> list[fx.Send]:
        match message:
            case wire.Who():
                return [fx.Send(b"", self.hello(), [])]
            case wire.Opened():
                assert message.seq >= self.acked, "acknowledged, and lost"
                self.epoch, self.sent, self.done = message.epoch, message.seq, message.done
                self.acked = message.seq
            case wire.Published() if message.epoch == self.epoch:
                self.acked = max(self.acked, message.seq)
        return []

    def doubt(self) -> None:
        """An acknowledgement is late: begin again behind the last one."""
        self.sent = self.acked

    def publish(self, rows: int) -> list[fx.Send]:
        if self.epoch < 0 or self.done:
            return []
        if self.sent >= self.total:
            return [fx.Send(b"", wire.SourceDone(self.name, self.epoch, self.sent), [])]
        count = min(rows, self.total - self.sent)
        numbers = list(range(self.sent, self.sent + count))
        batches = [wire.Batch(self.event, count)]
        message = wire.Publish(self.name, self.epoch, self.sent, batches)
        self.sent += count
        return [fx.Send(b"", message, [pack(numbers)])]


class World:
    """All of it, on a virtual clock. `run` ends when everything is consumed, or raises."""

    def __init__(
        self, plan: Plan, seed: int, total: int, *, faults: bool, bad_every: int = 0
    ) -> None:
        self.plan, self.random, self.faults = plan, random.Random(seed), faults
        self.bad_every = bad_every
        self.disk = Disk()
        self.now_ms = 1_000_000
        self.source = Source(plan, "gen", "Placed", total)
        self.hosts: dict[tuple[str, int], Host] = {}
        self.wires: dict[bytes, tuple[deque[fx.Send], deque[fx.Send]]] = {}  # to broker, to client
        self.peers: dict[bytes, Host | Source] = {}
        self._names = 0
        self.counts = {"broker": 0, "host": 0, "link": 0}
        self._start_broker()
        self._connect(self.source)
        for service in plan.services:
            for slot in range(service.replicas):
                self._spawn(service.name, slot)

    # ---- processes

    def _start_broker(self) -> None:
        self.core = BrokerCore(self.plan, self.disk.state(), self.now_ms)
        self.synced = True
        self.fetches: list[fx.Fetch] = []

    def crash_broker(self) -> None:
        self.counts["broker"] += 1
        self.disk.crash()
        for inbound, outbound in self.wires.values():
            inbound.clear()
            outbound.clear()
        self._start_broker()

    def _connect(self, client: Host | Source) -> None:
        self._names += 1
        peer = b"p%d" % self._names
        self.peers[peer] = client
        self.wires[peer] = (deque([fx.Send(b"", client.hello(), [])]), deque())

    def _spawn(self, service: str, slot: int) -> None:
        host = Host(self.plan, service, slot, f"i{self._names}", self.bad_every)
        self.hosts[service, slot] = host
        self._connect(host)

    def crash_host(self, key: tuple[str, int]) -> None:
        self.counts["host"] += 1
        old = self.hosts[key]
        self._drop(old, keep_inbound=self.random.random() < 0.5)
        self._spawn(*key)

    def _drop(self, client: Host | Source, *, keep_inbound: bool) -> None:
        for peer in [p for p, c in self.peers.items() if c is client]:
            if not keep_inbound:  # else: what it had sent still arrives, after its death
                del self.wires[peer], self.peers[peer]

    def cut_link(self, client: Host | Source) -> None:
        """The connection breaks; both sides live on, and what was under way is lost."""
        self.counts["link"] += 1
        for peer in [p for p, c in self.peers.items() if c is client]:
            del self.wires[peer], self.peers[peer]
        self._connect(client)

    # ---- time

    def run(self, steps: int = 20_000) -> None:
        for step in range(steps):
            self.now_ms += self.random.randrange(1, 20)
            if self.faults and step < steps // 4:
                self._fault()
            self._move()
            if step % 50 == 0 and step > steps // 4 * self.faults and self._finished():
                return
        raise AssertionError(f"stalled: {self.core.status(self.now_ms)}")

    def _finished(self) -> bool:
        current = all(
            self.core.state.slots[key].epoch == host.epoch and host.resumed and not host.dead
            for key, host in self.hosts.items()
        )
        return self.source.done and current and self.core.status(self.now_ms).idle

    def _fault(self) -> None:
        roll = self.random.random()
        if roll < 0.002:
            self.crash_broker()
        elif roll < 0.006:
            self.crash_host(self.random.choice(sorted(self.hosts)))
        elif roll < 0.009:
            self.cut_link(self.random.choice([*self.hosts.values(), self.source]))

    def _move(self) -> None:
        self._client_turn()
        peer = self.random.choice(sorted(self.wires))
        inbound, outbound = self.wires[peer]
        for _ in range(self.random.randrange(4)):
            if inbound:
                send = inbound.popleft()
                if isinstance(send.message, wire.Resume) and self._loses():
                    continue
                self.core.receive(peer, send.message, send.bodies, self.now_ms)
                self._effects()
        for _ in range(self.random.randrange(4)):
            if outbound and self._lives(peer):
                send = outbound.popleft()
                if isinstance(send.message, wire.Assign) and self._loses():
                    continue
                client = self.peers[peer]
                if isinstance(client, Source):
                    inbound.extend(client.take(send.message))
                else:
                    inbound.extend(client.take(send.message, [bytes(b) for b in send.bodies]))
        if self.random.random() < 0.3:
            self._sync()
        if self.random.random() < 0.2:
            self.core.tick(self.now_ms)
            self._effects()

    def _loses(self) -> bool:
        """The handshake's messages are repeated until they are answered, so they may get lost."""
        return self.faults and self.random.random() < 0.1

    def _lives(self, peer: bytes) -> bool:
        client = self.peers[peer]
        return isinstance(client, Source) or self.hosts[client.service, client.slot] is client

    def _client_turn(self) -> None:
        for peer in sorted(self.wires):
            client = self.peers[peer]
            if not self._lives(peer):
                continue
            if isinstance(client, Source):
                if self.faults and self.random.random() < 0.02:
                    client.doubt()
                if client.sent - client.acked < 64 and self.random.random() < 0.3:
                    self.wires[peer][0].extend(client.publish(self.random.randrange(1, 9)))
            elif client.dead:
                self._drop(client, keep_inbound=False)
                self._spawn(client.service, client.slot)
            elif self.random.random() < 0.1:
                self.wires[peer][0].extend(client.retry())
            if self.random.random() < 0.02 and peer in self.wires:
                self.wires[peer][0].append(fx.Send(b"", wire.Heartbeat(), []))

    # ---- the driver's part

    def _effects(self) -> None:
        for effect in self.core.take():
            match effect:
                case fx.Send() if effect.peer in self.wires:
                    self.wires[effect.peer][1].append(effect)
                case fx.Send():
                    self.core.lost(effect.peer)
                case fx.Append():
                    assert effect.first_offset == self.disk.rows
                    self.disk.append(effect.entry, effect.rows, [bytes(b) for b in effect.bodies])
                case fx.Fetch():
                    self.fetches.append(effect)
        fetches, self.fetches = self.fetches, []
        for fetch in fetches:
            self.core.fetched(fetch, *self._fetch(fetch))
        if fetches:
            self._effects()

    def _sync(self) -> None:
        self.disk.durable = len(self.disk.entries)
        at = wire.Durable(0, 0, self.disk.durable, self.disk.rows)
        self.core.durable(at, self.now_ms)
        self._effects()

    def _fetch(self, fetch: fx.Fetch) -> tuple[int, list[wire.Delivered], list[bytes]]:
        wanted = frozenset(self.plan.service(fetch.key[0]).subscribes)
        batches, bodies, first, end = [], [], 0, fetch.begin
        for entry, rows, own in self.disk.entries[: self.disk.durable]:
            at = first
            for batch, body in zip(entry.batches, own, strict=True):
                inside = at < fetch.limit and at + batch.rows > fetch.begin
                if fetch.at:
                    inside = any(at <= o < at + batch.rows for o in fetch.at)
                if inside and batch.event in wanted:
                    batches.append(wire.Delivered(batch.event, batch.rows, at, ""))
                    bodies.append(body)
                at += batch.rows
            first += rows
            end = max(end, min(first, fetch.limit))
            if len(batches) >= 4 and not fetch.at:
                break
        return end, batches, bodies


assert limits.ASSIGN_REPEAT_MS < limits.HEARTBEAT_LOST_MS
