"""The test of the test: an engine with a hole in it is caught by the seeds (spec: 12.10)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import pytest

from flowc_engine.core import layout
from flowc_engine.core.broker import BrokerCore
from flowc_engine.core.session import SlotSession
from flowc_engine.journal import recovery
from flowc_engine.journal.record import SlotState
from flowc_engine.journal.state import DurableState
from flowc_engine.sim.clients import Store
from flowc_engine.sim.disk import VirtualDisk
from flowc_engine.sim.oracle import simulate
from support.mutants import what_is_deferred_stays_behind

Patch = pytest.MonkeyPatch
SEEDS = 400


def ack_before_sync(patch: Patch) -> None:
    def send(self, peer, message):
        self._send(peer, message)

    patch.setattr(BrokerCore, "_send_when_durable", send)


def no_deduplication(patch: Patch) -> None:
    real = BrokerCore._publish

    def publish(self, peer, message, bodies, now_ms):
        seq = self.state.source(message.source).seq
        real(self, peer, msgspec.structs.replace(message, seq=seq), bodies, now_ms)

    patch.setattr(BrokerCore, "_publish", publish)


def cursor_before_effect(patch: Patch) -> None:
    """A service commits where it is, and then what it has to send."""

    def commit(self, memory):
        self.committed = memory.copied()
        self.committed.unconfirmed = deque(list(memory.unconfirmed)[:-1])

    patch.setattr(Store, "commit", commit)


def no_fence(patch: Patch) -> None:
    """Whoever sends a step that fits is believed."""
    real = BrokerCore._step

    def step(self, peer, message, bodies, now_ms):
        session = self._slots[message.service, message.slot]
        state = self.state.slots[session.key]
        forced = msgspec.structs.replace(
            message, epoch=session.epoch, before=state.cursor, number=state.steps,
            after=max(state.cursor, message.after),
        )  # fmt: skip
        real(self, session.peer or peer, forced, bodies, now_ms)

    patch.setattr(BrokerCore, "_step", step)


def no_incarnation(patch: Patch) -> None:
    """A process that says the name of another one is taken for it."""
    real = BrokerCore._hello_service

    def hello(self, peer, message, now_ms):
        session = self._slots.get((message.name, message.slot))
        if session is not None and session.peer is not None and session.resumed:
            session.peer = peer
            return
        real(self, peer, message, now_ms)

    patch.setattr(BrokerCore, "_hello_service", hello)


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


def retry_failed_sync(patch: Patch) -> None:
    real = VirtualDisk.fdatasync

    def fdatasync(self, fd):
        try:
            real(self, fd)
        except OSError:
            real(self, fd)

    patch.setattr(VirtualDisk, "fdatasync", fdatasync)


def silent_truncate(patch: Patch) -> None:
    """The first record that is not sound ends the journal, whatever is behind it."""
    patch.setattr(recovery, "_later_header", lambda *_: None)


def no_write_again(patch: Patch) -> None:
    """What a killed process has written and not synced is taken for durable."""
    patch.setattr(recovery, "_write_again", lambda *_: None)


def no_name_sync(patch: Patch) -> None:
    """The name of a segment is taken for durable."""
    patch.setattr(VirtualDisk, "sync_folder", lambda *_: None)


def no_sync(patch: Patch) -> None:
    patch.setattr(VirtualDisk, "fdatasync", lambda *_: None)


def steps_without_numbers(patch: Patch) -> None:
    """After a reconnect all unconfirmed steps are sent, and taken if they fit."""
    real = DurableState.apply

    def apply(self, entry, rows):
        real(self, entry, rows)
        for slot in self.slots.values():
            slot.steps = 0

    real_step = BrokerCore._step

    def step(self, peer, message, bodies, now_ms):
        real_step(self, peer, msgspec.structs.replace(message, number=0), bodies, now_ms)

    patch.setattr(DurableState, "apply", apply)
    patch.setattr(BrokerCore, "_step", step)


def skips_what_it_reads(patch: Patch) -> None:
    """A service that emits nothing is told to be further than it was."""
    real = SlotSession.resume

    def resume(self, cursor, position, *, replay, deferred):
        real(self, cursor, position, replay=replay, deferred=deferred)
        if self.key[0] == "Keep":
            self.sent += 1

    patch.setattr(SlotSession, "resume", resume)


def new_slots(patch: Patch, spoil: Callable[[SlotState, Sequence[SlotState]], None]) -> None:
    """A rescale that does something else with each new slot, knowing the old ones."""
    real = layout._new_slot

    def new_slot(service, index, replicas, partitions, old):
        slot = real(service, index, replicas, partitions, old)
        spoil(slot, old)
        return slot

    patch.setattr(layout, "_new_slot", new_slot)


def no_floors_at_a_rescale(patch: Patch) -> None:
    new_slots(patch, lambda slot, _: slot.floors.clear())


def the_highest_cursor_at_a_rescale(patch: Patch) -> None:
    def spoil(slot, old):
        slot.cursor = max((s.cursor for s in old), default=0)

    new_slots(patch, spoil)


def epochs_follow_over_a_rescale(patch: Patch) -> None:
    def spoil(slot, _):
        slot.epoch = max(0, slot.epoch - 1)

    new_slots(patch, spoil)


CLUMSY = ("TypeError", "AttributeError", "NameError")
"""What a mutant dies of that no longer fits what it replaces: nothing was caught then."""
QUICK_MUTANTS = [ack_before_sync, no_fence, no_replay, no_sync]
SLOW_MUTANTS = [
    cursor_before_effect, no_incarnation, assign_once, retry_failed_sync, silent_truncate,
    no_name_sync, no_write_again, no_deduplication, forget_deferred,
    skips_what_it_reads, steps_without_numbers, no_floors_at_a_rescale,
    the_highest_cursor_at_a_rescale, epochs_follow_over_a_rescale,
    what_is_deferred_stays_behind,
]  # fmt: skip


def first_catch(mutant: Callable[[Patch], None], patch: Patch, seeds: range) -> int | None:
    """The first of the seeds that catches it."""
    mutant(patch)
    for seed in seeds:
        verdict = simulate(seed)
        if not verdict.good:
            why = verdict.violations[0][:200]
            assert not why.startswith(CLUMSY), f"the mutant itself is broken: {why}"
            print(f"{mutant.__name__}: seed {seed}: {why}")
            return seed
    return None


@pytest.mark.parametrize("mutant", QUICK_MUTANTS, ids=lambda m: m.__name__)
def test_a_few_seeds_catch(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    assert first_catch(mutant, monkeypatch, range(40)) is not None


@pytest.mark.slow
@pytest.mark.parametrize("mutant", SLOW_MUTANTS, ids=lambda m: m.__name__)
def test_the_seeds_catch(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    assert first_catch(mutant, monkeypatch, range(SEEDS)) is not None


def test_what_is_lost_is_counted(monkeypatch: Patch) -> None:
    ack_before_sync(monkeypatch)
    assert any(simulate(seed).lost for seed in range(60))
