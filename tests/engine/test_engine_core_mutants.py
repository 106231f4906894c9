"""The test of the test: a protocol with a hole in it is caught by the seeds."""

from __future__ import annotations

import pytest
from test_engine_core_seeds import TOTAL, oracle

from flowc_engine.bus import wire
from flowc_engine.core.broker import BrokerCore
from flowc_engine.core.session import SlotSession
from support.mutants import Mutant, Patch, assert_caught
from support.plans import pipeline
from support.world import World

SEEDS = 40


def ack_before_sync(patch: Patch) -> None:
    def send(self: BrokerCore, peer: bytes, message: wire.Message) -> None:
        self._send(peer, message)

    patch.setattr(BrokerCore, "_send_when_durable", send)


def no_deduplication(patch: Patch) -> None:
    real = BrokerCore._publish

    def publish(self, peer, message, bodies, now_ms):
        seq = self.state.source(message.source).seq
        real(
            self,
            peer,
            wire.Publish(message.source, message.epoch, seq, message.batches),
            bodies,
            now_ms,
        )

    patch.setattr(BrokerCore, "_publish", publish)


def no_fence(patch: Patch) -> None:
    real = BrokerCore._step

    def step(self, peer, message, bodies, now_ms):
        session = self._slots[message.service, message.slot]
        before = self.state.slots[session.key].cursor
        any_epoch = wire.Step(
            message.service, message.slot, session.epoch, before, max(before, message.after),
            message.batches, message.parked, message.deferred, message.resolved,
        )  # fmt: skip
        real(self, session.peer or peer, any_epoch, bodies, now_ms)

    real_receive = BrokerCore.receive

    def receive(self, peer, message, bodies, now_ms):
        if isinstance(message, wire.Step):
            step(self, peer, message, bodies, now_ms)
        else:
            real_receive(self, peer, message, bodies, now_ms)

    patch.setattr(BrokerCore, "receive", receive)


def assign_once(patch: Patch) -> None:
    patch.setattr(SlotSession, "assign_due", lambda self, now_ms: False)


def no_replay(patch: Patch) -> None:
    real = SlotSession.resume

    def resume(self, cursor, position, *, replay, deferred):
        real(self, cursor, position, replay=False, deferred=deferred)

    patch.setattr(SlotSession, "resume", resume)


def forget_deferred(patch: Patch) -> None:
    real = SlotSession.resume

    def resume(self, cursor, position, *, replay, deferred):
        real(self, cursor, position, replay=replay, deferred=[])

    patch.setattr(SlotSession, "resume", resume)


MUTANTS = [
    ack_before_sync, no_deduplication, no_fence, no_replay, forget_deferred, assign_once,
]  # fmt: skip


def good(seed: int) -> bool:
    world = World(pipeline(), seed, TOTAL, faults=True, bad_every=(0, 7)[seed % 2])
    world.run()
    oracle(world)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.__name__)
def test_the_seeds_catch(mutant: Mutant, monkeypatch: Patch) -> None:
    assert_caught(mutant, monkeypatch, good, SEEDS)
