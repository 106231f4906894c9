"""Services and broker under faults of everything, by seed: the code that ships on both sides (spec:
4.3, 4.4, 4.7, 4.8, 4.9, 4.14, 4.15, 4.31, 7.6)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from support.replayed import assert_replays_the_same
from support.services import FAULTS, simulate
from support.verdict import Verdict, judge

QUICK, OPERATED, SLOW = range(6), range(3), 20
EVENTS, EVENTS_SLOW = 30, 60


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # of the failures that the handlers have
    yield
    logging.disable(logging.NOTSET)


def test_without_faults() -> None:
    world = simulate(0, 120, fault_share=0.0)
    verdict = judge(world)
    assert verdict == Verdict(verdict.events)
    assert_replays_the_same(world)
    assert not world.ended, "nobody was fenced or refused"


@pytest.mark.parametrize("seed", QUICK)
def test_seed(seed: int) -> None:
    world = simulate(seed, EVENTS)
    verdict = judge(world)
    assert verdict == Verdict(verdict.events)
    assert_replays_the_same(world)


@pytest.mark.parametrize("seed", OPERATED)
def test_seed_with_an_operator(seed: int) -> None:
    """What was parked is handled again, once, and by the service that gave up on it (4.22)."""
    world = simulate(seed, EVENTS, operated=True)
    verdict = judge(world)
    assert verdict == Verdict(verdict.events)
    assert world.operator is not None
    assert_replays_the_same(world)


def test_a_seed_decides_all() -> None:
    def trace(seed: int) -> list[object]:
        world = simulate(seed, EVENTS)
        return [world.disk.entries, world.faults, world.ended, world.now_ms]

    assert trace(5) == trace(5)
    assert trace(5) != trace(6)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1_000, 2_000, SLOW))
def test_a_thousand_seeds(first: int) -> None:
    faults: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    events = 0
    for seed in range(first, first + SLOW):
        world = simulate(seed, EVENTS_SLOW, operated=seed % 3 == 0)
        verdict = judge(world)
        assert verdict == Verdict(verdict.events), seed
        assert_replays_the_same(world)
        faults += world.faults
        ended += world.ended
        events += verdict.events
    print(f"{SLOW} seeds, {events} events, {dict(faults)}, ended: {dict(ended)}")
    assert all(faults[kind] > 4 * SLOW for kind in FAULTS)
    assert faults["relay"] > SLOW / 2
    assert ended["MemoryLostError"] > SLOW
    assert set(ended) <= {"MemoryLostError", "FencedError"}, "nobody was refused"
