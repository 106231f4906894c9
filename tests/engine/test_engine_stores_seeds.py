"""Services with stores under faults of everything, by seed: killed between the commits of a step,
and between the last of them and its sending; partitions that move; files of replicas that live on
(spec: 4.32, 8.20 to 8.29)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from support.replayed import assert_replays_the_same
from support.services import simulate_stores
from support.stored import store_folder
from support.verdict import Verdict, judge

QUICK, SLOW = range(4), 50
EVENTS, EVENTS_SLOW = 24, 50


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # of the failures that the handlers have
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("seed", QUICK)
def test_seed(seed: int) -> None:
    with store_folder() as folder:
        world = simulate_stores(seed, EVENTS, folder, operated=seed % 4 == 0)
        verdict = judge(world)
        assert verdict == Verdict(verdict.events)
        assert_replays_the_same(world)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(3_000, 3_600, SLOW))
def test_hundreds_of_seeds(first: int) -> None:
    faults: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    events = 0
    for seed in range(first, first + SLOW):
        with store_folder() as folder:
            world = simulate_stores(seed, EVENTS_SLOW, folder, operated=seed % 3 == 0)
            verdict = judge(world)
            assert verdict == Verdict(verdict.events), seed
        faults += world.faults
        ended += world.ended
        events += verdict.events
    print(f"{SLOW} seeds, {events} events, {dict(faults)}, ended: {dict(ended)}")
    assert faults["relay"] > SLOW / 4
    assert ended["DiedError"] > SLOW
    assert ended["StoreFailedError"] > SLOW / 10, "a zombie kept its files"
    assert set(ended) <= {"MemoryLostError", "FencedError", "DiedError", "StoreFailedError"}
