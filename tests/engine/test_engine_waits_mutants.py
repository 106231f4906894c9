"""A test of the test: what is broken in how handlers wait, the seeds catch."""

from __future__ import annotations

import msgspec
import pytest

from flowc.waits import Deadline, Join, Timer, Waits
from flowc.worker import Worker
from support.mutants import Mutant, Patch, assert_caught
from support.services import simulate
from support.verdict import judge

SEEDS = 40
EVENTS = 40


def forget_at_a_restart(patch: Patch) -> None:
    real = Waits.seen

    def see(self, rows, *, replaying):
        patch.setattr(Waits, "seen", (lambda _, r: (r, [])) if replaying else real)
        seen(self, rows, replaying=replaying)

    seen = Worker._see
    patch.setattr(Worker, "_see", see)


def emit_before_the_log_was_seen(patch: Patch) -> None:
    real = Worker._assigned

    def assigned(self, assign):
        real(self, msgspec.structs.replace(assign, end=0))

    patch.setattr(Worker, "_assigned", assigned)


def emit_twice(patch: Patch) -> None:
    real = Deadline.due

    def due(self, now_us, rows_max):
        for found in real(self, now_us, rows_max):
            yield from (found, found)

    patch.setattr(Deadline, "due", due)


def meet_what_was_cancelled(patch: Patch) -> None:
    patch.setattr(Deadline, "settle", lambda self, rows: rows)


def cancel_nothing(patch: Patch) -> None:
    patch.setattr(Deadline, "_cancel", lambda self, key: None)


def too_early(patch: Patch) -> None:
    real = Deadline.due
    patch.setattr(
        Deadline, "due", lambda self, now_us, rows_max: real(self, now_us + 300_000, rows_max)
    )


def join_again_in_a_replay(patch: Patch) -> None:
    real = Worker._see

    def see(self, rows, *, replaying):
        if not replaying:
            real(self, rows, replaying=False)
            return
        joined = self._waits.seen(rows)[1]
        patch.setattr(Waits, "seen", lambda _, own: (own, []))
        real(self, rows, replaying=True)
        patch.setattr(Waits, "seen", seen)
        for indices, batch in joined:
            self._join(rows, indices, batch)

    seen = Waits.seen
    patch.setattr(Worker, "_see", see)


def join_the_last_first(patch: Patch) -> None:
    real = Join._joined
    patch.setattr(Join, "_joined", lambda self, last, found: real(self, last, found[::-1]))


def every_replica_ticks(patch: Patch) -> None:
    real = Waits.__init__

    def init(self, service, slot, codecs):
        real(self, service, 0, codecs)

    patch.setattr(Waits, "__init__", init)


def ticks_are_forgotten(patch: Patch) -> None:
    patch.setattr(Timer, "settle", lambda self, rows: rows)


MUTANTS = [
    forget_at_a_restart, emit_before_the_log_was_seen, emit_twice, meet_what_was_cancelled,
    cancel_nothing, too_early, join_again_in_a_replay, join_the_last_first,
    every_replica_ticks, ticks_are_forgotten,
]  # fmt: skip


def good(seed: int) -> bool:
    return judge(simulate(seed, EVENTS)).good


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.__name__)
def test_the_seeds_catch(mutant: Mutant, monkeypatch: Patch) -> None:
    assert_caught(mutant, monkeypatch, good, SEEDS, (AssertionError, KeyError))
