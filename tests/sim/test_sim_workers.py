"""The worker that ships, under the simulator's faults: kills, power cuts, failing disks, bit rot
(spec: 12.11)."""

from __future__ import annotations

from collections import Counter

import pytest

from flowc.worker import Worker
from support.simulated import simulate_workers


@pytest.mark.parametrize("seed", range(4))
def test_a_seed(seed: int) -> None:
    verdict = simulate_workers(seed)
    assert verdict.good, verdict.violations
    assert sum(verdict.faults.values()) > 3


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 300, 25))
def test_many_seeds(first: int) -> None:
    faults: Counter[str] = Counter()
    for seed in range(first, first + 25):
        verdict = simulate_workers(seed)
        assert verdict.good, (seed, verdict.violations)
        faults.update(verdict.faults)
    assert len(faults) > 15


def test_a_seed_decides_all() -> None:
    assert simulate_workers(3) == simulate_workers(3)


@pytest.mark.slow
def test_a_worker_that_sends_nothing_again_is_caught(monkeypatch) -> None:
    monkeypatch.setattr(Worker, "_send_again", lambda *_: None)
    assert any(not simulate_workers(seed).good for seed in range(60))
