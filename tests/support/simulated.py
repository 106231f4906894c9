"""The worker that ships, as a process of the simulator: its journal, disk, network and faults, with
real codecs and handlers."""

from __future__ import annotations

import logging
from typing import Any

import flowc
from flowc.calls import Who, make_call
from flowc.classes import Classes
from flowc.clock import Clock
from flowc.codec import Codecs
from flowc.errors import FencedError, RefusedError
from flowc.load import Handler, function_of
from flowc.worker import MemoryLostError, Worker
from flowc_dsl.plan import ServicePlan
from flowc_engine.bus import wire
from flowc_engine.sim import system
from flowc_engine.sim.clients import Replica, Store
from flowc_engine.sim.oracle import CHAOS_MS, Verdict, judge
from flowc_engine.sim.world import EPOCH_MS, World

CODECS = Codecs(Classes(system.PLAN))
EVENTS = 48


class _Clock(Clock):
    def __init__(self, world: World) -> None:
        self._world = world

    def now_us(self) -> int:
        return EPOCH_MS * 1000 + int(self._world.now_ms * 1000)

    def elapsed_s(self) -> float:
        return self._world.now_ms / 1000


class RealProcess(Replica):
    """What `flowc.host` runs, without its socket."""

    def __init__(
        self, world: World, name: str, service: ServicePlan, slot: int, store: Store | None
    ) -> None:
        self._seen: list[int] = []
        function = function_of(f"{service.name}.handle", self._handle)
        handlers = {
            trigger: [Handler(trigger, function, declared)]
            for declared in service.handlers
            for trigger in declared.triggers
        }
        who = Who(service.name, slot)
        calls = {trigger: make_call(h, CODECS, who, None) for trigger, h in handlers.items()}
        self._worker = Worker(
            service, slot, CODECS, handlers, calls,
            lambda message, bodies: self.say(message, tuple(bytes(b) for b in bodies)),
            seed=world.dice.randrange(1 << 30), clock=_Clock(world),
        )  # fmt: skip
        super().__init__(world, name, service, slot, store)

    @property
    def seen(self) -> list[int]:
        return self._seen

    @property
    def settled(self) -> bool:
        return self._worker.settled

    def take(self, message: wire.BrokerMessage, bodies: list[bytes]) -> None:
        if isinstance(message, wire.Assign):
            if self.world.loses():
                return
            self.epoch = max(self.epoch, message.epoch)
        try:
            self._worker.receive(message, bodies)
        except (FencedError, MemoryLostError, RefusedError) as error:
            self.end(f"{type(error).__name__} {error}")

    def work(self) -> float | None:
        now_s = self.world.now_ms / 1000
        for _ in range(self.world.dice.randrange(3)):
            if self._worker.pause_s(now_s) == 0.0:
                self._worker.work(now_s)
        pause_s = self._worker.pause_s(now_s)
        if pause_s == 0.0:
            return self.world.dice.random() * 5
        return None if pause_s is None else pause_s * 1000 + 0.1

    def _handle(self, e: Any, ctx: flowc.Context) -> list[Any]:
        fails = system.failures(self.service.name, e.n)
        if fails < 0 or (ctx.attempt <= fails and not ctx.replaying):
            raise ValueError(e.n)
        self._seen.append(e.n)
        if not ctx.replaying:
            self.world.effects[self.service.name].add(ctx.offset)
        return [CODECS.classes.event(name)(k=e.k, n=e.n) for name in self.service.emits]


def simulate_workers(seed: int) -> Verdict:
    """A seed with the worker that ships."""
    logging.disable(logging.CRITICAL)  # of the failures that the handlers have
    try:
        return judge(World(seed, EVENTS, CHAOS_MS, make=RealProcess, stores=()))
    finally:
        logging.disable(logging.NOTSET)
