"""Services on a virtual clock: the code that ships on both sides of the wire, with user handlers
that fail, interleave types and keep a memory. One seed decides all.

Real are the broker's core, its verifier, the lookup of a fetch; workers, codecs, calls and bodies.

What is virtual: the disk, the links, the clock, and how long a handler takes.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from flowc.packing import EmittedBatch, Packer, by_type
from flowc.rows import offsets_of
from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.broker.fetch import Found, _collect, _Record, collect_at, fit, record_of
from flowc_engine.broker.verify import BodyVerifier
from flowc_engine.bus import wire
from flowc_engine.core import effects as fx
from flowc_engine.core.broker import BrokerCore
from flowc_engine.core.layout import slots_of
from flowc_engine.journal import record as rec
from flowc_engine.journal.state import DurableState
from support.fates import (
    CODECS,
    PLANS,
    STORED,
    fate,
    hash_of,
    number,
)
from support.processes import Message, Process, packed
from support.stored import DiedError

KEYS = 9
Link = tuple[deque[Message], deque[Message]]  # to the broker, to the client


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


@dataclass
class Feed:
    """A source of `total` events of two types that interleave."""

    world: ServiceWorld
    total: int
    plan: Plan
    dead = False
    epoch: int = -1
    sent: int = 0
    acked: int = 0
    done: bool = False
    outbound: list[Message] = field(default_factory=list)
    unacked: deque[tuple[wire.Publish, list[memoryview], int]] = field(default_factory=deque)

    def hello(self) -> wire.Hello:
        return wire.Hello("source", "feed", 0, "i", hash_of(self.plan), 1)

    def take(self, message: wire.BrokerMessage, _: list[bytes]) -> None:
        match message:
            case wire.Who():
                self.outbound.append(packed(self.hello()))
            case wire.Opened():
                assert message.seq >= self.acked, "acknowledged, and lost"
                self.epoch, self.done = message.epoch, message.done
                self._acknowledged(message.seq)
                self._send_again()
            case wire.Published() if message.epoch == self.epoch:
                self._acknowledged(message.seq)
            case wire.Refused():
                raise AssertionError(message)

    def _acknowledged(self, seq: int) -> None:
        self.acked = max(self.acked, seq)
        while self.unacked and self.unacked[0][2] <= seq:
            self.unacked.popleft()

    def _send_again(self) -> None:
        for message, bodies, _ in self.unacked:
            again = msgspec.structs.replace(message, epoch=self.epoch)
            self.outbound.append(packed(again, bodies))

    def turn(self) -> None:
        """Publish, or say that it is done; sometimes doubt that what was sent has arrived."""
        dice = self.world.random
        if self.epoch < 0 or self.done or dice.random() < 0.5:
            return
        if dice.random() < 0.03:
            self._send_again()
        if self.acked >= self.total:
            self.outbound.append(packed(wire.SourceDone("feed", self.epoch, self.total)))
        elif self.sent < self.total and self.sent - self.acked < 24:
            count = min(dice.randrange(1, 9), self.total - self.sent)
            self._publish(range(self.sent, self.sent + count))

    def _publish(self, numbers: range) -> None:
        classes = CODECS.classes
        events = [
            classes.event("Moved" if n % 5 in {1, 2} else "Placed")(k=f"k{n * n % KEYS}", n=n)
            for n in numbers
        ]
        packer = Packer(self.world.now_ms * 1000)
        for cls, own in by_type(events).items():
            codec = CODECS[cls.__name__]
            columns, nulls = codec.columns([events[i] for i in own]), pa.nulls(len(own), pa.int64())
            packer.add(codec, EmittedBatch(codec.name, columns, nulls, nulls), own)
        batches, bodies, _ = packer.bodies()
        message = wire.Publish("feed", self.epoch, self.sent, batches)
        self.outbound.append(packed(message, bodies))
        self.sent += len(events)
        self.unacked.append((message, bodies, self.sent))


@dataclass
class Operator:
    """Has parked events handled again, now and then; and names some that are not parked."""

    world: ServiceWorld
    dead = False
    outbound: list[Message] = field(default_factory=list)
    done: Counter[tuple[str, int]] = field(default_factory=Counter)
    asked: str = ""

    def hello(self) -> wire.Hello:
        return wire.Hello("control", "operator", 0, "o", "", 1)

    def take(self, message: wire.BrokerMessage, _: list[bytes]) -> None:
        match message:
            case wire.Who():
                self.outbound.append(packed(self.hello()))
            case wire.Unparked():
                self.done.update((self.asked, o) for o in message.done)
                self.asked = ""
            case wire.Refused():
                raise AssertionError(message)

    def turn(self) -> None:
        dice = self.world.random
        if dice.random() < 0.9 or (self.asked and dice.random() < 0.9):  # the answer may be lost
            return
        parked = [(s.service, o) for s in self.world.core.state.slots.values()
                  for o in s.parked_now]  # fmt: skip
        if parked:
            self.asked = dice.choice(parked)[0]
            offsets = [o for s, o in parked if s == self.asked and dice.random() < 0.7]
            bogus = [0, offsets[0], 10**9] if offsets else [3]
            self.outbound.append(packed(wire.Unpark(self.asked, [*offsets, *bogus], retry=True)))


Client = Process | Feed | Operator

# ---- the world

SCALED, SCALED_STORED = ("Ship", "Watch"), ("Ship", "Watch", "Tally", "Log")
FAULTS = ("broker", "kill", "stop", "link", "sleep", "zombie", "rescale")


class ServiceWorld:
    """`run` ends when everything is consumed, or raises `AssertionError` for a stall."""

    def __init__(
        self, seed: int, total: int, *, fault_share: float, relays: bool = False,
        operated: bool = False, stores: Path | None = None,
    ) -> None:  # fmt: skip
        self.random = random.Random(seed)
        self.fault_share, self.relays = fault_share, relays
        self.stores = stores
        self.plan = STORED[3] if stores else PLANS[3, seed % 5 == 1]
        self.disk = Disk()
        self._found: list[_Record] = []
        self._read = self._read_rows = 0
        self.verifier = BodyVerifier(self.plan)
        self.now_ms = 1_000_000
        self.steps = 0
        self.links: dict[bytes, Link] = {}
        self.clients: dict[bytes, Client] = {}
        self._names = 0
        self._again_at = self._relay_at = 0
        self._hit = ("Pay", 0)
        self.faults: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.fixed = False  # the fault that makes handlers raise for good
        self.feed = Feed(self, total, self.plan)
        self.operator = Operator(self) if operated else None
        self.processes: dict[tuple[str, int], Process] = {}
        self._start_broker()
        self._connect_all()

    # ---- processes

    def _start_broker(self) -> None:
        self.core = BrokerCore(self.plan, self.disk.state(), self.now_ms)
        self._effects()

    def crash_broker(self) -> None:
        self.disk.crash()
        for inbound, outbound in self.links.values():
            inbound.clear()
            outbound.clear()
        self._start_broker()
        self._follow_layout()

    def _follow_layout(self) -> None:
        """A process for each slot that has none; those without a slot are told to leave."""
        for key in set(self.processes) - set(self.core.state.slots):
            gone = self.processes.pop(key)
            self._disconnect(gone)
            gone.die()
        for key in sorted(set(self.core.state.slots) - set(self.processes)):
            self._spawn(*key)

    def _connect(self, client: Client) -> None:
        self._names += 1
        peer = b"p%d" % self._names
        self.clients[peer] = client
        self.links[peer] = (deque([packed(client.hello())]), deque())

    def _disconnect(self, client: Client) -> None:
        for peer in [p for p, c in self.clients.items() if c is client]:
            del self.clients[peer], self.links[peer]

    def _connect_all(self) -> None:
        self._connect(self.feed)
        if self.operator is not None:
            self._connect(self.operator)
        self._follow_layout()

    def _spawn(self, service: str, slot: int) -> None:
        process = Process(self, self.plan.service(service), slot, f"i{self._names}")
        self.processes[service, slot] = process
        self._connect(process)

    def _relay(self) -> None:
        """Another number of replicas, as a new run would have it."""
        ship, watch = self.plan.service("Ship"), self.plan.service("Watch")
        plan = PLANS[4 - ship.replicas, watch.stateless]
        if self.stores:
            plan = STORED[4 - ship.replicas]
        for client in list(self.clients.values()):
            self._disconnect(client)
            if isinstance(client, Process) and not client.dead:
                client.die()
        self.processes.clear()
        self._hit = ("Pay", 0)
        self.plan = self.feed.plan = plan
        self.crash_broker()
        self._connect_all()

    def _rescale(self, service: str) -> None:
        """Another number of replicas, while they run. Their processes hear of it later."""
        low = self.plan.service(service).replicas
        replicas = 2 * low + 1 - len(slots_of(self.core.state, service))
        for message in (
            wire.Hello("control", "scaler", 0, "s", "", 1), wire.Rescale(service, replicas)
        ):  # fmt: skip
            self.core.receive(b"scaler", message, [], self.now_ms)
        self._effects()
        for key in self._slots(service):
            old = self.processes.pop(key)
            if self.random.random() < 0.4:  # it does not hear that it is fenced, and comes back
                self._disconnect(old)
                self._connect(old)

    def _slots(self, service: str) -> list[tuple[str, int]]:
        return sorted(key for key in self.processes if key[0] == service)

    # ---- faults

    def _faults(self) -> None:
        """Now and then one; and another soon after it, while its replay is under way."""
        if self.random.random() < self.fault_share or self.steps == self._again_at:
            self._fault(again=self.steps == self._again_at)
            if self.random.random() < 0.5:
                self._again_at = self.steps + self.random.randrange(1, 15)
        if (
            self.relays and self._relay_at < self.steps and self.random.random() < 0.1
        ):  # while one is behind the others
            for key in self._slots("Ship")[:1]:
                self.processes[key].asleep_until_ms = self.now_ms + 3_000
            self._relay_at = self.steps + self.random.randrange(5, 30)
        if self.steps == self._relay_at:
            self._relay()
            self.faults["relay"] += 1

    def _fault(self, *, again: bool) -> None:
        kind = self.random.choice(FAULTS)
        key = self.random.choice(sorted(self.processes))
        if again and self._hit in self.processes:
            key = self._hit
        process = self.processes[key]
        self._hit = key
        match kind:
            case "broker":
                self.crash_broker()
            case "kill":
                self._kill(process)
            case "stop":
                if not process.dead:
                    with suppress(DiedError):
                        process.worker.flush()
                self._collect(process)
                process.die()
            case "link":
                client = self.random.choice([process, self.feed])
                self._disconnect(client)
                self._connect(client)
            case "sleep":
                process.asleep_until_ms = self.now_ms + self.random.choice((300, 3000, 12_000))
            case "zombie":  # it was given up, and lives on
                self._spawn(*key)
            case "rescale":
                self._rescale(self.random.choice(SCALED_STORED if self.stores else SCALED))
        self.faults[kind] += 1

    def _kill(self, process: Process) -> None:
        """What it had sent arrives up to some point, after its death."""
        process.die()
        for peer in [p for p, c in self.clients.items() if c is process]:
            inbound = self.links[peer][0]
            for _ in range(self.random.randrange(len(inbound) + 1)):
                inbound.pop()
            if self.random.random() < 0.5:
                self._disconnect(process)

    # ---- time

    def run(self, steps: int = 30_000) -> None:
        """Faults for a while, then none; until all is consumed."""
        while self.steps < steps:
            self.steps += 1
            self.fixed = self.operator is not None and self.steps > 2 * self.feed.total
            self.now_ms += self.random.randrange(1, 40)
            faulty = self.fault_share > 0 and self.steps < 4 * self.feed.total
            if faulty:
                self._faults()
            self._step(faulty=faulty)
            if self.steps % 10 == 0 and not faulty and self._finished():
                return
        raise AssertionError(f"stalled: {self.core.status(self.now_ms)}")

    def _finished(self) -> bool:
        current = all(
            not p.dead
            and p.worker.settled
            and key in self.core.state.slots
            and self.core.state.slots[key].epoch == p.epoch
            and not p.worker._waits.set
            for key, p in self.processes.items()
        )
        mended = self.operator is None or not any(
            fate(name, n) == "raises" for name, n in self._parked_numbers()
        )
        whole = self.processes.keys() == self.core.state.slots.keys()
        return (
            whole and current and self.feed.done and mended and self.core.status(self.now_ms).idle
        )

    def _parked_numbers(self) -> Iterator[tuple[str, int]]:
        numbers = {
            offset: n
            for record in self._records()
            for offset, n in _numbers(record)
        }  # fmt: skip
        for slot in self.core.state.slots.values():
            yield from ((slot.service, numbers[o]) for o in slot.parked_now)

    def _step(self, *, faulty: bool) -> None:
        for peer in list(self.links):
            if peer in self.links:
                self._serve(peer, faulty=faulty)
        if self.random.random() < 0.4:
            self._sync()
        if self.random.random() < 0.3:
            self.core.tick(self.now_ms)
            self._effects()
        if self.random.random() < 0.2:
            self._follow_layout()
        for key, process in list(self.processes.items()):
            if process.dead and self.random.random() < 0.2:
                self._spawn(*key)

    def _serve(self, peer: bytes, *, faulty: bool) -> None:
        client, (inbound, outbound) = self.clients[peer], self.links[peer]
        asleep = isinstance(client, Process) and client.asleep_until_ms > self.now_ms and faulty
        if not client.dead and not asleep:
            for _ in range(self.random.randrange(4)):
                if outbound and not client.dead:
                    frame, bodies = outbound.popleft()
                    message = wire.decode_broker(frame)
                    if not (faulty and isinstance(message, wire.Assign) and self._loses()):
                        client.take(message, bodies)
            if not client.dead:
                client.turn()
            if self.random.random() < 0.05:
                client.outbound.append(packed(wire.Heartbeat()))
        self._collect(client)
        for _ in range(self.random.randrange(4)):
            if inbound:
                self._to_broker(peer, *inbound.popleft(), faulty=faulty)

    def _loses(self) -> bool:
        """The handshake's messages are repeated until they are answered, so they may get lost."""
        return self.random.random() < 0.15

    def _collect(self, client: Client) -> None:
        """What it has sent goes on its way; without a link it is lost."""
        sent, client.outbound = client.outbound, []
        for peer in [p for p, c in self.clients.items() if c is client]:
            self.links[peer][0].extend(sent)

    # ---- the driver's part

    def _to_broker(self, peer: bytes, frame: bytes, bodies: list[bytes], *, faulty: bool) -> None:
        message = wire.decode_client(frame)
        if faulty and isinstance(message, wire.Resume) and self._loses():
            return
        batches = message.batches if isinstance(message, wire.Publish | wire.Step) else []
        why = self.verifier.refuse(batches, bodies)
        assert why is None, why
        self.core.receive(peer, message, list(bodies), self.now_ms)
        self._effects()

    def _effects(self) -> None:
        while effects := self.core.take():
            fetches = []
            for effect in effects:
                match effect:
                    case fx.Send() if effect.peer in self.links:
                        self.links[effect.peer][1].append(packed(effect.message, effect.bodies))
                    case fx.Send():
                        self.core.lost(effect.peer)
                    case fx.Append():
                        assert effect.first_offset == self.disk.rows
                        bodies = [bytes(b) for b in effect.bodies]
                        self.disk.append(effect.entry, effect.rows, bodies)
                    case fx.Fetch():
                        fetches.append(effect)
            for fetch in fetches:
                self.core.fetched(fetch, *self._fetch(fetch))

    def _sync(self) -> None:
        self.disk.durable = len(self.disk.entries)
        at = wire.Durable(0, 0, self.disk.durable, self.disk.rows)
        self.core.durable(at, self.now_ms)
        self._effects()

    def _fetch(self, fetch: fx.Fetch) -> Any:
        """As `flowc_engine.broker.fetch` does it, on a disk that is a list."""
        events = frozenset(self.plan.service(fetch.key[0]).subscribes)
        if not fetch.at:
            size = self.random.choice((1, 2000, fetch.bytes_max))
            return _collect(self._records(fetch.begin), fetch._replace(bytes_max=size), events)
        found, wanted = Found(fetch.begin, [], []), deque(fetch.at)
        bytes_max = self.random.choice((1, 2000, fetch.bytes_max))
        while wanted:
            record = next(self._records(wanted[0]))
            own = []
            while wanted and wanted[0] < record.first_offset + record.rows:
                own.append(wanted.popleft())
            more = collect_at(record, own, events)
            if found.batches and not fit(found, more, bytes_max):
                break
            found = Found(more.end, found.batches + more.batches, found.bodies + more.bodies)
        return found

    def _records(self, begin: int = 0) -> Iterator[_Record]:
        """What is durable of the records with events."""
        while self._read < self.disk.durable:
            entry, rows, bodies = self.disk.entries[self._read]
            self._read += 1
            if rows:
                record = record_of(self._read_rows, rows, entry, bodies)
                self._found.append(record)
                self._read_rows += rows
        at = bisect_right(self._found, begin, key=lambda r: r.first_offset) - 1
        return iter(self._found[max(at, 0) :])


def _numbers(record: _Record) -> Iterator[tuple[int, int]]:
    first = record.first_offset
    for batch, body in zip(record.batches, record.bodies, strict=True):
        offsets = offsets_of(wire.Delivered(batch.event, batch.rows, first, "", batch.places))
        rows = CODECS[batch.event].read(body).to_pylist()
        yield from zip(offsets, map(number, rows), strict=True)
        first += 0 if batch.places else batch.rows


# ---- running one


@contextmanager
def tight_limits(seed: int) -> Iterator[None]:
    """Bounds so small that small batches meet them."""
    dice = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "CREDIT_BYTES_MAX", dice.choice((1, 4_000, 4 * limits.MIB)))
        patch.setattr(limits, "DEFERRED_PER_SLOT_MAX", dice.choice((2, 1_024)))
        step_bytes_max = dice.choice((4_000, 8_000, 8 * limits.MIB))
        patch.setattr("flowc.draft.STEP_BYTES_MAX", step_bytes_max)
        patch.setattr("flowc.undoing.STEP_BYTES_MAX", step_bytes_max)
        patch.setattr("flowc.worker.UNCONFIRMED_BYTES_MAX", dice.choice((1, 3_000, limits.MIB)))
        patch.setattr("flowc.handling.user_trace", repr)  # traces of the failures take most time
        yield


def simulate(
    seed: int, total: int, *, fault_share: float = 0.15, operated: bool = False
) -> ServiceWorld:
    """A world that ran to its end. `operated`: parked events are handled again."""
    with tight_limits(seed):
        relays = seed % 4 == 3
        world = ServiceWorld(seed, total, fault_share=fault_share, relays=relays, operated=operated)
        world.run()
    return world


def simulate_stores(seed: int, total: int, folder: Path, *, operated: bool = False) -> ServiceWorld:
    """The same of services with stores, which are left in `folder` (`support.stored`)."""
    with tight_limits(seed):
        relays = seed % 2 == 1
        world = ServiceWorld(
            seed, total, fault_share=0.15, relays=relays, operated=operated, stores=folder
        )
        world.run()
    for process in world.processes.values():
        process.die()
    return world
