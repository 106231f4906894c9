"""Another number of replicas, while they run (spec: 4.15, 4.35 to 4.38, 4.40)."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from test_engine_core import Bench, deliver, parked, serve

from flowc_engine.bus import wire
from flowc_engine.core.layout import LayoutError, lay_out
from flowc_engine.journal import record as rec
from flowc_engine.journal.recovery import recover
from flowc_engine.journal.segments import segment_path
from support.plans import pipeline

GOLDEN = Path(__file__).parent / "data" / "journal_without_partitions.seg.gz"


def ranged(low: int = 1, high: int = 4):
    """The pipeline, with so many replicas of Pay."""
    plan = pipeline()
    pay, ship = plan.services
    return replace(plan, services=(replace(pay, replicas=low, replicas_max=high), ship))


@pytest.fixture
def bench():
    bench = Bench(ranged())
    bench.hello(b"src", "source", "gen")
    bench.hello(b"op", "control", "op")
    bench.sync()
    bench.heard(b"src")
    return bench


def slots(bench: Bench) -> list[rec.SlotState]:
    found = [s for (name, _), s in bench.core.state.slots.items() if name == "Pay"]
    return sorted(found, key=lambda s: s.slot)


def rescale(bench: Bench, replicas: int) -> list[wire.Message]:
    bench.say(b"op", wire.Rescale("Pay", replicas))
    said = bench.heard(b"op")
    bench.sync()
    return said + bench.heard(b"op")


def test_a_rescale_is_one_record_that_is_durable_before_it_is_confirmed(bench):
    """Spec 4.35."""
    bench.say(b"op", wire.Rescale("Pay", 3))
    assert bench.heard(b"op") == []
    assert isinstance(bench.appended[-1].entry, rec.Slots)
    bench.sync()
    assert bench.heard(b"op") == [wire.Rescaled("Pay", 3)]
    assert sorted(p for s in slots(bench) for p in s.partitions) == list(range(64))
    assert [s.slot for s in bench.core.status(0).slots] == [0, 1, 2, 0]
    count = len(bench.appended)
    assert rescale(bench, 3) == [wire.Rescaled("Pay", 3)], "said again, it changes nothing"
    assert len(bench.appended) == count


def test_the_processes_of_the_old_slots_are_fenced_and_change_nothing(bench):
    """Spec 4.36: not even one that has not heard of it, and comes back under its old name."""
    epoch = deliver(bench)
    step = wire.Step("Pay", 0, epoch, 0, 3, [wire.Batch("Paid", 3)])
    rescale(bench, 2)
    assert bench.heard(b"pay") == [wire.Fenced("its service has other replicas now")]
    bench.say(b"pay", step, b"0,1,2")
    assert bench.heard(b"pay") == [wire.Who()]
    assert not any(isinstance(a.entry, rec.StepDone) for a in bench.appended)
    bench.hello(b"pay", "service", "Pay")
    bench.sync()
    (assign,) = bench.heard(b"pay")
    assert assign.epoch > epoch + 1, "so that it begins with an empty memory (4.16)"
    bench.say(b"pay", wire.Resume("Pay", 0, assign.epoch, replay=False))
    bench.say(b"pay", step, b"0,1,2")
    assert not any(isinstance(a.entry, rec.StepDone) for a in bench.appended)


def test_a_process_of_a_slot_that_left_is_fenced(bench):
    """Spec 4.36."""
    rescale(bench, 2)
    rescale(bench, 1)
    bench.say(b"two", wire.Hello("service", "Pay", 1, "i", bench.plan.hash, 1))
    assert bench.heard(b"two") == [wire.Fenced("there is no replica 1 of Pay now")]


def test_what_waits_goes_with_its_partition_and_floors_keep_what_was_handled(bench):
    """Spec 4.15, 4.37."""
    epoch = deliver(bench, 9)
    held = wire.Step(
        "Pay", 0, epoch, 0, 6, parked=[parked(0)], deferred=[1, 2], partitions=[4, 5]
    )  # fmt: skip
    bench.say(b"pay", held)
    rescale(bench, 2)
    first, second = slots(bench)
    assert (first.deferred, first.parked_now) == ([1], {})
    assert (second.deferred, second.parked_now) == ([2], {0: 7})
    bench.core.state.slots["Pay", 1].cursor = 8
    rescale(bench, 1)
    (only,) = slots(bench)
    assert (sorted(only.deferred), only.parked_now) == ([1, 2], {0: 7})
    assert (only.cursor, only.floors) == (6, dict.fromkeys(range(1, 64, 2), 8))


def test_an_answer_to_a_look_that_a_slot_asked_for_before_it_left_is_nobodys(bench):
    serve(bench)
    bench.publish(0, 3)
    bench.sync()
    rescale(bench, 3)
    bench.found(3, wire.Delivered("Placed", 3, 0, "gen"))
    assert bench.heard(b"pay") == [wire.Fenced("its service has other replicas now")]


@pytest.mark.parametrize(
    ("service", "replicas", "why"),
    [
        ("Pay", 5, "Pay is declared with `replicas 1 to 4`, so it can't have 5"),
        ("Ship", 2, "Ship is declared with `replicas 1`, so it can't have 2"),
        ("Nobody", 2, "Pipeline runs no service Nobody"),
    ],
)
def test_only_what_is_declared(bench, service, replicas, why):
    for message in (wire.Rescale(service, replicas), wire.WantReplicas(service, replicas)):
        bench.say(b"op", message)
        assert bench.heard(b"op") == [wire.Refused("replicas", why)]


def test_only_control_may(bench):
    serve(bench)
    bench.say(b"pay", wire.Rescale("Pay", 2))
    assert bench.heard(b"pay")[0].code == "role"
    assert len(slots(bench)) == 1


def test_a_wish_is_in_the_status_until_it_is_done(bench):
    """Spec 4.38."""
    bench.say(b"op", wire.WantReplicas("Pay", 2))
    assert bench.heard(b"op")[0].wanted == {"Pay": 2}
    assert len(slots(bench)) == 1
    rescale(bench, 2)
    assert bench.core.status(0).wanted == {}


def test_counts_go_on_over_a_rescale(bench):
    epoch = deliver(bench)
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 3, handled=3))
    rescale(bench, 2)
    rescale(bench, 1)
    assert bench.core.status(0).slots[0].handled == 3


def test_the_next_run_begins_with_as_many_if_they_are_declared(bench):
    """Spec 4.35."""
    rescale(bench, 3)
    state = bench.core.state
    assert lay_out(state, ranged(2, 4)) is None
    for plan, count in ((ranged(1, 2), 2), (ranged(4, 6), 4), (ranged(1, 1), 1)):
        found = lay_out(state, plan)
        assert found is not None
        assert sum(s.service == "Pay" for s in found) == count


def test_deferred_events_are_delivered_in_parts_each_after_the_one_before_was_taken(bench):
    """Spec 4.40."""
    epoch = deliver(bench, 9)
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 9, deferred=[1, 4, 7], partitions=[1, 4, 7]))
    bench.sync()
    bench.core.lost(b"pay")
    bench.fetches.clear()
    epoch = serve(bench, b"new", incarnation="j")
    (fetch,) = bench.fetches
    assert fetch.at == (1, 4, 7)
    bench.found(2, wire.Delivered("Placed", 3, 0, "gen"))
    bench.publish(9)
    bench.sync()
    assert bench.fetches == [], "nothing before the first part was taken, nor anything live"
    assert bench.heard(b"new")[-1].offsets == [1]
    bench.say(b"new", wire.Held("Pay", 0, epoch))
    assert bench.fetches[0].at == (4, 7)
    bench.found(8, wire.Delivered("Placed", 6, 3, "gen"))
    assert bench.heard(b"new")[-1].offsets == [4, 7]
    assert (bench.fetches[0].at, bench.fetches[0].begin) == ((), 9)


def test_a_journal_from_before_partitions_were_kept_is_read(tmp_path):
    """Spec 4.37: and what it deferred stays with its slot until it is done."""
    segment_path(tmp_path, 0).write_bytes(gzip.decompress(GOLDEN.read_bytes()))
    state = recover(tmp_path).state
    pay = state.slots["Pay", 0]
    assert (state.offset, pay.cursor, pay.steps, pay.parked) == (6, 4, 2, 1)
    assert (pay.deferred, pay.deferred_in, pay.parked_now) == ([2, 0], {0: 7}, {})
    with pytest.raises(LayoutError, match=r"Pay had 1 replicas.* 2 events that an older flowc"):
        lay_out(state, ranged(2, 2))
    step = rec.StepDone(7, [], [], "Pay", 0, 1, 4, 4, [], [], [2])
    state.apply(step, 0)
    found = lay_out(state, ranged(2, 2))
    assert found is not None
    assert [s.deferred for s in found if s.service == "Pay"] == [[], [0]]
