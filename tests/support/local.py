"""A system in one process: the real broker core and workers, a disk that is a list, a clock that is
a number. Handlers are the test's own functions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa

from flowc.calls import Call, Who, make_call
from flowc.classes import Classes, use_plan
from flowc.clock import Clock
from flowc.codec import Codecs
from flowc.load import Handler, function_of, given_events
from flowc.mock import mock_handlers
from flowc.packing import EmittedBatch, Packer, by_type
from flowc.rows import offsets_of
from flowc.worker import MemoryLostError, Worker
from flowc_dsl.plan import HandlerPlan, Plan
from flowc_engine.bus import wire
from flowc_engine.core import effects as fx
from flowc_engine.core.broker import BrokerCore
from flowc_engine.journal import record as rec
from flowc_engine.journal.state import DurableState


class JumpyClock(Clock):
    """Handlers take from no time to a whole step's worth, as the seed has it."""

    def __init__(self, seed: int) -> None:
        self._dice, self._elapsed_s = random.Random(seed), 0.0
        self.at_us = 1_700_000_000_000_000

    def elapsed_s(self) -> float:
        self._elapsed_s += self._dice.choice((0.0, 0.001, 0.02, 0.1))
        return self._elapsed_s

    def now_us(self) -> int:
        return self.at_us


class Local:
    """`functions`: by service, then by trigger; the value is one function or a list of them."""

    def __init__(self, plan: Plan, seed: int = 0, **functions: dict[str, Any]) -> None:
        self.plan, self.functions = plan, functions
        self.classes: Classes = use_plan(plan)
        self.codecs = Codecs(self.classes)
        self.disk: list[tuple[rec.AnyEntry, int, list[bytes]]] = []
        self.durable = 0
        self.now_ms = 1_000_000
        self.loop = asyncio.new_event_loop()
        self.workers: dict[bytes, Worker] = {}
        self.outbound: list[tuple[bytes, wire.Message, list[bytes]]] = []
        self.inbound: list[fx.Send] = []
        self.lose_inbound = False
        self._peers = 0
        self.clock = JumpyClock(seed)
        self.start_broker()

    def close(self) -> None:
        self.loop.close()

    # ---- processes

    def start_broker(self) -> None:
        """The broker, new or again; what was under way is lost."""
        state = DurableState()
        del self.disk[self.durable :]
        for entry, rows, _ in self.disk:
            state.apply(entry, rows)
        self.core = BrokerCore(self.plan, state, self.now_ms)
        self.inbound.clear()
        self.outbound.clear()
        for peer, worker in list(self.workers.items()):  # they say hello to the new one
            self._hello(peer, worker)

    def start(self, service: str, slot: int = 0) -> Worker:
        """A replica; an older one of the same place is gone."""
        for worker in list(self.workers.values()):
            if (worker.service.name, worker.slot) == (service, slot):
                self.kill(worker)
        self._peers += 1
        peer = b"w%d" % self._peers
        declared = self.plan.service(service)
        handlers: dict[str, list[Handler]] = {}
        if declared.run == "mock":
            for handler in mock_handlers(self.classes, declared):
                handlers.setdefault(handler.trigger, []).append(handler)
        for trigger, given in self.functions.get(service, {}).items():
            for index, call in enumerate(given if isinstance(given, list) else [given]):
                plans = [h for h in declared.handlers if trigger in h.triggers]
                name = f"{service}.{call.__name__}"
                function = function_of(name, call, given_events(declared, trigger))
                handlers.setdefault(trigger, []).append(Handler(trigger, function, plans[index]))
        who = Who(service, slot)

        def calls(wanted: Callable[[HandlerPlan], bool]) -> dict[str, Call]:
            own = {n: [h for h in found if wanted(h.declared)] for n, found in handlers.items()}
            return {n: make_call(own.get(n, []), self.codecs, who, self.loop) for n in subscribes}

        subscribes = declared.subscribes

        def send(message: wire.Message, bodies: Iterable[memoryview]) -> None:
            self.outbound.append((peer, message, [bytes(b) for b in bodies]))

        worker = self.workers[peer] = Worker(
            declared,
            slot,
            self.codecs,
            handlers,
            calls(lambda _: True),
            send,
            clock=self.clock,
            past=calls(lambda h: h.replayed),
            older=calls(lambda h: h.delivery != "latest"),
        )
        self._hello(peer, worker)
        return worker

    def kill(self, worker: Worker) -> None:
        for peer in [p for p, w in self.workers.items() if w is worker]:
            del self.workers[peer]
            self.outbound = [o for o in self.outbound if o[0] != peer]
            self.core.lost(peer)

    def _hello(self, peer: bytes, worker: Worker) -> None:
        name, slot = worker.service.name, worker.slot
        hello = wire.Hello("service", name, slot, peer.decode(), self.plan.hash, 1)
        self.outbound.append((peer, hello, []))

    # ---- events

    def publish(self, *events: Any) -> None:
        """Durable events from outside, in this order, each in a message of its own."""
        for event in events:
            self.publish_mixed(event)

    def publish_batch(self, events: list[Any]) -> None:
        """Events of one type, as one body."""
        self.publish_mixed(*events)

    def publish_mixed(self, *events: Any) -> None:
        """Events of any types, in this order, as one message."""
        packer = Packer(self.clock.at_us)
        for cls, own in by_type(events).items():
            codec = self.codecs[cls.__name__]
            nulls = pa.nulls(len(own), pa.int64())
            columns = codec.columns([events[i] for i in own])
            packer.add(codec, EmittedBatch(codec.name, columns, nulls, nulls), own)
        batches, bodies, _ = packer.bodies()
        seq = self.core.state.source("test").seq
        self.core.receive(b"src", wire.Hello("source", "test", 0, "i", "", 1), [], self.now_ms)
        epoch = self.core.state.source("test").epoch
        message = wire.Publish("test", epoch, seq, batches)
        self.core.receive(b"src", message, [bytes(b) for b in bodies], self.now_ms)
        self.pump()

    # ---- time

    def pump(self) -> None:
        """Carry out what the core asks for, and sync."""
        while True:
            for effect in self.core.take():
                match effect:
                    case fx.Send():
                        self.inbound.append(effect)
                    case fx.Append():
                        bodies = [bytes(b) for b in effect.bodies]
                        self.disk.append((effect.entry, effect.rows, bodies))
                    case fx.Fetch():
                        self.core.fetched(effect, *self._fetch(effect))
            if self.durable < len(self.disk):
                self.durable = len(self.disk)
                offset = sum(rows for _, rows, _ in self.disk)
                self.core.durable(wire.Durable(0, 0, self.durable, offset), self.now_ms)
            elif not self.core._out:
                return

    def _fetch(self, fetch: fx.Fetch) -> tuple[int, list[wire.Delivered], list[bytes]]:
        wanted = frozenset(self.plan.service(fetch.key[0]).subscribes)
        found = []
        for batch, body in self._bodies():
            offsets = offsets_of(batch)
            inside = any(fetch.begin <= o < fetch.limit for o in offsets)
            if batch.event in wanted and (inside or not set(offsets).isdisjoint(fetch.at)):
                found.append((batch, body))
        return fetch.limit, [b for b, _ in found], [body for _, body in found]

    def _bodies(self) -> Iterator[tuple[wire.Delivered, bytes]]:
        """All that is durable, as it would be delivered."""
        first = 0
        for entry, rows, bodies in self.disk[: self.durable]:
            emitter = getattr(entry, "source", None) or getattr(entry, "service", "")
            at = first
            for batch, body in zip(entry.batches, bodies, strict=True):
                yield wire.Delivered(batch.event, batch.rows, at, emitter, batch.places), body
                at += 0 if batch.places else batch.rows
            first += rows

    def turn(self) -> None:
        """Everybody once: clients to the broker, the broker to clients, workers work."""
        outbound, self.outbound = self.outbound, []
        for peer, message, bodies in outbound:
            self.core.receive(peer, message, bodies, self.now_ms)
        self.pump()
        inbound, self.inbound = self.inbound, []
        for send in inbound:
            worker = self.workers.get(send.peer)
            if worker is None:
                continue
            try:
                worker.receive(send.message, [bytes(b) for b in send.bodies])
            except MemoryLostError:  # what a host process does: begin with an empty memory
                self.start(worker.service.name, worker.slot)
        for worker in list(self.workers.values()):
            worker.work(self.now_ms / 1000)
        self.now_ms += 1
        if self.now_ms % 50 == 0:
            self.core.tick(self.now_ms)
            for peer in [*self.workers, b"src"]:
                self.core.receive(peer, wire.Heartbeat(), [], self.now_ms)
            self.pump()

    def run(self, until: Callable[[], bool] | None = None, turns: int = 50_000) -> None:
        """Until all is handled (or `until`)."""
        for _ in range(turns):
            self.turn()
            if until() if until is not None else self.idle():
                return
        raise AssertionError(f"stalled: {self.core.status(self.now_ms)}")

    def idle(self) -> bool:
        served = [s for s in self.core.status(self.now_ms).slots if s.connected]
        return (
            not self.outbound
            and not self.inbound
            and all(s.ready and s.lag == 0 and s.deferred == 0 for s in served)
            and all(w.settled for w in self.workers.values())
        )

    # ---- what came of it

    def events(self, *names: str) -> list[Any]:
        """The durable events of these types, in order."""
        return [event for event, _ in self.with_envelope(*names)]

    def with_envelope(self, *names: str) -> list[tuple[Any, dict[str, Any]]]:
        found = []
        for batch, body in self._bodies():
            if batch.event in names:
                codec = self.codecs[batch.event]
                read = codec.read(body)
                rows = read.select(["_cause", "_root", "_partition"]).to_pylist()
                found += [
                    (event, row | {"_offset": offset})
                    for event, row, offset in zip(
                        codec.objects(read), rows, offsets_of(batch), strict=True
                    )
                ]
        return sorted(found, key=lambda pair: pair[1]["_offset"])

    def parked(self) -> list[wire.Parked]:
        return [p for e, _, _ in self.disk[: self.durable] for p in getattr(e, "parked", [])]
