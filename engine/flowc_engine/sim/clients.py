"""What follows the protocol on the other side of the links: a source, and processes of services.

A process answers as `flowc.worker` does: it lives through reconnects, sends its unconfirmed steps
again by number, begins with an empty memory when it can't know, defers what fails and parks what
stays failed. One with a store commits a step there before it sends it; the next process goes on
from there.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from flowc_dsl.plan import ServicePlan
from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.sim import system
from flowc_engine.sim.network import Frames

UNCONFIRMED_MAX = 6
WINDOW_MESSAGES = 8


class WorldPort(Protocol):
    """What a client needs of its world."""

    now_ms: float
    dice: random.Random
    acknowledged: int
    acknowledged_epoch: int
    confirmed: dict[tuple[str, int], tuple[int, int]]
    effects: defaultdict[str, set[int]]

    def later(self, delay_ms: float, what: Callable[[], None]) -> None:
        """Call `what` when so much time has passed."""

    def send(self, client: Client, frames: Frames) -> None:
        """On the client's link."""

    def exited(self, client: Client, why: str) -> None:
        """The client's process has ended by itself."""

    def loses(self) -> bool:
        """Whether this message of a handshake gets lost."""

    def dies_before_sending(self, client: Client) -> bool:
        """Whether the process is killed between its commit and its send."""

    def demand(self, holds: bool, what: str, lost: int = 0) -> None:
        """A promise of the broker: note it if it does not hold, and how many were lost."""


class Client:
    """A process with one link. It is woken by what arrives, and by its own timers."""

    def __init__(self, world: WorldPort, name: str) -> None:
        self.world, self.name = world, name
        self.alive = True
        self.paused_until = 0.0
        self._inbox: deque[Frames] = deque()
        self._turn_at: float | None = None
        self._beat()

    def hello(self) -> wire.Hello:
        """Who it says it is."""
        raise NotImplementedError

    def take(self, message: wire.BrokerMessage, bodies: list[bytes]) -> None:
        """The broker said something."""
        raise NotImplementedError

    def work(self) -> float | None:
        """Do something; in how many ms to do more, None to wait for a message."""
        raise NotImplementedError

    def arrived(self, frames: Frames) -> None:
        """A message is in its socket."""
        if self.alive:
            self._inbox.append(frames)
            self.wake(self.world.dice.random() * 4)

    def wake(self, delay_ms: float) -> None:
        """Have a turn in so many ms, or sooner."""
        at = max(self.world.now_ms + delay_ms, self.paused_until)
        if self._turn_at is None or at < self._turn_at:
            self._turn_at = at
            self.world.later(at - self.world.now_ms, lambda: self._turn(at))

    def _turn(self, at: float) -> None:
        if not self.alive or self._turn_at != at:
            return
        self._turn_at = None
        if self.world.now_ms < self.paused_until:
            self.wake(0)
            return
        while self._inbox and self.alive:
            frames = self._inbox.popleft()
            message = wire.decode_broker(frames[0])
            if isinstance(message, wire.Who):
                self.say(self.hello())
            else:
                self.take(message, frames[1:])
        again = self.work() if self.alive else None
        if again is not None and self.alive:
            self.wake(again)

    def _beat(self) -> None:
        if not self.alive:
            return
        if self.world.now_ms >= self.paused_until:
            self.say(wire.Heartbeat())
        self.world.later(limits.HEARTBEAT_MS, self._beat)

    def say(self, message: wire.Message, bodies: tuple[bytes, ...] = ()) -> None:
        """Send it."""
        self.world.send(self, [wire.encode(message), *bodies])

    def end(self, why: str) -> None:
        """The process ends by itself."""
        self.alive = False
        self.world.exited(self, why)


class Source(Client):
    """Publishes 0, 1, 2, … up to `total`, and says when it is done. When it is started again it
    goes on behind what was acknowledged."""

    def __init__(self, world: WorldPort, name: str, total: int, pace_ms: float) -> None:
        self.total, self.pace_ms = total, pace_ms
        self.done = False
        self._epoch = -1
        self._sent = 0
        self._next_ms = 0.0
        self._unacked: deque[tuple[wire.Publish, bytes, int]] = deque()
        super().__init__(world, name)
        self.say(self.hello())

    def hello(self) -> wire.Hello:
        return wire.Hello("source", system.SOURCE, 0, self.name, system.PLAN_HASH, 1)

    def take(self, message: wire.BrokerMessage, _: list[bytes]) -> None:
        match message:
            case wire.Opened():
                self._opened(message)
            case wire.Published() if message.epoch == self._epoch:
                self._acknowledged(message.seq)
            case wire.Fenced():
                self.end("fenced")
            case wire.Refused():
                self.end(f"refused: {message.why}")

    def _opened(self, opened: wire.Opened) -> None:
        world = self.world
        world.demand(
            opened.epoch <= world.acknowledged_epoch or opened.seq >= world.acknowledged,
            "events that were acknowledged are lost",
            world.acknowledged - opened.seq,
        )
        if self._epoch < 0:
            self._sent = opened.seq
        self._epoch, self.done = opened.epoch, opened.done
        self._acknowledged(opened.seq)
        for publish, body, _ in self._unacked:
            self.say(msgspec.structs.replace(publish, epoch=self._epoch), (body,))

    def _acknowledged(self, seq: int) -> None:
        if seq > self.world.acknowledged:
            self.world.acknowledged, self.world.acknowledged_epoch = seq, self._epoch
        while self._unacked and self._unacked[0][2] <= seq:
            self._unacked.popleft()

    def work(self) -> float | None:
        dice = self.world.dice
        if self._epoch < 0 or self.done:
            return None
        if self._sent == self.total:
            if not self._unacked:
                self.say(wire.SourceDone(system.SOURCE, self._epoch, self.total))
                return 500.0
            return None
        if len(self._unacked) >= WINDOW_MESSAGES:
            return None
        if self.world.now_ms < self._next_ms:
            return self._next_ms - self.world.now_ms
        end = min(self._sent + dice.choice((1, 1, 2, 5)), self.total)
        body = system.pack("Placed", tuple(range(self._sent, end)))
        publish = wire.Publish(
            system.SOURCE, self._epoch, self._sent, [wire.Batch("Placed", end - self._sent)]
        )
        self._sent = end
        self._unacked.append((publish, body, end))
        self.say(publish, (body,))
        pause_ms = dice.random() * 2 * self.pace_ms if dice.random() < 0.7 else 0.0
        self._next_ms = self.world.now_ms + pause_ms
        return pause_ms


@dataclass
class Memory:
    """What a process knows, and what one with a store has in it. `held` are the deferred events:
    number by offset; `seen` are the numbers of what was handled."""

    position: int = -1
    number: int = 0
    seen: list[int] = field(default_factory=list)
    held: dict[int, int] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    unconfirmed: deque[tuple[wire.Step, tuple[bytes, ...]]] = field(default_factory=deque)

    def copied(self) -> Memory:
        """A copy that shares nothing mutable."""
        return Memory(
            self.position, self.number, copy(self.seen), copy(self.held), copy(self.attempts),
            copy(self.unconfirmed),
        )  # fmt: skip


class Store:
    """A service's own database: what was committed outlives its processes."""

    def __init__(self) -> None:
        self.committed = Memory()

    def commit(self, memory: Memory) -> None:
        """One transaction."""
        self.committed = memory.copied()


@dataclass
class _Work:
    """Rows of a delivery that are to be handled: (offset, number)."""

    end: int
    rows: deque[tuple[int, int]]


class Replica(Client):
    """One process of one replica of a service."""

    def __init__(
        self, world: WorldPort, name: str, service: ServicePlan, slot: int, store: Store | None
    ) -> None:
        self.service, self.slot, self.store = service, slot, store
        self.key = service.name, slot
        self.epoch = 0
        super().__init__(world, name)
        self.say(self.hello())

    def hello(self) -> wire.Hello:
        return wire.Hello("service", *self.key, self.name, system.PLAN_HASH, 1)

    @property
    def seen(self) -> list[int]:
        """The numbers of what it has handled."""
        raise NotImplementedError

    @property
    def settled(self) -> bool:
        """All that was delivered is handled, and confirmed."""
        raise NotImplementedError


class Process(Replica):
    """One that is made for the simulation."""

    def __init__(
        self, world: WorldPort, name: str, service: ServicePlan, slot: int, store: Store | None
    ) -> None:
        self.memory = store.committed.copied() if store else Memory()
        self._assign: wire.Assign | None = None
        self._resume: wire.Resume | None = None
        self._replaying_to: int | None = None
        self._queue: deque[_Work] = deque()
        self._ahead: dict[int, int] = {}  # deferred events behind what was seen: number by offset
        super().__init__(world, name, service, slot, store)

    @property
    def seen(self) -> list[int]:
        return self.memory.seen

    @property
    def settled(self) -> bool:
        memory = self.memory
        waits = self._queue or self._ahead or memory.unconfirmed or memory.held
        return memory.position >= 0 and not waits

    def take(self, message: wire.BrokerMessage, bodies: list[bytes]) -> None:
        match message:
            case wire.Assign():
                if not self.world.loses():
                    self._assigned(message)
            case wire.Deliver() if message.epoch == self.epoch:
                self._delivered(message, bodies)
            case wire.Stepped() if message.epoch == self.epoch:
                self._stepped(message)
            case wire.Fenced():
                self.end("fenced")
            case wire.Refused():
                self.end(f"refused: {message.why}")

    def _assigned(self, assign: wire.Assign) -> None:
        if self.epoch >= assign.epoch:
            if self.epoch == assign.epoch and self._resume is not None:
                self._say_resume()
            return
        memory = self.memory
        epoch, steps = self.world.confirmed.get(self.key, (0, 0))
        self.world.demand(
            assign.epoch <= epoch or assign.number >= steps,  # else it was said before
            f"steps of {self.key} that were confirmed are lost",
            steps - assign.number,
        )
        fresh = memory.position < 0
        replaced = not fresh and self.store is None and assign.epoch > self.epoch + 1
        if self._replaying_to is not None or replaced:
            self.end("memory lost")
            return
        self._queue.clear()
        self._ahead.clear()
        self._assign, self.epoch = assign, assign.epoch
        replay = not self.service.stateless and self.store is None
        self._resume = wire.Resume(*self.key, self.epoch, replay, memory.position)
        self._say_resume()
        if fresh:
            memory.number = assign.number
            memory.unconfirmed.clear()
            self._replaying_to = assign.cursor if replay and assign.cursor > 0 else None
            if self._replaying_to is None:
                memory.position = assign.cursor
        else:
            self._send_again(assign)

    def _say_resume(self) -> None:
        assert self._resume is not None
        if not self.world.loses():
            self.say(self._resume)

    def _send_again(self, assign: wire.Assign) -> None:
        memory = self.memory
        kept, memory.unconfirmed = memory.unconfirmed, deque()
        for step, bodies in kept:
            if step.number >= assign.number:
                again = msgspec.structs.replace(step, epoch=self.epoch)
                memory.unconfirmed.append((again, bodies))
                self.say(again, bodies)

    def _delivered(self, deliver: wire.Deliver, bodies: list[bytes]) -> None:
        assert self._assign is not None
        partitions = self._assign.partitions
        rows = [
            (offset, n)
            for batch, body in zip(deliver.batches, bodies, strict=True)
            for offset, n in enumerate(system.unpack(batch.event, body), batch.first)
            if not partitions or system.partition(n) in partitions
        ]
        if deliver.mode == "deferred":
            self._hold(deliver, rows)
            return
        rows = [r for r in rows if deliver.begin <= r[0] < deliver.end]
        if deliver.mode == "live":
            self._queue.append(_Work(deliver.end, deque(rows)))
            return
        waiting = {*self._assign.deferred, *self._assign.parked}
        self.memory.seen += [n for offset, n in rows if offset not in waiting]
        if deliver.end == self._replaying_to:
            self._replaying_to, self.memory.position = None, deliver.end
        self.say(wire.Replayed(*self.key, self.epoch, deliver.end))

    def _hold(self, deliver: wire.Deliver, rows: list[tuple[int, int]]) -> None:
        memory = self.memory
        resolved = {o for step, _ in memory.unconfirmed for o in step.resolved}
        wanted = set(deliver.offsets) - resolved
        self._ahead.update((o, n) for o, n in rows if o in wanted and o not in memory.held)
        self._pass_by()

    def _pass_by(self) -> None:
        """What is deferred is tried once all before it was seen: below a floor it is not yet."""
        memory = self.memory
        for offset in [o for o in self._ahead if o < memory.position]:
            memory.held[offset] = self._ahead.pop(offset)
        self.say(wire.Held(*self.key, self.epoch))

    def _stepped(self, stepped: wire.Stepped) -> None:
        step, _ = self.memory.unconfirmed.popleft() if self.memory.unconfirmed else (None, ())
        if step is None or step.after != stepped.cursor:
            self.world.demand(holds=False, what="another step was confirmed than was sent")
            return
        if self.epoch >= self.world.confirmed.get(self.key, (0, 0))[0]:
            self.world.confirmed[self.key] = (self.epoch, step.number + 1)

    # ---- work

    def work(self) -> float | None:
        memory, dice = self.memory, self.world.dice
        if memory.position < 0 or len(memory.unconfirmed) >= UNCONFIRMED_MAX:
            return None
        if memory.held and (not self._queue or dice.random() < 0.3):
            self._retry()
        elif self._queue:
            self._handle(self._queue[0])
        if self._queue:
            return dice.random() * 5
        return 20 + dice.random() * 150 if memory.held else None

    def _handle(self, work: _Work) -> None:
        """Some of a delivery's rows, as one step."""
        count = self.world.dice.randint(1, max(1, len(work.rows)))
        chosen = [work.rows.popleft() for _ in range(min(count, len(work.rows)))]
        after = chosen[-1][0] + 1 if work.rows else work.end
        if not work.rows:
            self._queue.popleft()
        memory = self.memory
        good: list[int] = []
        deferred: list[int] = []
        parked: list[wire.Parked] = []
        waiting = {n % system.KEYS for n in (*memory.held.values(), *self._ahead.values())}
        assert self._assign is not None
        floors, past = self._assign.floors, {*self._assign.deferred, *self._assign.parked}
        for offset, n in chosen:
            if offset < floors.get(system.partition(n), 0):  # handled by another replica once
                memory.seen += [] if offset in past else [n]
                continue
            fails = system.failures(self.service.name, n)
            if n % system.KEYS not in waiting and fails < 0 and n % 2:
                parked.append(self._given_up(offset, n))
            elif n % system.KEYS in waiting or fails:
                memory.held[offset] = n
                memory.attempts[offset] = int(n % system.KEYS not in waiting)
                waiting.add(n % system.KEYS)
                deferred.append(offset)
            else:
                good.append(n)
                self.world.effects[self.service.name].add(offset)
        self._step(after, good, parked, deferred, [])

    def _retry(self) -> None:
        """The first event that waits of one of the keys, once more."""
        memory = self.memory
        first: dict[int, int] = {}
        for offset in sorted(memory.held):
            first.setdefault(memory.held[offset] % system.KEYS, offset)
        offset = self.world.dice.choice(list(first.values()))
        n, tried = memory.held[offset], memory.attempts.get(offset, 0)
        memory.attempts[offset] = tried + 1
        fails = system.failures(self.service.name, n)
        if 0 <= fails <= tried or (fails < 0 and tried >= 2):
            del memory.held[offset], memory.attempts[offset]
            parked = [self._given_up(offset, n)] if fails < 0 else []
            if not parked:
                self.world.effects[self.service.name].add(offset)
            self._step(memory.position, [] if parked else [n], parked, [], [offset])

    def _given_up(self, offset: int, n: int) -> wire.Parked:
        event = self.service.subscribes[0]
        return wire.Parked(offset, event, "handle", "simulated", 1, 0, system.partition(n))

    def _step(
        self,
        after: int,
        good: list[int],
        parked: list[wire.Parked],
        deferred: list[int],
        resolved: list[int],
    ) -> None:
        memory = self.memory
        emits = self.service.emits if good else ()
        bodies = tuple(system.pack(event, tuple(good)) for event in emits)
        step = wire.Step(
            *self.key, self.epoch, memory.position, after,
            [wire.Batch(event, len(good)) for event in emits], parked, deferred, resolved,
            len(good), memory.number,
            partitions=[system.partition(memory.held[offset]) for offset in deferred],
        )  # fmt: skip
        memory.seen += good
        memory.number += 1
        memory.position = after
        self._pass_by()
        memory.unconfirmed.append((step, bodies))
        if self.store is not None:
            self.store.commit(memory)
        if not self.world.dies_before_sending(self):
            self.say(step, bodies)
