"""The service processes of a world: the worker that ships, and handlers that fail and remember."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

import flowc
from flowc.calls import Call, Who, make_call
from flowc.clock import Clock
from flowc.errors import FencedError, RefusedError, StoreFailedError
from flowc.load import Function, Handler, function_of
from flowc.worker import MemoryLostError, Worker
from flowc_engine.bus import wire
from support.fates import BOTH, CODECS, LATE, TICK, TICK_MS, fate, hash_of, outputs
from support.stored import DiedError, MortalStores, open_stores

if TYPE_CHECKING:
    from flowc_dsl.plan import ServicePlan
    from support.services import ServiceWorld

Message = tuple[bytes, list[bytes]]  # as on the wire


def packed(message: wire.Message, bodies: Any = ()) -> Message:
    return wire.encode(message), [bytes(b) for b in bodies]


class VirtualClock(Clock):
    """`spent_s` is what handlers have taken."""

    def __init__(self, world: ServiceWorld) -> None:
        self._world, self.spent_s = world, 0.0

    def now_us(self) -> int:
        return self._world.now_ms * 1000

    def elapsed_s(self) -> float:
        return self.spent_s


class Process:
    """A service process: a worker, its handlers, and their memory."""

    def __init__(self, world: ServiceWorld, service: ServicePlan, slot: int, name: str) -> None:
        self.world, self.plan, self.service, self.slot = world, world.plan, service, slot
        self.name = name
        self.dead = False
        self.epoch = 0
        self.memory: list[tuple[int, str]] = []  # (offset, key)
        self.outbound: list[Message] = []
        self.clock = VirtualClock(world)
        self.asleep_until_ms = 0
        self.codecs = CODECS
        self.handlers: dict[str, list[Handler]] = {t: [] for t in service.subscribes}
        for declared in service.handlers:
            for t in declared.triggers:
                self.handlers[t].append(Handler(t, self._function(declared.name), declared))
        self.stores: MortalStores | None = None
        if service.stores:
            assert world.stores is not None
            self.stores = open_stores(world.stores, service, world.random)
        self.worker = Worker(
            service, slot, CODECS, self.handlers, self.calls(), self._send,
            seed=world.random.randrange(1 << 30), clock=self.clock, stores=self.stores,
        )  # fmt: skip

    def die(self) -> None:
        """All that was not committed is gone, and others may have its stores."""
        self.dead = True
        if self.stores is not None:
            self.stores.close()
            self.stores.mortal = False

    def calls(self, _: Any = None) -> dict[str, Call]:
        """As `flowc.serving.Serving`, of which a replay wants no more."""
        who = Who(self.service.name, self.slot, self.stores)
        return {t: make_call(own, CODECS, who, None) for t, own in self.handlers.items()}

    def hello(self) -> wire.Hello:
        name = self.service.name
        return wire.Hello("service", name, self.slot, self.name, hash_of(self.plan), 1)

    def _send(self, message: wire.Message, bodies: Any) -> None:
        self.outbound.append(packed(message, bodies))

    def take(self, message: wire.BrokerMessage, bodies: list[bytes]) -> None:
        """What `flowc.host` does with a message."""
        if isinstance(message, wire.Who):
            self.outbound.append(packed(self.hello()))
            return
        if isinstance(message, wire.Assign):
            self.epoch = message.epoch
        try:
            self.worker.receive(message, bodies)
        except (FencedError, MemoryLostError, StoreFailedError, DiedError) as error:
            self.world.ended[type(error).__name__] += 1
            self.die()
        except RefusedError as error:
            self.world.ended[f"refused {error}"] += 1
            self.die()

    def turn(self) -> None:
        """Time to work."""
        now_s = self.world.now_ms / 1000
        for _ in range(self.world.random.randrange(3)):
            try:
                if not self.dead and self.worker.pause_s(now_s) == 0.0:
                    self.worker.work(now_s)
            except DiedError:
                self.world.ended["DiedError"] += 1
                self.die()

    # ---- the author's code

    def _function(self, name: str) -> Function:
        match name:
            case "late":
                return function_of("Watch.late", self._late)
            case "both":
                return function_of("Watch.both", self._both, 2)
            case "tick":
                return function_of("Watch.tick", self._tick, 0)
        handle = self._count if self.service.name in {"Count", "Tally"} else self._handle
        return function_of(f"{self.service.name}.handle", handle)

    def _late(self, e: Any, ctx: flowc.Context) -> list[Any]:
        return self._answer(e.k, e.n, ctx, LATE.name)

    def _both(self, noted: Any, held: Any, ctx: flowc.Context) -> list[Any]:
        assert noted.k == held.k
        return self._answer(held.k, held.n, ctx, BOTH.name)

    def _tick(self, ctx: flowc.Context) -> list[Any]:
        number = int(ctx.time.timestamp() * 1000) // TICK_MS
        return self._answer(f"t{number}", number, ctx, TICK.name)

    def _enter(self, n: int, ctx: flowc.Context) -> str | int:
        self.clock.spent_s += self.world.random.choice((0.0, 0.0001, 0.004, 0.02))
        what = fate(self.service.name, n)
        if what == "raises" and self.world.fixed:
            return 0
        if what == "raises" or (isinstance(what, int) and ctx.attempt <= what):
            raise ValueError(n)
        return what

    def _handle(self, e: Any, ctx: flowc.Context) -> list[Any]:
        return self._answer(e.k, e.n, ctx)

    def _answer(self, k: str, n: int, ctx: flowc.Context, event: str = "") -> list[Any]:
        if self.stores is not None:
            self._write([(ctx.offset, k)], ctx)
        what = self._enter(n, ctx)
        if what == "silent":
            return []
        self.memory.append((ctx.offset, k))
        emitted = str(n) if what == "misfit" else n
        names = outputs(self.service.name, n, event)
        return [CODECS.classes.event(o)(k=k, n=emitted) for o in names]

    def _count(self, batch: Any, ctx: flowc.Context) -> flowc.Batch:
        numbers = batch["n"].to_pylist()
        offsets = batch["_offset"].to_pylist()
        if self.stores is not None:
            self._write(zip(offsets, batch["k"].to_pylist(), strict=True), ctx)
        for n in numbers:
            self._enter(n, ctx)
        self.memory += zip(offsets, batch["k"].to_pylist(), strict=True)
        chosen = batch.filter(pc.equal(pc.bit_wise_and(batch["n"], 1), 1))
        columns = {"k": chosen["k"], "n": chosen["n"], "_cause": chosen["_offset"]}
        name = "Tallied" if self.stores is not None else "Counted"
        return flowc.Batch.of(CODECS.classes.event(name), columns)

    @staticmethod
    def _write(rows: Any, ctx: flowc.Context) -> None:
        """Before it may raise: then it was not."""
        ctx.store.executemany("INSERT INTO effects VALUES (?, ?)", rows)
