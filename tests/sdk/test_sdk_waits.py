"""Handlers that wait for time or for a partner, on the real broker core (spec 4.25 to 4.29)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowc.errors import HaltedError
from flowc_dsl import compile_program
from flowc_dsl.plan import Plan
from support.local import Local

EVENTS = """
system S
external event X key k { k: string  n: int }
external event Y key k { k: string  n: int }
external event Z key k { k: string  n: int }
external event N { n: int }
exported event Out key k { k: string  n: int }
"""


def plan(handlers: str, more: str = "") -> Plan:
    text = f'{EVENTS} service W {{ run python "app" {more} {handlers} }}'
    return compile_program({"m": text}, "m").plan()


Make = Callable[..., Local]


@pytest.fixture
def system() -> Iterator[Make]:
    made: list[Local] = []

    def make(declared: Plan, **functions: Any) -> Local:
        made.append(Local(declared, W={f"W.{name}": call for name, call in functions.items()}))
        for slot in range(declared.service("W").replicas):
            made[-1].start("W", slot)
        made[-1].run()
        return made[-1]

    yield make
    for local in made:
        local.close()


def event(local: Local, name: str, k: str, n: int) -> Any:
    return local.classes.event(name)(k=k, n=n)


def pass_time(local: Local, ms: int) -> None:
    local.clock.at_us += ms * 1000
    for _ in range(30):
        local.turn()
    local.run()


def numbers(local: Local, name: str = "Out") -> list[int]:
    return [e.n for e in local.events(name)]


# ---- deadlines


def out(local_of: list[Local]) -> Callable[[Any], Any]:
    return lambda e: event(local_of[0], "Out", e.k, e.n)


@pytest.mark.parametrize("more", ["", "stateless", "replicas 3", "replicas 3 stateless"])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_deadline_is_met_or_cancelled(system: Make, more: str, *, restarts: bool) -> None:
    found: list[Local] = []
    local = system(plan("after 100ms of X unless Y | Z -> Out", more), after_x=out(found))
    found.append(local)
    local.publish(*(event(local, "X", f"k{n}", n) for n in range(8)))
    local.publish(event(local, "Y", "k1", 0), event(local, "Z", "k2", 0), event(local, "Z", "k", 0))
    local.run()
    pass_time(local, 99)
    assert numbers(local) == []
    if restarts:
        for slot in range(local.plan.service("W").replicas):
            local.start("W", slot)
        local.run()
    assert sum(slot.open for slot in local.core.status(0).slots) == 6
    pass_time(local, 1)
    assert sorted(numbers(local)) == [0, 3, 4, 5, 6, 7]
    assert sum(slot.open for slot in local.core.status(0).slots) == 0
    local.publish(event(local, "Y", "k3", 0))
    pass_time(local, 10_000)
    assert len(numbers(local)) == 6, "once"


def test_what_it_emits_has_the_deadline_as_its_cause_and_that_has_what_set_it(system: Make) -> None:
    seen = []

    def after_x(e: Any, ctx: Any) -> Any:
        seen.append((type(e).__name__, e.n, ctx.key, ctx.cause, ctx.root, ctx.time))
        return event(local, "Out", e.k, e.n)

    local = system(plan("after 100ms of X -> Out"), after_x=after_x)
    local.publish(event(local, "X", "a", 7))
    local.run()
    pass_time(local, 250)
    [(name, n, key, cause, root, time)] = seen
    assert (name, n, key, cause, root) == ("X", 7, "a", 0, 0)
    assert time.timestamp() == 1_700_000_000.25
    [(_, deadline)] = local.with_envelope("W.after_x")
    [(_, envelope)] = local.with_envelope("Out")
    assert (deadline["_cause"], envelope["_cause"], envelope["_root"]) == (
        0,
        deadline["_offset"],
        0,
    )


def test_what_lies_before_its_place_in_the_log_cancels_it(system: Make) -> None:
    """The deadline is due, and the event that cancels it is durable before it."""
    found: list[Local] = []
    local = system(plan("after 100ms of X unless Z -> Out"), after_x=out(found))
    found.append(local)
    local.publish(event(local, "X", "a", 1), event(local, "X", "b", 2))
    local.run()
    local.clock.at_us += 200_000
    local.publish(event(local, "Z", "a", 0))  # delivered when it is due
    pass_time(local, 0)
    assert numbers(local) == [2]
    emitted = [e.n for e, _ in local.with_envelope("W.after_x")]
    assert emitted in ([2], [1, 2])  # it may have had a place, behind what cancelled it


@pytest.mark.parametrize("after", [0, 5])
def test_it_is_met_also_behind_events_that_are_none_of_the_services(
    system: Make, after: int
) -> None:
    """A new process is told when it has seen all that was there."""
    found: list[Local] = []
    local = system(plan("after 100ms of X -> Out"), after_x=out(found))
    found.append(local)
    local.publish(event(local, "X", "a", 1))
    local.run()
    local.publish(*(local.classes.event("N")(n=n) for n in range(after)))
    local.start("W")
    local.run()
    pass_time(local, 100)
    assert numbers(local) == [1]


def test_a_heartbeat_that_stays_away(system: Make) -> None:
    found: list[Local] = []
    local = system(plan("after 100ms of X unless X -> Out"), after_x=out(found))
    found.append(local)
    for n in range(20):
        local.publish(event(local, "X", "a", n))
        local.run()
        pass_time(local, 60)
    assert numbers(local) == []
    pass_time(local, 60)
    assert numbers(local) == [19]


def test_without_a_key_nothing_cancels(system: Make) -> None:
    local = system(
        plan("after 1s of N -> Out", "replicas 3"),
        after_n=lambda e: event(local, "Out", "n", e.n),
    )
    local.publish(*(local.classes.event("N")(n=n) for n in range(10)))
    local.run()
    pass_time(local, 1_000)
    assert sorted(numbers(local)) == list(range(10))


def test_a_deadline_whose_handler_fails_is_retried_and_parked(system: Make) -> None:
    calls = []

    def after_x(e: Any, ctx: Any) -> Any:
        calls.append((e.n, ctx.attempt))
        if e.n == 1 or ctx.attempt == 1:
            raise ValueError("no")
        return event(local, "Out", e.k, e.n)

    declared = plan("after 1s of X -> Out retry 2 backoff 1ms to 2ms")
    local = system(declared, after_x=after_x)
    local.publish(event(local, "X", "a", 1), event(local, "X", "b", 2))
    local.run()
    pass_time(local, 1_000)
    assert numbers(local) == [2]
    [parked] = local.parked()
    assert (parked.event, parked.handler, parked.attempts) == ("W.after_x", "W.after_x", 3)
    local.start("W")
    pass_time(local, 60_000)
    assert numbers(local) == [2]
    assert len(local.events("W.after_x")) == 2, "what was parked had its place"


def test_memory_is_rebuilt_with_the_deadlines_that_were_met(system: Make) -> None:
    memory: list[tuple[str, int, bool]] = []

    def on_z(e: Any, ctx: Any) -> None:
        memory.append(("z", e.n, ctx.replaying))

    def after_x(e: Any, ctx: Any) -> Any:
        memory.append(("late", e.n, ctx.replaying))
        return event(local, "Out", e.k, e.n)

    declared = plan("on Z as on_z after 1s of X unless Y -> Out")
    local = Local(declared, W={"Z": on_z, "W.after_x": after_x})
    try:
        local.start("W")
        local.publish(
            event(local, "X", "a", 1), event(local, "X", "b", 2), event(local, "Z", "a", 3)
        )
        local.run()
        local.publish(event(local, "Y", "b", 0))
        local.run()
        pass_time(local, 1_000)
        local.publish(event(local, "Z", "a", 4))
        local.run()
        assert memory == [("z", 3, False), ("late", 1, False), ("z", 4, False)]
        memory.clear()
        local.start("W")
        local.run()
        assert memory == [("z", 3, True), ("late", 1, True), ("z", 4, True)]
        assert numbers(local) == [1]
    finally:
        local.close()


def test_a_deadline_that_is_added_later_is_about_what_comes_then(system: Make) -> None:
    """A new name is a new deadline: what the old one did is not done again."""
    found: list[Local] = []
    local = system(plan("after 1s of X -> Out"), after_x=out(found))
    found.append(local)
    local.publish(event(local, "X", "a", 1))
    local.run()
    pass_time(local, 1_000)
    local.workers.clear()
    local.plan = plan("after 1s of X as late -> Out")
    local.functions = {"W": {"W.late": out(found)}}
    again = Local(local.plan, W={"W.late": out(found)})
    again.disk, again.durable, again.clock = local.disk, local.durable, local.clock
    found[0] = again
    again.start_broker()
    again.start("W")
    again.run()
    pass_time(again, 5_000)
    assert numbers(again) == [1]
    again.publish(event(again, "X", "a", 2))
    again.run()
    pass_time(again, 1_000)
    assert numbers(again) == [1, 2]
    again.close()


def test_a_thousand_deadlines_are_due_at_once_and_memory_thins_out(system: Make) -> None:
    found: list[Local] = []
    local = system(plan("after 1s of X unless Z -> Out"), after_x=out(found))
    found.append(local)
    local.publish_batch([event(local, "X", f"k{n}", n) for n in range(3_000)])
    local.publish_batch([event(local, "Z", f"k{n}", n) for n in range(3_000) if n % 3])
    local.run()
    [worker] = local.workers.values()
    [deadline] = worker._waits._deadlines
    chunks = {id(s.kept.chunk.rows): s.kept.chunk for s in deadline._by_offset.values() if s.kept}
    assert sum(len(chunk.rows) for chunk in chunks.values()) < 4 * 1_000 + len(chunks)
    pass_time(local, 1_000)
    assert sorted(numbers(local)) == list(range(0, 3_000, 3))
    assert not deadline._by_offset
    assert not deadline._by_key


def test_what_is_cancelled_takes_no_memory(system: Make) -> None:
    local = system(plan("after 30d of X unless Z -> Out"), after_x=lambda e: None)
    for n in range(30):
        local.publish_batch([event(local, "X", f"k{n}", i) for i in range(50)])
        local.publish(event(local, "Z", f"k{n}", 0))
        local.run()
    [worker] = local.workers.values()
    [deadline] = worker._waits._deadlines
    assert len(deadline._due) <= 4 * 50 + 64
    assert not deadline._by_offset


def test_there_is_a_bound_behind_which_events_wait(system: Make, monkeypatch: Any) -> None:
    monkeypatch.setattr("flowc_engine.limits.OPEN_EVENTS_PER_SLOT_MAX", 10)
    found: list[Local] = []
    local = system(plan("after 1s of X -> Out"), after_x=out(found))
    found.append(local)
    for n in range(40):
        local.publish(event(local, "X", f"k{n}", n))
    for _ in range(200):
        local.turn()
    [worker] = local.workers.values()
    assert worker._waits.set == 10
    for _ in range(10):
        local.clock.at_us += 1_000_000
        for _ in range(50):
            local.turn()
    local.run()
    assert sorted(numbers(local)) == list(range(40))


# ---- joins


def both(local_of: list[Local]) -> Callable[[Any, Any], Any]:
    return lambda x, y: event(local_of[0], "Out", x.k, 100 * x.n + y.n)


@pytest.mark.parametrize("more", ["", "stateless", "replicas 2"])
def test_partners_are_joined_in_their_order_whoever_comes_first(system: Make, more: str) -> None:
    found: list[Local] = []
    local = system(plan("on X & Y by k -> Out", more), on_x_and_y=both(found))
    found.append(local)
    local.publish(event(local, "X", "a", 1), event(local, "X", "a", 2))
    local.publish(event(local, "Y", "b", 3), event(local, "Y", "a", 4))
    local.run()
    assert numbers(local) == [104]
    assert sum(slot.open for slot in local.core.status(0).slots) == 2
    for slot in range(local.plan.service("W").replicas):
        local.start("W", slot)
    local.publish(event(local, "X", "b", 5), event(local, "Y", "a", 6))
    local.run()
    assert sorted(numbers(local)) == [104, 206, 503]


def test_partners_that_come_in_another_order_stay_together(system: Make) -> None:
    found: list[Local] = []
    local = system(plan("on X & Y by k -> Out"), on_x_and_y=both(found))
    found.append(local)
    local.publish_batch([event(local, "X", f"k{n}", n) for n in range(9)])
    local.publish_batch([event(local, "Y", f"k{n}", n) for n in reversed(range(9))])
    local.run()
    assert numbers(local) == [101 * n for n in reversed(range(9))]


def test_one_that_is_too_large_with_its_partner_is_parked(system: Make, monkeypatch: Any) -> None:
    monkeypatch.setattr("flowc_engine.limits.EVENT_BYTES_MAX", 20_000)
    monkeypatch.setattr("flowc_engine.limits.DELIVER_BYTES_MAX", 20_000)
    found: list[Local] = []
    local = system(plan("on X & Y by k -> Out"), on_x_and_y=both(found))
    found.append(local)
    large = [("x" * 9_000 if n == 2 else f"k{n}") for n in range(5)]
    for kind in "XY":
        local.publish_batch([event(local, kind, k, n) for n, k in enumerate(large)])
    local.run()
    assert numbers(local) == [0, 101, 303, 404]
    [parked] = local.parked()
    assert (parked.offset, parked.event, parked.handler) == (7, "Y", "W.<lambda>")
    assert "an event has at most 20000" in parked.error


def test_three_partners(system: Make) -> None:
    found: list[Local] = []

    def on_x_and_y_and_z(x: Any, y: Any, z: Any, ctx: Any) -> Any:
        assert ctx.key == x.k == y.k == z.k
        return event(found[0], "Out", x.k, 100 * x.n + 10 * y.n + z.n)

    local = system(plan("on X & Y & Z by k -> Out"), on_x_and_y_and_z=on_x_and_y_and_z)
    found.append(local)
    local.publish(event(local, "Z", "a", 3), event(local, "X", "a", 1), event(local, "X", "a", 9))
    local.publish(event(local, "Y", "a", 2))
    local.run()
    assert numbers(local) == [123]
    [(_, joined)] = local.with_envelope("W.on_x_and_y_and_z")
    assert joined["_cause"] == 3, "the one that came last"


def test_a_join_that_fails_is_retried_with_both(system: Make) -> None:
    attempts = []

    def on_x_and_y(x: Any, y: Any, ctx: Any) -> Any:
        attempts.append((x.n, y.n, ctx.attempt))
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return event(local, "Out", x.k, x.n + y.n)

    local = system(plan("on X & Y by k -> Out retry 5 backoff 1ms to 2ms"), on_x_and_y=on_x_and_y)
    local.publish(event(local, "X", "a", 1), event(local, "Y", "a", 2))
    local.run()
    assert attempts == [(1, 2, 1), (1, 2, 2), (1, 2, 3)]
    assert numbers(local) == [3]


def test_too_many_without_a_partner_halt_the_service(system: Make, monkeypatch: Any) -> None:
    monkeypatch.setattr("flowc_engine.limits.OPEN_EVENTS_PER_SLOT_MAX", 10)
    found: list[Local] = []
    local = system(plan("on X & Y by k -> Out"), on_x_and_y=both(found))
    local.publish(*(event(local, "X", f"k{n}", n) for n in range(11)))
    with pytest.raises(HaltedError, match="11 events of W wait for a partner"):
        local.run()


# ---- timers


def test_each_period_ticks_once(system: Make) -> None:
    times = []

    def every_10s(ctx: Any) -> Any:
        times.append(int(ctx.time.timestamp()))
        assert (ctx.key, ctx.cause, ctx.root) == (None, None, ctx.offset)
        return event(local, "Out", "t", len(times))

    local = Local(plan("every 10s -> Out", "replicas 2"), W={"W.every_10s": every_10s})
    try:
        for slot in range(2):
            local.start("W", slot)
        pass_time(local, 0)
        for _ in range(10):
            pass_time(local, 3_000)
        local.start("W", 0)
        pass_time(local, 0)
        start = 1_700_000_000
        assert times[:4] == [start, start + 12, start + 21, start + 30]
        times.clear()
        for slot in range(2):
            local.start("W", slot)
        pass_time(local, 1_000)
        pass_time(local, 55_000)
        assert times[-1] == start + 30 + 56, "those that were missed are one"
        assert len(local.events("Out")) == 5
    finally:
        local.close()


# ---- mocks


def test_mocks_wait_too(system: Make) -> None:
    text = (
        EVENTS
        + """service W { run mock
      after 1s of X unless Z -> Out  on X & Y by k as pair -> Out  every 1h -> Out }"""
    )
    local = Local(compile_program({"m": text}, "m").plan())
    try:
        local.start("W")
        local.run()
        local.publish(event(local, "X", "a", 1), event(local, "Y", "a", 2))
        local.run()
        pass_time(local, 1_000)
        assert [(e.k, e.n) for e in local.events("Out")] == [("", 0), ("a", 1), ("a", 1)]
    finally:
        local.close()
