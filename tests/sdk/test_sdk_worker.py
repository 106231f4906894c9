"""What a replica makes of its handlers, on the real broker core (spec: services, delivery)."""

from __future__ import annotations

import random
import re

import pytest

from flowc_dsl.plan import HandlerPlan, OutputPlan, Plan, RetryPlan, ServicePlan
from support.local import Local
from support.plans import event

RETRY = RetryPlan(attempts=3, backoff_min_ms=10, backoff_max_ms=20)


def plan(outputs: str = "", *, stateless: bool = False, retry: RetryPlan = RETRY) -> Plan:
    """One service S on A (and B), with outputs like `X | Y, Z?`."""
    many = {"?": "maybe", "*": "any"}
    groups = tuple(
        tuple(
            OutputPlan(name.strip().rstrip("?*"), many.get(name.strip()[-1], "one"))
            for name in group.split("|")
        )
        for group in outputs.split(",")
        if group.strip()
    )
    handlers = (HandlerPlan(("A", "B"), groups, retry=retry),)
    service = ServicePlan("S", "python", "app:S", handlers, stateless=stateless)
    events = [event(n, external=n in "AB") for n in "ABXYZ"]
    return Plan("T", tuple(events), (service,), {}, {})


@pytest.fixture
def system():
    made = []

    def make(plan: Plan, on_a, on_b=lambda _: None, seed: int = 0) -> Local:
        made.append(Local(plan, seed, S={"A": on_a, "B": on_b}))
        made[-1].start("S")
        return made[-1]

    yield make
    for local in made:
        local.close()


def a(local: Local, *numbers: int, key: str | None = None) -> list:
    cls = local.classes.event("A")
    return [cls(k=key or f"k{n}", n=n) for n in numbers]


def emit(local: Local, name: str, n: int):
    return local.classes.event(name)(k="k", n=n)


# ---- emitting


@pytest.mark.parametrize("style", ["return", "yield", "list", "async", "async yield"])
def test_every_style_of_emitting_gives_the_same_events(system, style):
    def returns(e):
        return emit(local, "X", e.n)

    def yields(e):
        yield emit(local, "X", e.n)

    def lists(e):
        return [emit(local, "X", e.n)]

    async def coroutine(e):
        return emit(local, "X", e.n)

    async def generator(e):
        yield emit(local, "X", e.n)

    styles = {
        "return": returns, "yield": yields, "list": lists, "async": coroutine,
        "async yield": generator,
    }  # fmt: skip
    local = system(plan("X"), styles[style])
    local.publish(*a(local, 1, 2, 3))
    local.publish_batch(a(local, 4, 5))
    local.run()
    found = local.with_envelope("X")
    assert [(e.n, row["_cause"], row["_root"]) for e, row in found] == [
        (1, 0, 0), (2, 1, 1), (3, 2, 2), (4, 3, 3), (5, 4, 4),
    ]  # fmt: skip
    assert not local.parked()


@pytest.mark.parametrize(
    ("outputs", "emitted", "why"),
    [
        ("X", [], "emitted no X (it declares X)"),
        ("X", ["X", "X"], "emitted 2 X, of which it may emit one"),
        ("X | Y", ["X", "Y"], "emitted X and Y, of which it may emit only one"),
        ("X | Y", [], "emitted no X or Y (it declares X | Y)"),
        ("X, Y", ["X"], "emitted no Y (it declares X, Y)"),
        ("X?", ["X", "X"], "emitted 2 X"),
        ("X?", ["Z"], "S.handler emitted Z, which it does not declare (it declares X?)"),
        ("", ["X"], "S.handler emitted X, which it does not declare (it declares no outputs)"),
        ("X", [7], "emitted int, which is no event of T"),
        ("X | Y", ["X"], None),
        ("X, Y", ["Y", "X"], None),
        ("X?", [], None),
        ("X*", ["X", "X", "X"], None),
        ("X*, Y?", ["Y"], None),
    ],
)
@pytest.mark.parametrize("yields", [False, True])
def test_a_handler_keeps_to_what_it_declared_or_the_event_is_parked(
    system, outputs, emitted, why, yields
):
    def results():
        return [emit(local, e, 1) if isinstance(e, str) else e for e in emitted]

    def handler(e):
        return results()

    def generator(e):
        yield from results()

    generator.__name__ = "handler"
    local = system(plan(outputs), generator if yields else handler)
    local.publish(*a(local, 1))
    local.run()
    if why is None:
        assert not local.parked()
        assert len(local.events("X", "Y", "Z")) == len(emitted)
    else:
        (parked,) = local.parked()
        assert why in parked.error
        assert (parked.offset, parked.event, parked.attempts) == (0, "A", 1)
        assert not local.events("X", "Y", "Z")


def test_an_undeclared_emit_is_raised_at_the_yield(system):
    seen = []

    def handler(e):
        try:
            yield emit(local, "Z", 1)
        except Exception as error:
            seen.append(str(error))
            raise

    local = system(plan("X?"), handler)
    local.publish(*a(local, 1))
    local.run()
    assert seen == ["S.handler emitted Z, which it does not declare (it declares X?)"]
    assert "yield emit(local" in local.parked()[0].error, "the traceback shows the line"


def test_an_event_that_does_not_fit_is_blamed_alone(system):
    def handler(e):
        return local.classes.event("X")(k=e.k, n="seven" if e.n == 7 else e.n)

    local = system(plan("X"), handler)
    local.publish_batch(a(local, *range(20)))
    local.run()
    assert [e.n for e in local.events("X")] == [n for n in range(20) if n != 7]
    (parked,) = local.parked()
    assert parked.offset == 7
    assert parked.error == "SchemaError: S.handler emitted X.n is int, got str"


def test_what_is_emitted_keeps_its_order_in_one_batch_a_type(system):
    def handler(e):
        yield emit(local, "X" if e.n % 3 else "Y", e.n)

    local = system(plan("X | Y"), handler)
    local.publish_batch(a(local, *range(10), key="same"))
    local.run()
    assert [e.n for e in local.events("X", "Y")] == list(range(10))
    (step,) = [e for e, rows, _ in local.disk if rows and hasattr(e, "service")]
    assert {(b.event, b.rows) for b in step.batches} == {("X", 6), ("Y", 4)}


def test_events_that_alternate_are_handled_in_their_order(system):
    seen = []
    local = system(plan(), lambda e: seen.append(("A", e.n)), lambda e: seen.append(("B", e.n)))
    b = local.classes.event("B")
    local.publish_mixed(*(b(k="k", n=n) if n % 3 else a(local, n)[0] for n in range(10)))
    local.run()
    assert seen == [("B" if n % 3 else "A", n) for n in range(10)]


# ---- failing


def test_a_handler_that_raises_is_tried_again_and_the_rest_goes_on(system):
    tries = []

    def handler(e):
        tries.append(e.n)
        if e.n == 1 and tries.count(1) < 3:
            raise ConnectionError("down")
        return emit(local, "X", e.n)

    local = system(plan("X"), handler)
    local.publish_batch(a(local, 0, 1, 2, 3))
    local.run()
    assert tries[:4] == [0, 1, 2, 3], "others do not wait"
    assert [e.n for e in local.events("X")] == [0, 2, 3, 1]
    assert local.with_envelope("X")[-1][1]["_cause"] == 1
    assert not local.parked()


def test_a_handler_that_leaves_the_process_fails_as_any_other(system):
    def handler(e):
        if e.n == 1:
            raise SystemExit(3)
        return emit(local, "X", e.n)

    local = system(plan("X"), handler)
    local.publish_batch(a(local, 0, 1, 2))
    local.run()
    assert [e.n for e in local.events("X")] == [0, 2]
    (parked,) = local.parked()
    assert parked.error.startswith("SystemExit: 3")


def test_after_its_retries_an_event_is_parked_and_its_key_goes_on(system):
    seen = []

    def handler(e):
        seen.append(e.n)
        if e.n == 1:
            raise ValueError("never")
        return emit(local, "X", e.n)

    local = system(plan("X"), handler)
    local.publish_batch(a(local, 0, 1, 2, key="same"))
    local.publish(*a(local, 3, key="same"), *a(local, 4, key="other"))
    local.run()
    assert seen == [0, 1, 4, 1, 1, 1, 2, 3], "its key waits in order, another does not"
    (parked,) = local.parked()
    assert (parked.offset, parked.attempts, parked.handler) == (1, 4, "S.handler")
    assert parked.error.startswith("ValueError: never")
    assert "in handler" in parked.error
    assert "flowc/calls.py" not in parked.error


def test_then_drop_and_then_halt(system):
    def handler(e):
        raise ValueError("never")

    from flowc.errors import HaltedError

    local = system(plan(retry=RetryPlan(1, 10, 10, "drop")), handler)
    local.publish(*a(local, 1))
    local.run()
    assert not local.parked()
    local = system(plan(retry=RetryPlan(1, 10, 10, "halt")), handler)
    local.publish(*a(local, 1))
    with pytest.raises(HaltedError, match=r"S.handler gave up on A at offset 0 after 2 attempts"):
        local.run()
    assert local.core.status(0).slots[0].deferred == 1, "it is not lost"


def test_deferred_events_survive_a_restart_in_order(system):
    broken, seen = [True], []

    def handler(e):
        if broken[0]:
            raise ValueError("down")
        seen.append(e.n)
        return emit(local, "X", e.n)

    slow = RetryPlan(attempts=100, backoff_min_ms=1000, backoff_max_ms=1000)
    local = system(plan("X", retry=slow), handler)
    local.publish_batch(a(local, 1, 2, 3, key="same"))
    local.run(lambda: local.core.status(0).slots[0].deferred == 3)
    local.start("S")
    broken[0] = False
    local.run()
    assert seen == [1, 2, 3]
    assert [e.n for e in local.events("X")] == [1, 2, 3]


def test_with_too_many_deferred_it_takes_no_more(system, monkeypatch):
    monkeypatch.setattr("flowc_engine.limits.DEFERRED_PER_SLOT_MAX", 5)
    broken = [True]

    def handler(e):
        if broken[0]:
            raise ValueError("down")

    slow = RetryPlan(attempts=100, backoff_min_ms=50, backoff_max_ms=50)
    local = system(plan(retry=slow), handler)
    local.publish_batch(a(local, *range(500)))
    local.run(lambda: local.now_ms > 1_000_300)
    assert 5 <= local.core.status(0).slots[0].deferred <= 5 + 64
    broken[0] = False
    local.run()
    assert local.core.status(0).slots[0].cursor == 500


# ---- batches


def test_a_handler_of_batches_gets_arrow_and_emits_it(system):
    import pyarrow.compute as pc

    import flowc

    shapes = []

    def handler(batch):
        shapes.append(batch.schema.names)
        return flowc.Batch.of(
            local.classes.event("X"),
            {"k": batch["k"], "n": pc.multiply(batch["n"], 2), "_cause": batch["_offset"]},
        )

    local = system(plan("X*"), handler)
    local.publish_batch(a(local, 1, 2, 3))
    local.run()
    assert shapes == [["k", "n", "_offset", "_time", "_cause", "_root"]]
    found = local.with_envelope("X")
    assert [(e.n, r["_cause"]) for e, r in found] == [(2, 0), (4, 1), (6, 2)]


def test_a_batch_that_fails_is_halved_down_to_the_event_to_blame(system):
    import flowc

    def handler(batch: flowc.Batch):
        if 5 in batch["n"].to_pylist():
            raise ValueError("five")
        return flowc.Batch.of(local.classes.event("X"), {"k": batch["k"], "n": batch["n"]})

    local = system(plan("X*"), handler)
    local.publish_batch(a(local, *range(10)))
    local.run()
    assert sorted(e.n for e in local.events("X")) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert [p.offset for p in local.parked()] == [5]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"k": ["a"]}, "n is missing"),
        ({"k": ["a"], "n": [None]}, "n: got None"),
        ({"k": ["a"], "n": ["x"]}, "n: got str"),
        ({"k": ["a"], "n": [1], "m": [1]}, "it has no field m"),
        ({"k": ["a"], "n": [1], "_cause": [99]}, "_cause is no offset of its input"),
        ({"k": ["a"], "n": [1, 2]}, "k has 1 values, the batch 2 rows"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(system, columns, why):
    import flowc

    def handler(batch):
        return flowc.Batch.of(local.classes.event("X"), columns)

    local = system(plan("X*"), handler)
    local.publish(*a(local, 1))
    local.run()
    assert why in local.parked()[0].error


# ---- restarts


def test_memory_is_rebuilt_by_replay_and_emits_nothing_again(system):
    seen = []

    def handler(e, ctx):
        seen.append((e.n, ctx.replaying, ctx.attempt))
        return emit(local, "X", e.n)

    local = system(plan("X"), handler)
    local.publish(*a(local, 1, 2))
    local.run()
    local.start("S")
    local.publish(*a(local, 3))
    local.run()
    assert seen == [(1, False, 1), (2, False, 1), (1, True, 1), (2, True, 1), (3, False, 1)]
    assert [e.n for e in local.events("X")] == [1, 2, 3]


def test_a_stateless_service_is_not_replayed(system):
    seen = []
    local = system(plan(stateless=True), lambda e: seen.append(e.n))
    local.publish(*a(local, 1))
    local.run()
    local.start("S")
    local.publish(*a(local, 2))
    local.run()
    assert seen == [1, 2]


def test_a_worker_that_outlives_the_broker_sends_its_steps_again_once(system):
    calls = []

    def handler(e):
        calls.append(e.n)
        if e.n == 2 and calls.count(2) == 1:
            raise ValueError("once")
        return emit(local, "X", e.n)

    local = system(plan("X"), handler)
    local.publish_batch(a(local, *range(6)))
    for turns in range(1, 14):  # the broker dies at another moment each time
        for _ in range(turns):
            local.turn()
        local.start_broker()
    local.run()
    assert sorted(e.n for e in local.events("X")) == list(range(6))
    assert sorted(calls) == [0, 1, 2, 2, 3, 4, 5], "memory was not rebuilt"


def test_several_handlers_of_one_event_are_one_unit():
    tries = []
    handlers = (
        HandlerPlan(("A",), ((OutputPlan("X"),),), name="first", retry=RETRY),
        HandlerPlan(("A",), ((OutputPlan("Y"),),), name="second", retry=RETRY),
    )
    service = ServicePlan("S", "python", "app:S", handlers)
    events = [event(n, external=n == "A") for n in "AXY"]

    def first(e):
        return emit(local, "X", e.n)

    def second(e):
        tries.append(e.n)
        if len(tries) == 1:
            raise ValueError("once")
        return emit(local, "Y", e.n)

    local = Local(Plan("T", tuple(events), (service,), {}, {}), S={"A": [first, second]})
    local.start("S")
    local.publish(*a(local, 1))
    local.run()
    assert [type(e).__name__ for e in local.events("X", "Y")] == ["X", "Y"], "none is doubled"
    local.close()


@pytest.mark.parametrize("seed", range(6))
def test_through_random_crashes_each_output_is_there_once_and_in_order(system, seed):
    dice = random.Random(seed)

    def handler(e):
        if dice.random() < 0.1:
            raise ConnectionError("now and then")
        return local.classes.event("X")(k=e.k, n=e.n)

    forever = RetryPlan(attempts=10_000, backoff_min_ms=1, backoff_max_ms=20)
    local = system(plan("X", retry=forever), handler, seed=seed)
    cls = local.classes.event("A")
    for n in range(0, 300, 10):
        local.publish_mixed(*(cls(k=f"k{i % 5}", n=i) for i in range(n, n + 10)))
        for _ in range(dice.randrange(6)):
            local.turn()
        if dice.random() < 0.2:
            local.start_broker()
        if dice.random() < 0.15:
            local.start("S")
    local.run()
    found = local.with_envelope("X")
    assert sorted(e.n for e, _ in found) == list(range(300))
    inputs = {row["_offset"]: e.n for e, row in local.with_envelope("A")}
    assert all(e.n == inputs[row["_cause"]] == inputs[row["_root"]] for e, row in found)
    for key in range(5):
        own = [e.n for e, _ in found if e.k == f"k{key}"]
        assert own == sorted(own), "the order of a key"


# ---- bounds


def test_what_is_too_large_for_one_step_becomes_several(system):
    def handler(e):
        for n in range(3):
            yield local.classes.event("X")(k="x" * 500_000, n=e.n * 3 + n)

    local = system(plan("X*"), handler)
    local.publish_batch(a(local, *range(8)))
    local.run()
    assert [e.n for e in local.events("X")] == list(range(24))
    steps = [e for e, rows, _ in local.disk if rows and hasattr(e, "service")]
    assert len(steps) >= 2
    assert [s.before for s in steps[1:]] == [s.after for s in steps[:-1]], "a chain without gaps"
    assert max(sum(s.sizes) for s in steps) <= 8 * 2**20
    assert max(size for s in steps for size in s.sizes) <= 2**20


@pytest.mark.parametrize(
    ("count", "size", "why"),
    [
        (1, 1_100_000, r"an event has at most 1048576"),
        (20, 500_000, "20 events of 10.* bytes for one event, a step has at most 8388608"),
    ],
)
def test_an_event_that_causes_too_much_is_parked_alone(system, count, size, why):
    def handler(e):
        for n in range(count if e.n == 2 else 1):
            yield local.classes.event("X")(k="x" * (size if e.n == 2 else 1), n=n)

    local = system(plan("X*"), handler)
    local.publish_batch(a(local, *range(5)))
    local.run()
    (parked,) = local.parked()
    assert parked.offset == 2
    assert re.search(why, parked.error)
    assert len(local.events("X")) == 4


def test_a_batch_that_is_too_large_is_blamed_on_its_events(system):
    import flowc

    def handler(batch):
        texts = ["x" * (1_100_000 if n == 1 else 300_000) for n in batch["n"].to_pylist()]
        return flowc.Batch.of(local.classes.event("X"), {"k": texts, "n": batch["n"]})

    local = system(plan("X*"), handler)
    local.publish_batch(a(local, *range(40)))
    local.run()
    assert [p.offset for p in local.parked()] == [1]
    assert sorted(e.n for e in local.events("X")) == [n for n in range(40) if n != 1]


# ---- replicas


def test_replicas_share_the_partitions_and_a_new_layout_keeps_memory():
    """Spec 4.15: what another replica handled rebuilds memory, and emits nothing again."""
    from dataclasses import replace

    one = plan("X")
    two = replace(one, services=(replace(one.services[0], replicas=2),))
    seen: list[tuple[int, bool]] = []

    def handler(e, ctx):
        seen.append((e.n, ctx.replaying))
        return emit(local, "X", e.n)

    local = Local(one, S={"A": handler, "B": lambda _: None})
    local.start("S")
    local.publish_batch(a(local, *range(50)))
    local.run()
    seen.clear()
    local.workers.clear()
    local.plan = two
    local.start_broker()
    for slot in range(2):
        local.start("S", slot)
    local.publish_batch(a(local, *range(50, 100)))
    local.run()
    assert sorted(n for n, replaying in seen if replaying) == list(range(50)), "each by one replica"
    assert sorted(n for n, replaying in seen if not replaying) == list(range(50, 100))
    assert sorted(e.n for e in local.events("X")) == list(range(100))
    local.close()
