"""`flowc simulate-engine` (spec: 12.1, 12.9)."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from flowc_engine.cli import main
from flowc_engine.sim.chaos import KINDS
from flowc_engine.sim.disk import VirtualDisk
from flowc_engine.sim.oracle import simulate


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["simulate-engine", *args])


def test_seeds_are_summed_up():
    result = run("--seeds", "3", "--first", "5", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["seeds"], found["lost"], found["failed"]) == (3, 0, [])
    table = run("--seeds", "3", "--first", "5").stdout
    assert found["digest"] in table
    assert "lost" in table
    assert any(f"{kind}  " in table for kind in KINDS)


def test_one_seed_is_shown():
    traced = run("--seed", "5", "--trace").stdout
    assert " ms  recovered" in traced
    assert "Hello(role='source'" in traced
    assert "digest" in traced


def test_trace_is_for_one_seed():
    result = run("--trace")
    assert result.exit_code == 2
    assert "flowc simulate-engine --seed N --trace" in result.stderr


@pytest.fixture
def hole(monkeypatch):
    """An engine that never syncs, and a seed that says so."""
    monkeypatch.setattr(VirtualDisk, "fdatasync", lambda *_: None)
    return next(seed for seed in range(20) if not simulate(seed).good)


def test_a_seed_that_fails_is_shown_and_kept(tmp_path, hole):
    file = tmp_path / "seeds.txt"
    result = run("--seeds", "1", "--first", str(hole), "--failing", str(file))
    assert result.exit_code == 1
    assert f"flowc simulate-engine --seed {hole} --trace" in result.stdout
    assert file.read_text().startswith(f"{hole}  # ")
    again = run("--seeds", "2", "--first", "30", "--failing", str(file), "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["seeds"] == 3, "the kept one was run too"


def test_a_file_of_seeds_that_is_none(tmp_path):
    file = tmp_path / "seeds.txt"
    file.write_text("soon\n")
    result = run("--failing", str(file))
    assert result.exit_code == 2
    assert "'soon' is no seed" in result.stderr


def test_ctrl_c_shows_what_there_is(monkeypatch):
    def interrupted(seeds, _):
        yield from map(simulate, seeds[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr("flowc_engine.sim.sweep.sweep", interrupted)
    result = run("--seeds", "5", "--json")
    assert result.exit_code == 130
    found = json.loads(result.stdout)
    assert (found["seeds"], found["complete"]) == (2, False)
    assert "stopped after 2 of 5 seeds" in result.stderr
