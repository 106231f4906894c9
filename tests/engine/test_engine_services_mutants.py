"""The test of the test: a worker with a hole in it is caught by the seeds.

One hole takes more seeds than these, to go on after another process had the slot (2 of 600): it has
a test of its own in `test_engine_services_found`.
"""

from __future__ import annotations

import pytest

from flowc.handling import Handling
from flowc.outbox import Outbox
from flowc.retries import Retries
from flowc.worker import Worker, _Piece
from flowc_engine.journal import state
from support.mutants import Mutant, Patch, assert_caught, what_is_deferred_stays_behind
from support.services import simulate
from support.verdict import judge

SEEDS = 60
EVENTS = 40


def half_a_memory(patch: Patch) -> None:
    real = Worker._assigned

    def assigned(self, assign):
        self._replaying_to = None
        real(self, assign)

    patch.setattr(Worker, "_assigned", assigned)


def send_nothing_again(patch: Patch) -> None:
    patch.setattr(Worker, "_send_again", lambda self, assign: self._unconfirmed.clear())


def hold_what_is_held(patch: Patch) -> None:
    patch.setattr(Retries, "__contains__", lambda self, offset: False)


def replay_the_deferred(patch: Patch) -> None:
    patch.setattr(Worker, "_without_deferred", lambda self, rows: rows)


def types_one_after_the_other(patch: Patch) -> None:
    patch.setattr("flowc.worker.in_order", lambda bodies: [b for b in bodies if len(b)])


def keys_do_not_wait(patch: Patch) -> None:
    patch.setattr(Handling, "_next_waiting", lambda self, rows, begin: len(rows))


def no_floors(patch: Patch) -> None:
    patch.setattr(Worker, "_above_floors", lambda self, rows, floors: [_Piece(rows, False)])


def all_partitions(patch: Patch) -> None:
    patch.setattr("flowc.worker.rows_of_partitions", lambda rows, partitions: rows)


def defer_what_is_resolved(patch: Patch) -> None:
    real = state._apply_step

    def apply(slot, entry):
        real(slot, entry)
        slot.deferred += [o for o in entry.deferred if o in entry.resolved]

    patch.setattr(state, "_apply_step", apply)


def replay_whole_batches_only(patch: Patch) -> None:
    def replay(self, rows):
        self._calls[rows.event].run(rows, Outbox(self._codecs), attempt=1, replaying=True)

    patch.setattr(Handling, "replay", replay)


def retry_what_lies_ahead(patch: Patch) -> None:
    real = Worker._pass_by
    patch.setattr(Worker, "_pass_by", lambda self, position: real(self, 1 << 60))


MUTANTS = [
    what_is_deferred_stays_behind, retry_what_lies_ahead,
    half_a_memory, send_nothing_again, hold_what_is_held, replay_the_deferred,
    types_one_after_the_other, keys_do_not_wait, no_floors, all_partitions,
    defer_what_is_resolved, replay_whole_batches_only,
]  # fmt: skip


def good(seed: int) -> bool:
    return judge(simulate(seed, EVENTS)).good


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.__name__)
def test_the_seeds_catch(mutant: Mutant, monkeypatch: Patch) -> None:
    assert_caught(mutant, monkeypatch, good, SEEDS)
