"""Holding the state, clearing it, and old state against new declarations."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from flowc_dsl.plan import FieldPlan, Plan, TypePlan
from flowc_engine.state import StateDir
from flowc_engine.supervisor.compat import PlanChangedError, adopt_plan, changed, stored_plan
from flowc_engine.supervisor.holding import HeldError, clear, hold
from support.plans import event, pipeline, service


def with_field(plan: Plan, name: str, field: FieldPlan) -> Plan:
    events = tuple(
        replace(e, fields=(*e.fields, field)) if e.name == name else e for e in plan.events
    )
    return replace(plan, events=events)


def with_event(plan: Plan, name: str, **change: object) -> Plan:
    return replace(
        plan, events=tuple(replace(e, **change) if e.name == name else e for e in plan.events)
    )


PLAN = pipeline()
LINE = (FieldPlan("sku", TypePlan("string")),)


@pytest.mark.parametrize(
    ("new", "changes"),
    [
        (PLAN, []),
        (replace(PLAN, services=()), []),
        (replace(PLAN, events=(*PLAN.events, event("More"))), []),
        (replace(PLAN, services=(service("Pay", "Placed", "Paid", replicas=3),)), []),
        (with_event(PLAN, "Paid", doc="x", exported=True, retain_ms=1), []),
        (replace(PLAN, events=PLAN.events[:1]), ["event Paid: no longer declared"]),
        (replace(PLAN, partitions=8), ["partitions: 64, now 8"]),
        (with_event(PLAN, "Paid", key="n"), ["event Paid: key k, now n"]),
        (with_event(PLAN, "Paid", fields=PLAN.events[1].fields[:1]),
         ["event Paid: field n is gone"]),
        (with_event(PLAN, "Paid", fields=PLAN.events[1].fields[::-1]),
         ["event Paid: its fields are in another order"]),
        (with_field(PLAN, "Paid", FieldPlan("m", TypePlan("int", optional=True))),
         ["event Paid: field m is new"]),
    ],
)  # fmt: skip
def test_what_of_a_plan_may_change(new: Plan, changes: list[str]) -> None:
    assert list(changed(PLAN, new)) == changes


def test_structs_count_by_what_they_hold_and_enums_as_text() -> None:
    line = TypePlan("list", args=(TypePlan("struct", name="Line"),))
    old = replace(with_field(PLAN, "Paid", FieldPlan("lines", line)), structs={"Line": LINE})
    new = replace(old, structs={"Line": (*LINE, FieldPlan("qty", TypePlan("int")))})
    (change,) = changed(old, new)
    assert change == (
        "event Paid: field lines was list<{sku: string}>, now list<{sku: string, qty: int}>"
    )
    color = FieldPlan("c", TypePlan("enum", name="Color"))
    old = replace(with_field(PLAN, "Paid", color), enums={"Color": ("RED",)})
    assert list(changed(old, replace(old, enums={"Color": ("RED", "BLUE")}))) == []


def test_a_changed_plan_is_refused_only_where_there_are_events(tmp_path: Path) -> None:
    state = StateDir(tmp_path, "S")
    state.create()
    adopt_plan(state, PLAN)
    other = with_event(PLAN, "Paid", key="n")
    adopt_plan(state, other)
    assert stored_plan(state) == other
    (state.journal / "0000000000.seg").touch()
    with pytest.raises(PlanChangedError, match=r"key n, now k[\s\S]*--fresh"):
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
                     "plan.json", "notes.txt"):  # fmt: skip
            (state.path / path).touch()
        clear(state)
        left = {str(p.relative_to(state.path)) for p in state.path.rglob("*")}
        assert left == {"journal", "logs", "lock", "notes.txt"}
