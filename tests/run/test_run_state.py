"""Holding the state, clearing it, and old state against new declarations."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from flowc_dsl.plan import Plan
from flowc_engine.generations import stored_plan
from flowc_engine.state import StateDir
from flowc_engine.supervisor.compat import PlanChangedError, adopt_plan
from flowc_engine.supervisor.holding import HeldError, clear, hold
from support.journal import JournalBuilder
from support.plans import pipeline


def with_event(plan: Plan, name: str, **change: object) -> Plan:
    return replace(
        plan, events=tuple(replace(e, **change) if e.name == name else e for e in plan.events)
    )


PLAN = pipeline()


def test_a_changed_plan_is_refused_only_where_there_are_events(tmp_path: Path) -> None:
    state = StateDir(tmp_path, "S")
    state.create()
    adopt_plan(state, PLAN)
    other = with_event(PLAN, "Paid", key="n")
    adopt_plan(state, other)
    assert stored_plan(state) == other
    journal = JournalBuilder(state.journal, other)
    adopt_plan(state, PLAN)  # no event is stored yet
    adopt_plan(state, other)
    journal.emit("Paid", {"k": "a", "n": 1})
    journal.close()
    with pytest.raises(PlanChangedError, match=r"the key of v1 was n, and now is k[\s\S]*--fresh"):
        adopt_plan(state, PLAN)
    assert stored_plan(state) == other


def test_a_damaged_plan_is_told(tmp_path: Path) -> None:
    state = StateDir(tmp_path, "S")
    state.create()
    state.plan_file.write_text("{}")
    with pytest.raises(ValueError, match=r"plan\.json: not a plan: .*--fresh"):
        stored_plan(state)


def test_a_held_state_says_who_has_it(tmp_path: Path) -> None:
    state = StateDir(tmp_path, "S")
    with hold(state), pytest.raises(HeldError) as error, hold(state):
        pass
    assert f"is held by process {os.getpid()} (" in str(error.value)
    assert f"`kill {os.getpid()}`" in str(error.value)
    with hold(state):  # free again
        pass


def test_fresh_deletes_only_what_is_ours(tmp_path: Path) -> None:
    state = StateDir(tmp_path, "S")
    with hold(state):
        for path in ("journal/0000000000.seg", "logs/broker.log", "log.duckdb", "log.duckdb.wal",
                     "plan.json", "schemas.json", "notes.txt"):  # fmt: skip
            (state.path / path).touch()
        clear(state)
        left = {str(p.relative_to(state.path)) for p in state.path.rglob("*")}
        assert left == {"journal", "logs", "lock", "notes.txt"}
