"""The delivery protocol under crashes of everything, by seed: nothing acknowledged is lost, nothing
doubled."""

from __future__ import annotations

import pytest

from support.plans import pipeline
from support.world import World

TOTAL = 150


def oracle(world: World) -> None:
    """What the journal must say when all is consumed."""
    events = world.disk.events()
    placed = [n for who, kind, n in events if kind == "Placed"]
    paid = [n for who, kind, n in events if kind == "Paid"]
    assert placed == list(range(TOTAL)), "the source's events: each once, in order"
    assert sorted(paid) == placed, "each input's output: exactly once"
    if not world.bad_every:
        assert paid == placed, "and in order"
    for host in world.hosts.values():
        assert sorted(host.seen) == placed, "memory is what the log says, once each"


def test_without_faults():
    world = World(pipeline(), 1, TOTAL, faults=False)
    world.run()
    oracle(world)


@pytest.mark.parametrize("seed", range(24))
def test_seed(seed):
    world = World(pipeline(), seed, TOTAL, faults=True, bad_every=(0, 7)[seed % 2])
    world.run()
    oracle(world)
    assert sum(world.counts.values()) > 5, "the seed has faults"


def test_a_seed_decides_all():
    def trace(seed: int) -> list[object]:
        world = World(pipeline(), seed, TOTAL, faults=True)
        world.run()
        return [world.disk.entries, world.counts, world.now_ms]

    assert trace(5) == trace(5)
    assert trace(5) != trace(6)
