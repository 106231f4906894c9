"""One run: a heap of events, one seeded random, the broker that ships, and what breaks around it.

Faults come for a while, then everything heals, and all that was published has to be consumed. What
the broker promised and did not hold is noted on the way, and judged by `oracle` at the end.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any, Final

import xxhash

from flowc_dsl.plan import ServicePlan
from flowc_engine.broker.broker import Broker
from flowc_engine.bus import wire
from flowc_engine.core.layout import slots_of
from flowc_engine.journal.packed import PackedError, pack
from flowc_engine.journal.reader import JournalRotError
from flowc_engine.journal.recovery import recover
from flowc_engine.journal.segments import PACKED, SUFFIX, list_unpacked, segment_path
from flowc_engine.journal.sizes import JournalSizes
from flowc_engine.sim import chaos, system
from flowc_engine.sim.clients import Client, Process, Replica, Source, Store
from flowc_engine.sim.disk import KilledError, VirtualDisk
from flowc_engine.sim.network import Frames, Link, Network

FOLDER: Final = Path("journal")
EPOCH_MS: Final = 1_800_000_000_000
DRAIN_MS: Final = 120_000
"""All has to be consumed this long after everything has healed."""
TIMEOUT_MS: Final = 10_000
"""A link over which nothing comes for so long breaks."""
SUPERVISE_MS: Final = 250
TURN_EVERY_MS: Final = 120
"""The broker has a turn at least this often; the real one has it more often."""

MakeReplica = Callable[["World", str, ServicePlan, int, Store | None], Replica]
Line = Callable[[str], None]


class _AtOnce(Executor):
    """Runs what is to be done in the background before it returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except OSError as error:
            future.set_exception(error)
        return future


class World:
    """`trace` gets a line for each thing that happens, `make` makes the services' processes; those
    of `stores` have one. After `run`: `violations`, `halted`."""

    def __init__(
        self, seed: int, total: int, chaos_ms: float, trace: Line | None = None, *,
        make: MakeReplica = Process, stores: tuple[str, ...] = system.STORES,
    ) -> None:  # fmt: skip
        self.seed, self.total, self.chaos_ms, self._trace = seed, total, chaos_ms, trace
        self._make = make
        self.dice = dice = random.Random(seed)  # noqa: S311 - chosen by the seed, not secret
        self.now_ms = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._made = 0
        self.events = 0
        self.digest = xxhash.xxh3_64()
        self.faults: Counter[str] = Counter()
        self.violations: list[str] = []
        self.halted = ""
        self.lost = 0
        self.chaotic = True
        self.finished = False
        # ---- what clients were told, and have done
        self.acknowledged = self.acknowledged_epoch = 0
        self.confirmed: dict[tuple[str, int], tuple[int, int]] = {}  # epoch, steps
        self.effects: defaultdict[str, set[int]] = defaultdict(set)  # the offsets, by service
        # ---- faults that are on
        self.skew_ms = 0
        self.slow_until_ms = self.doubling_until_ms = 0.0
        self.fatal_commits = 0
        self.killed_by_power = False
        self.rotten = False
        self._kinds = chaos.choose(dice)
        # ---- the parts
        self.disk = VirtualDisk(dice)
        self.sizes = JournalSizes(
            first_segment=4_096, segment=dice.choice((8_192, 16_384)), scan=4_096,
            index_every=dice.choice((1_024, 4_096)), hot=dice.choice((2_000, 8_000, 1_000_000)),
        )  # fmt: skip
        self.net = Network(self)
        self.broker: Broker | None = None
        self._runs = False  # its process does; `broker` is set once it serves
        self._inbox: deque[tuple[bytes, Frames]] = deque()
        self._busy_until = 0.0
        self._turn_at: float | None = None
        self._syncs = 0
        self._durable = self._proven = wire.Durable(0, 0, 0, 0)
        self._stores = {(name, 0): Store() for name in stores}
        self.processes: dict[tuple[str, int], Replica] = {}
        self._pace_ms = chaos_ms / total * dice.choice((0.5, 2.0, 4.0))
        self.source = self._new_source()

    def run(self) -> None:
        """Until all is consumed, the broker halts because of rot, or a promise is broken."""
        self._start_broker()
        self.net.connect(self.source)
        for service in system.PLAN.services:
            for slot in range(service.replicas):
                self._start(service.name, slot)
        self.later(SUPERVISE_MS, self._follow_layout)
        self.later(self._next_fault_ms(), self._fault)
        self.later(self.chaos_ms, self._heal)
        while self._heap and not self.finished:
            self.now_ms, _, what = heapq.heappop(self._heap)
            self.events += 1
            what()
            if self.violations or self.halted:
                return

    # ---- the clock

    def later(self, delay_ms: float, what: Callable[[], None]) -> None:
        """Call `what` when so much time has passed."""
        self.at(self.now_ms + delay_ms, what)

    def at(self, time_ms: float, what: Callable[[], None]) -> None:
        """Call `what` then, behind what was to be called then."""
        self._made += 1
        heapq.heappush(self._heap, (time_ms, self._made, what))

    def _broker_ms(self) -> int:
        return EPOCH_MS + int(self.now_ms) + self._broker_skew_ms

    def note(self, what: str, who: object = "", frame: bytes = b"") -> None:
        """Something happened: it is part of the trace, and of its digest."""
        self.digest.update(f"{self.now_ms:.3f}{what}{who}".encode() + frame)
        if self._trace is not None:
            shown = f" {_shown(frame)}" if frame else ""
            self._trace(f"{self.now_ms:12.3f} ms  {what:<10} {who}{shown}")

    def demand(self, holds: bool, what: str, lost: int = 0) -> None:
        """A promise of the broker: note it if it does not hold, and how many were lost."""
        if not holds:
            self.lost += lost
            self.note("BROKEN", what)
            self.violations.append(what)

    # ---- links

    def latency_ms(self) -> float:
        """Of the next message."""
        slow = self.chaotic and self.now_ms < self.slow_until_ms
        return self.dice.random() * (800 if slow else 1)

    def loses(self) -> bool:
        """Whether this message of a handshake gets lost: they are repeated until answered."""
        lost = self.chaotic and self.dice.random() < 0.08
        self.faults["handshake lost"] += lost
        return lost

    def send(self, client: Client, frames: Frames) -> None:
        """On the client's link."""
        self.net.send(client, frames)

    def to_broker(self, peer: bytes, frames: Frames) -> None:
        """A message has reached the broker."""
        if self.broker is None:
            return
        self.note("> broker", peer.decode(), frames[0] if frames else b"")
        self._inbox.append((peer, frames))
        if self.chaotic and self.now_ms < self.doubling_until_ms and self.dice.random() < 0.15:
            self._inbox.append((peer, frames))
        self._wake_broker(self.now_ms)

    def cut(self, client: Client) -> bool:
        """Its link breaks, and is made again."""
        noticed = self.dice.choice((0.0, 100.0, 3_000.0))
        was = self.net.cut(client, noticed, stragglers=self.dice.random() < 0.4)
        if was:
            self.later(50 + self.dice.random() * 1_000, lambda: self._reconnect(client))
        return was

    def _reconnect(self, client: Client) -> None:
        if client.alive:
            self.net.connect(client)

    def partition(self, client: Client, ways: tuple[int, ...], for_ms: float) -> None:
        """Nothing passes for a while; over the timeout the link breaks."""
        self.net.hold(client, ways, for_ms)
        if for_ms > TIMEOUT_MS:
            self.later(TIMEOUT_MS, partial(self._time_out, client, self.net.link(client.name)))

    def _time_out(self, client: Client, link: Link | None) -> None:
        if link is not None and self.net.link(client.name) is link:
            self.cut(client)

    # ---- the broker's process

    def _start_broker(self) -> None:
        self._broker_skew_ms, self._runs = self.skew_ms, True
        try:
            found = recover(FOLDER, self.disk, lambda: self.dice.getrandbits(63))
            lost = self.acknowledged - found.state.source(system.SOURCE).seq
            self.demand(lost <= 0, f"recovery has lost {lost} events that were acknowledged", lost)
            self.note("recovered", f"{found.segment}:{found.position} cut {found.cut_bytes}")
            self.net.down = False
            self.broker = Broker(
                system.PLAN, FOLDER, found, self._broker_ms, self._transmit, disk=self.disk,
                sizes=self.sizes, pool=_AtOnce(), verifier=system.VERIFIER,
            )  # fmt: skip
        except (KilledError, OSError, JournalRotError) as error:
            self._broker_ended(error)
            return
        self._committed()
        for client in (self.source, *self.processes.values()):
            self.later(20 + self.dice.random() * 500, partial(self._reconnect, client))
        self._busy_until = self.now_ms
        self._wake_broker(self.now_ms)

    def _transmit(self, peer: bytes, frames: Any) -> bool:
        self.note("< broker", peer.decode(), frames[0])
        return self.net.transmit(peer, frames)

    def _wake_broker(self, at: float) -> None:
        at = max(at, self._busy_until)
        if self._turn_at is None or at < self._turn_at:
            self._turn_at = at
            self.later(at - self.now_ms, lambda: self._broker_turn(at))

    def _broker_turn(self, at: float) -> None:
        if self.broker is None or self._turn_at != at:
            return
        self._turn_at = None
        if self.now_ms < self._busy_until:
            self._wake_broker(self._busy_until)
            return
        try:
            for _ in range(min(len(self._inbox), self.dice.choice((1, 4, 100)))):
                self.broker.take(*self._inbox.popleft())
            self.broker.turn()
        except (KilledError, OSError, JournalRotError) as error:
            self._broker_ended(error)
            return
        self._committed()
        pause = 0 if self._inbox else self.broker.pause_ms()
        self._wake_broker(self.now_ms + (pause if pause < 50 else TURN_EVERY_MS))

    def _committed(self) -> None:
        """What the last commit proves to be durable; and how long it took."""
        assert self.broker is not None
        at = self.broker.journal.durable_at
        if at.record != self._durable.record:
            self._proven, self._durable = self._durable, at
        syncs = self.disk.calls["sync"] - self._syncs
        self._syncs += syncs
        self._busy_until = max(self._busy_until, self.now_ms + min(syncs, 4) * self.dice.random())

    def _broker_ended(self, error: Exception) -> None:
        if isinstance(error, JournalRotError):
            self.note("halted", error)
            self.halted = str(error)
            self.demand(self.rotten, f"a sound journal is called rotten: {error}")
        elif isinstance(error, KilledError):
            self.broker_dies(power=self.killed_by_power)
        else:
            self.faults["ended by the disk"] += 1
            self.note("ended", error)
            self.broker_dies()

    def broker_dies(self, *, power: bool = False) -> bool:
        """Its process is gone, or its machine; it is started again. False if it was down."""
        if not self._runs:
            if power:
                self.disk.cut_power()
            return False
        self.note("broker", "loses power" if power else "dies")
        self.broker, self._turn_at, self._runs = None, None, False
        self._inbox.clear()
        self.net.broker_gone(heard=self.dice.random() < 0.5)
        if power:
            self.disk.cut_power()
        else:
            self.disk.process_died()
        self.later(20 + self.dice.random() * 1_000, self._start_broker)
        return True

    def cut_power(self) -> None:
        """The broker's machine stops."""
        self.broker_dies(power=True)

    def stall_broker(self, for_ms: float) -> None:
        """It does nothing for a while."""
        self._busy_until = max(self._busy_until, self.now_ms + for_ms)

    # ---- the clients' processes

    def _new_source(self) -> Source:
        self._made += 1
        return Source(self, f"feed#{self._made}", self.total, self._pace_ms)

    def _start(self, name: str, slot: int) -> None:
        self._made += 1
        process = self._make(
            self, f"{name}.{slot}#{self._made}", system.PLAN.service(name), slot,
            self._stores.get((name, slot)),
        )  # fmt: skip
        self.processes[name, slot] = process
        self.net.connect(process)

    def _start_source(self) -> None:
        self.source = self._new_source()
        self.net.connect(self.source)

    def _is_current(self, client: Client) -> bool:
        return client is self.source or client in self.processes.values()

    def exited(self, client: Client, why: str) -> None:
        """The client's process has ended by itself."""
        self.note("exited", f"{client.name} {why}")
        self.kill(client)

    def kill(self, client: Client) -> bool:
        """The process is gone; if it was the current one, another is started."""
        self.note("killed", client.name)
        client.alive = False
        self.net.gone(client, stragglers=self.dice.random() < 0.5)
        if self._is_current(client):
            self.later(20 + self.dice.random() * 600, lambda: self._replace(client))
        return True

    def _replace(self, client: Client) -> None:
        if not self._is_current(client):
            return
        if isinstance(client, Replica):
            self._start(*client.key)
        else:
            self._start_source()

    def replace(self, client: Client, for_ms: float) -> bool:
        """Another process takes the place of one that is stopped; that one goes on later. A store
        can't be shared, so there the old one is killed."""
        if isinstance(client, Replica) and client.store is not None:
            return self.kill(client)
        client.paused_until = self.now_ms + for_ms
        self._replace(client)
        return True

    def rescale(self, service: str) -> bool:
        """Somebody has the service's replicas changed; False if there is nobody to ask."""
        if self.broker is None:
            return False
        planned = system.PLAN.service(service)
        now = len(slots_of(self.broker.core.state, service))
        replicas = planned.replicas + planned.replicas_max - now
        hello = wire.Hello("control", "operator", 0, "operator", "", 1)
        for message in (hello, wire.Rescale(service, replicas)):
            self.to_broker(b"operator", [wire.encode(message)])
        return True

    def _follow_layout(self) -> None:
        """A process for each slot that has none, and none without a slot: the supervisor's part."""
        if self.broker is not None:
            slots = self.broker.core.state.slots
            for key in [key for key in self.processes if key not in slots]:
                self.kill(self.processes.pop(key))
            for key in slots:
                if key not in self.processes:
                    self._start(*key)
        self.later(SUPERVISE_MS, self._follow_layout)

    def dies_before_sending(self, client: Client) -> bool:
        """Whether the process is killed between its commit and its send."""
        if not (self.chaotic and self.fatal_commits and isinstance(client, Replica)):
            return False
        if client.store is None:
            return False
        self.fatal_commits -= 1
        return self.kill(client)

    # ---- faults

    def _next_fault_ms(self) -> float:
        return self.dice.expovariate(1 / 350) + 5

    def _fault(self) -> None:
        if not self.chaotic:
            return
        name = self.dice.choices(list(self._kinds), list(self._kinds.values()))[0]
        if chaos.KINDS[name][0](self):
            self.note("fault", name)
            self.faults[name] += 1
        self.later(self._next_fault_ms(), self._fault)

    def empty_disk(self) -> None:
        """There is room again."""
        self.disk.full = False

    def write_whole(self) -> None:
        """Writes take all that they are given."""
        self.disk.short_writes = 0.0

    def pack(self) -> bool:
        """The log process packs the oldest segment that is complete; its calls are not those in
        which the broker is killed."""
        segments = list_unpacked(FOLDER, self.disk)[:-1]
        if not segments:
            return False
        kill_in, self.disk.kill_in = self.disk.kill_in, 0
        try:
            pack(FOLDER, segments[0], self.disk)
        except (OSError, PackedError) as error:
            self.note("not packed", error)
            self.demand(isinstance(error, OSError) or self.rotten, f"not packed: {error}")
        self.disk.kill_in = kill_in
        return True

    def rot(self) -> bool:
        """Flip a bit of what a later commit proves to have been durable."""
        proven = self._proven
        names = [n for n in self.disk.names(FOLDER) if n.endswith((SUFFIX, PACKED))]
        last = segment_path(FOLDER, proven.segment).name
        names = sorted(n for n in names if n <= last)
        if not names:
            return False
        name = self.dice.choice(names)
        size = proven.position if name == last else len(self.disk.content(name))
        if size:
            self.disk.rot(name, self.dice.randrange(size))
            self.rotten = True
        return size > 0

    def _heal(self) -> None:
        self.note("healed")
        self.chaotic = False
        self.empty_disk()
        self.write_whole()
        self.disk.fail_sync = self.disk.fail_read = False
        self.disk.kill_in = 0
        self.net.heal()
        self.later(200, lambda: self._look(self.now_ms + DRAIN_MS))

    def _look(self, until_ms: float) -> None:
        """Whether all is consumed."""
        if self.broker is not None and self.source.done and self._settled():
            self.finished = True
        elif self.now_ms >= until_ms:
            self.demand(holds=False, what=f"stalled: {self._state()}")
        else:
            self.later(200, lambda: self._look(until_ms))

    def _settled(self) -> bool:
        assert self.broker is not None
        slots = self.broker.core.state.slots
        whole = slots.keys() == self.processes.keys()
        return (
            whole
            and self.broker.core.status(self._broker_ms()).idle
            and all(
                p.alive and p.settled and slots[key].epoch == p.epoch
                for key, p in self.processes.items()
            )
        )

    def _state(self) -> str:
        if self.broker is None:
            return "the broker does not come up"
        return str(self.broker.core.status(self._broker_ms()))


def _shown(frame: bytes) -> str:
    """A message, short."""
    for decode in (wire.decode_client, wire.decode_broker):
        try:
            return str(decode(frame))[:420]
        except Exception:  # noqa: BLE001, S112 - whatever it is, the next one may know it
            continue
    return repr(frame)[:80]
