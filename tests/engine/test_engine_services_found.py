"""What the seeds of `test_engine_services_seeds` have found, each once more by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from flowc_dsl.plan import HandlerPlan, OutputPlan, Plan, RetryPlan, ServicePlan
from flowc_engine.journal import record as rec
from flowc_engine.journal.state import DurableState
from support.local import Local
from support.plans import event

RETRY = RetryPlan(attempts=1, backoff_min_ms=5_000, backoff_max_ms=5_000)


def plan(replicas: int = 1) -> Plan:
    """S reads A and B, and emits any number of X."""
    handlers = (HandlerPlan(("A", "B"), ((OutputPlan("X", "any"),),), retry=RETRY),)
    service = ServicePlan("S", "python", "app:S", handlers, replicas=replicas)
    events = tuple(event(n, external=n in "AB") for n in "ABX")
    return Plan("T", events, (service,), {}, {})


@pytest.fixture
def made() -> Iterator[list[Local]]:
    """What is closed at the end."""
    locals_: list[Local] = []
    yield locals_
    for local in locals_:
        local.close()


def inputs(local: Local, kinds: str, keys: list[str] | None = None) -> list[Any]:
    """An event of each of these types, numbered."""
    return [
        local.classes.event(kind)(k=keys[n] if keys else f"k{n}", n=n)
        for n, kind in enumerate(kinds)
    ]


def test_the_step_behind_one_that_was_split_goes_on_at_its_end(made, monkeypatch):
    """It began in the middle of it, and was refused (seed 0: a process died of it)."""
    monkeypatch.setattr("flowc.draft.STEP_BYTES_MAX", 20_000)

    def handler(e):
        return local.classes.event("X")(k="x" * 5_000, n=e.n)

    local = Local(plan(), S={"A": handler, "B": handler})
    made.append(local)
    local.start("S")
    for _ in range(3):
        local.publish_mixed(*inputs(local, "A" * 20))
        local.run()
    assert [e.n for e in local.events("X")] == [*range(20)] * 3
    steps = [e for e, rows, _ in local.disk if rows and isinstance(e, rec.StepDone)]
    assert len(steps) > 6


def test_an_event_that_one_step_defers_and_resolves_waits_no_more():
    """It stayed deferred, and nothing was ever idle again (seeds 5 and 7)."""
    state = DurableState(slots={("S", 0): rec.SlotState("S", 0, [], 0, deferred=[3])})
    step = rec.StepDone(7, [], [], "S", 0, 1, 0, 9, [], deferred=[4, 5], resolved=[3, 4])
    state.apply(step, 0)
    assert state.slots["S", 0].deferred == [5]


def test_deferred_events_of_types_that_alternate_come_back_in_order(made):
    """A restarted process held all of one type before the other (seeds 16, 21 and 28)."""
    broken, seen = [True], []

    def handler(e):
        if broken[0]:
            raise ValueError("down")
        seen.append(e.n)

    local = Local(plan(), S={"A": handler, "B": handler})
    made.append(local)
    local.start("S")
    local.publish_mixed(*inputs(local, "AABABBA", ["one"] * 7))
    local.run(lambda: local.core.status(0).slots[0].deferred == 7)
    broken[0] = False
    local.start("S")
    local.run()
    assert seen == list(range(7))


def test_a_batch_with_an_event_that_fails_still_rebuilds_the_memory_of_the_others(made):
    """All before the one that fails were left out of the memory (seed 171)."""
    seen: list[int] = []

    def handler(batch):
        numbers = batch["n"].to_pylist()
        if 5 in numbers:
            raise ValueError("five")
        seen.extend(numbers)

    local = Local(plan(), S={"A": handler, "B": handler})
    made.append(local)
    local.start("S")
    local.publish_mixed(*inputs(local, "A" * 10))
    local.run()
    assert [p.offset for p in local.parked()] == [5]
    seen.clear()
    local.start("S")
    local.run()
    assert seen == [0, 1, 2, 3, 4, 6, 7, 8, 9]


@pytest.mark.parametrize("turns", range(1, 12))
def test_a_broker_that_restarts_amid_what_is_below_a_floor_doubles_no_memory(made, turns):
    """What only rebuilt memory did not count as handled, and came again."""
    seen: list[int] = []

    def handler(e):
        seen.append(e.n)

    local = Local(plan(replicas=2), turns, S={"A": handler, "B": handler})
    made.append(local)
    local.start("S", 0)  # alone: the partitions of the other stay behind
    local.publish_mixed(*inputs(local, "A" * 60))
    local.run()
    handled = set(seen)
    assert 10 < len(handled) < 50
    seen.clear()
    local.workers.clear()
    local.plan = replace(local.plan, services=(plan(replicas=3).services[0],))
    local.start_broker()
    assert any(slot.floors for slot in local.core.state.slots.values())
    for slot in range(3):
        local.start("S", slot)._chunk_rows = 1
    for _ in range(turns):
        local.turn()
    local.start_broker()
    local.run()
    assert sorted(seen) == list(range(60)), "each once, by one of them"


def test_a_process_that_was_replaced_for_a_while_does_not_go_on(made):
    """It took the other's cursor for its own: outputs were doubled (seed 1321), and its memory
    lacked what the other had handled (seed 15)."""

    def handler(e):
        return local.classes.event("X")(k=e.k, n=e.n)

    local = Local(plan(), S={"A": handler, "B": handler})
    made.append(local)
    first = local.start("S")
    local.publish_mixed(*inputs(local, "A" * 10))
    local.run(lambda: first.settled and local.core.durable_offset == 20)
    (peer,) = local.workers
    del local.workers[peer]  # nothing is heard of it
    second = local.start("S")
    local.run()
    local.kill(second)
    local.workers[peer] = first
    local._hello(peer, first)
    local.run()
    assert first not in local.workers.values(), "another image has begun in its place"
    assert [e.n for e in local.events("X")] == list(range(10))
