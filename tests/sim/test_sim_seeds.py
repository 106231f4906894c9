"""The engine under chaos, by seed: nothing acknowledged is lost, nothing happens twice, nothing
changes places, nothing stands still (spec: 12.1 to 12.9)."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from flowc_engine.sim.chaos import KINDS
from flowc_engine.sim.oracle import Verdict, simulate
from flowc_engine.sim.sweep import Sum, keep_seeds, read_seeds, sweep

KEPT = Path(__file__).with_name("failing_seeds.txt")
QUICK, CHUNK = 200, 25


def check(seeds: range | list[int]) -> Sum:
    found = Sum()
    for seed in seeds:
        found.add(simulate(seed))
    broken = [(v.seed, v.violations[0]) for v in found.failed]
    assert not broken, f"flowc simulate-engine --seed {broken[0][0]} --trace"
    assert (found.lost, found.doubled, found.reordered, found.stalled) == (0, 0, 0, 0)
    return found


@pytest.mark.parametrize("first", range(0, QUICK, CHUNK))
def test_seeds(first: int) -> None:
    found = check(range(first, first + CHUNK))
    assert found.faults.total() > 5 * CHUNK, "the seeds have faults"
    assert found.acknowledged > 40 * (CHUNK - found.halted), "and events"


def test_seeds_that_failed_once_do_not_any_more() -> None:
    """12.9."""
    check(read_seeds(KEPT))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(QUICK, QUICK + 1_000, 100))
def test_many_seeds(first: int) -> None:
    check(range(first, first + 100))


@pytest.mark.slow
def test_each_kind_of_fault_happens() -> None:
    faults: Counter[str] = Counter()
    for seed in range(300):
        faults.update(simulate(seed).faults)
    assert {*KINDS, "handshake lost", "ended by the disk"} <= set(faults)


def test_a_seed_decides_all() -> None:
    """12.2: also under another order of sets."""
    traces: list[str] = []
    digests = [simulate(7, traces.append).digest, simulate(7).digest]
    code = "from flowc_engine.sim.oracle import simulate; print(simulate(7).digest)"
    for seed in ("1", "2"):
        process = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        digests.append(process.stdout.strip())
    assert len(set(digests)) == 1
    assert len(traces) > 100
    assert simulate(8).digest != digests[0]


def test_several_processes_say_the_same() -> None:
    seeds = list(range(7))
    alone, together = Sum(), Sum()
    for verdict in sweep(seeds, 1):
        alone.add(verdict)
    for verdict in sweep(seeds, 2):
        together.add(verdict)
    assert alone.digest == together.digest
    assert (alone.faults, alone.events) == (together.faults, together.events)


def test_rot_is_told() -> None:
    """12.7: a seed with rot ends in a halt that says so, or all is there."""
    halted = next(v for v in map(simulate, range(100)) if v.halted)
    assert halted.good
    assert ".seg at byte" in halted.halted


def test_failing_seeds_are_kept(tmp_path: Path) -> None:
    """12.9."""
    file = tmp_path / "seeds.txt"
    assert read_seeds(file) == []
    keep_seeds(file, [Verdict(5, violations=["one\ntwo"]), Verdict(7, violations=["three"])])
    keep_seeds(file, [Verdict(7, violations=["three"])])
    assert file.read_text() == "5  # one two\n7  # three\n"
    assert read_seeds(file) == [5, 7]
    file.write_text("5\nx\n")
    with pytest.raises(ValueError, match=r"seeds.txt:2: 'x' is no seed"):
        read_seeds(file)
