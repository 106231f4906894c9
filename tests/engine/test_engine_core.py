"""The broker's core, message by message (spec: delivery)."""

from __future__ import annotations

import pytest

from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.core import effects as fx
from flowc_engine.core.broker import BrokerCore
from flowc_engine.journal import record as rec
from flowc_engine.journal.state import DurableState
from support.plans import event, pipeline, service


class Bench:
    """The core with a disk that syncs when told, and everything it said."""

    def __init__(self, plan: Plan | None = None, state: DurableState | None = None) -> None:
        self.plan = plan or pipeline()
        self.now = 1_000
        self.core = BrokerCore(self.plan, state or DurableState(), self.now)
        self.appended: list[fx.Append] = []
        self.fetches: list[fx.Fetch] = []
        self.said: dict[bytes, list[wire.Message]] = {}
        self.sync()

    def _take(self) -> None:
        for effect in self.core.take():
            match effect:
                case fx.Send():
                    self.said.setdefault(effect.peer, []).append(effect.message)
                case fx.Append():
                    self.appended.append(effect)
                case fx.Fetch():
                    self.fetches.append(effect)

    def sync(self) -> None:
        self._take()
        state = self.core.state
        self.core.durable(wire.Durable(0, 64, state.record, state.offset), self.now)
        self._take()

    def say(self, peer: bytes, message: wire.Message, *bodies: bytes) -> None:
        self.core.receive(peer, message, list(bodies), self.now)
        self._take()

    def heard(self, peer: bytes) -> list[wire.Message]:
        return self.said.pop(peer, [])

    def hello(self, peer: bytes, role: str, name: str, incarnation: str = "i") -> None:
        self.say(peer, wire.Hello(role, name, 0, incarnation, self.plan.hash, 1))

    def found(self, end: int, *batches: wire.Delivered) -> None:
        """Answer the oldest fetch."""
        self.core.fetched(self.fetches.pop(0), end, list(batches), [b"x" * 10] * len(batches))
        self._take()

    def publish(self, seq: int, rows: int = 1, epoch: int = 1) -> None:
        message = wire.Publish("gen", epoch, seq, [wire.Batch("Placed", rows)])
        self.say(b"src", message, b"x" * rows)


@pytest.fixture
def bench():
    bench = Bench()
    bench.hello(b"src", "source", "gen")
    bench.sync()
    assert bench.heard(b"src") == [wire.Opened("gen", 1, 0, done=False)]
    return bench


def test_an_acknowledgement_waits_for_the_sync(bench):
    bench.publish(0, 3)
    assert bench.heard(b"src") == []
    bench.sync()
    assert bench.heard(b"src") == [wire.Published("gen", 1, 3, first=0)]


def test_a_source_that_has_not_heard_of_a_new_broker_yet_is_not_fenced(bench):
    later = Bench(state=bench.core.state)
    later.publish(0, 3)
    assert later.heard(b"src") == [wire.Who()]
    later.hello(b"src", "source", "gen")
    later.publish(0, 3, epoch=1)
    later.sync()
    assert later.heard(b"src") == [wire.Opened("gen", 2, 0, done=False)]
    later.publish(0, 3, epoch=2)
    later.sync()
    assert later.heard(b"src") == [wire.Published("gen", 2, 3, first=0)]


def test_a_publish_that_is_sent_again_is_not_written_again(bench):
    bench.publish(0, 3)
    bench.sync()
    before = len(bench.appended)
    bench.heard(b"src")
    bench.publish(0, 3)
    assert len(bench.appended) == before
    assert bench.heard(b"src") == [wire.Published("gen", 1, 3)]


def test_a_gap_in_a_source_is_refused(bench):
    bench.publish(5)
    (refused,) = bench.heard(b"src")
    assert (refused.code, refused.why) == ("gap", "expected event 0 of the source, got 5")


def test_a_source_may_not_emit_what_is_not_external(bench):
    bench.say(b"src", wire.Publish("gen", 1, 0, [wire.Batch("Paid", 1)]), b"1")
    (refused,) = bench.heard(b"src")
    assert refused.why == "gen may not emit Paid: not declared external"


def test_an_older_process_of_a_source_is_fenced(bench):
    bench.hello(b"new", "source", "gen", "j")
    assert isinstance(bench.heard(b"src")[0], wire.Fenced)
    bench.publish(0)
    assert bench.heard(b"src") == [wire.Who()]


def test_a_stranger_is_asked_who_it_is(bench):
    bench.say(b"odd", wire.Heartbeat())
    assert bench.heard(b"odd") == [wire.Who()]


def test_another_plan_is_refused(bench):
    bench.say(b"odd", wire.Hello("service", "Pay", 0, "i", "0" * 16, 1))
    assert bench.heard(b"odd")[0].code == "plan"


def serve(bench: Bench, peer: bytes = b"pay", name: str = "Pay", incarnation: str = "i") -> int:
    """Say hello and resume; the epoch comes back."""
    bench.hello(peer, "service", name, incarnation)
    bench.sync()
    assign = bench.heard(peer)[-1]
    assert isinstance(assign, wire.Assign)
    bench.say(peer, wire.Resume(name, 0, assign.epoch, replay=False))
    return assign.epoch


def test_an_assignment_is_durable_before_it_is_sent_and_repeated_until_it_is_answered(bench):
    bench.hello(b"pay", "service", "Pay")
    assert bench.heard(b"pay") == []
    bench.sync()
    (assign,) = bench.heard(b"pay")
    bench.now += limits.ASSIGN_REPEAT_MS
    bench.core.tick(bench.now)
    bench._take()
    assert bench.heard(b"pay") == [assign]
    bench.say(b"pay", wire.Resume("Pay", 0, assign.epoch, replay=False))
    bench.now += limits.ASSIGN_REPEAT_MS
    bench.core.tick(bench.now)
    bench._take()
    assert bench.heard(b"pay") == []


def test_only_what_is_durable_is_looked_up(bench):
    serve(bench)
    bench.publish(0, 3)
    assert bench.fetches == []
    bench.sync()
    (fetch,) = bench.fetches
    assert (fetch.key, fetch.begin, fetch.limit) == (("Pay", 0), 0, 3)


def deliver(bench: Bench, rows: int = 3) -> int:
    epoch = serve(bench)
    bench.publish(0, rows)
    bench.sync()
    bench.found(rows, wire.Delivered("Placed", rows, 0, "gen"))
    bench.heard(b"pay")
    return epoch


def test_a_step_moves_the_cursor_and_appends_its_outputs_in_one_record(bench):
    epoch = deliver(bench)
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 3, [wire.Batch("Paid", 3)]), b"0,1,2")
    entry = bench.appended[-1].entry
    assert isinstance(entry, rec.StepDone)
    assert (entry.before, entry.after, bench.appended[-1].rows) == (0, 3, 3)
    assert bench.heard(b"pay") == []
    bench.sync()
    assert bench.heard(b"pay") == [wire.Stepped("Pay", 0, epoch, 3)]


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (wire.Step("Pay", 0, 1, 0, 4), "a step from 0 to 4, of a log that ends at 3"),
        (wire.Step("Pay", 0, 1, 1, 3), "the cursor is 0, the step goes from 1 to 3"),
        (wire.Step("Pay", 0, 1, 0, 3, [wire.Batch("Placed", 1)]), "Pay may not emit Placed: not"),
        (wire.Step("Pay", 0, 1, 0, 3, resolved=[1]), "it resolves events that were not deferred"),
    ],
)
def test_a_step_that_does_not_fit_changes_nothing(bench, step, why):
    deliver(bench)
    before = len(bench.appended)
    bench.say(b"pay", step, *[b"1"] * len(step.batches))
    (refused,) = bench.heard(b"pay")
    assert refused.why.startswith(why)
    assert len(bench.appended) == before


def test_a_process_that_was_replaced_is_fenced(bench):
    epoch = deliver(bench)
    serve(bench, b"new", incarnation="j")
    assert isinstance(bench.heard(b"pay")[0], wire.Fenced)
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 3, [wire.Batch("Paid", 3)]), b"0,1,2")
    assert bench.heard(b"pay") == [wire.Who()]
    assert not any(isinstance(a.entry, rec.StepDone) for a in bench.appended)


def test_a_step_of_an_older_epoch_of_the_same_process_is_left_unanswered(bench):
    epoch = deliver(bench)
    serve(bench, b"again", incarnation="i")
    bench.heard(b"again")
    bench.say(b"again", wire.Step("Pay", 0, epoch, 0, 3))
    assert bench.heard(b"again") == []
    assert not any(isinstance(a.entry, rec.StepDone) for a in bench.appended)


def test_deliveries_stop_at_the_credit_and_go_on_with_the_step(bench):
    epoch = serve(bench)
    bench.publish(0, 100)
    bench.sync()
    fetch = bench.fetches.pop(0)
    body = b"x" * limits.CREDIT_BYTES_MAX
    bench.core.fetched(fetch, 50, [wire.Delivered("Placed", 50, 0, "gen")], [body])
    bench._take()
    assert bench.fetches == []
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 50))
    (fetch,) = bench.fetches
    assert fetch.begin == 50


def test_a_restarted_service_is_replayed_to_its_cursor_and_then_goes_on(bench):
    epoch = deliver(bench)
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 3))
    bench.publish(3, 2)
    bench.sync()
    bench.fetches.clear()
    bench.core.lost(b"pay")
    bench.hello(b"new", "service", "Pay", "j")
    bench.sync()
    assign = bench.heard(b"new")[-1]
    assert assign.cursor == 3
    bench.say(b"new", wire.Resume("Pay", 0, assign.epoch, replay=True))
    assert (bench.fetches[0].begin, bench.fetches[0].limit) == (0, 3)
    bench.found(3, wire.Delivered("Placed", 3, 0, "gen"))
    (replayed,) = bench.heard(b"new")
    assert (replayed.mode, replayed.begin, replayed.end) == ("replay", 0, 3)
    assert bench.fetches == [], "nothing live before the replay is answered"
    bench.say(b"new", wire.Replayed("Pay", 0, assign.epoch, 3))
    assert (bench.fetches[0].begin, bench.fetches[0].limit) == (3, 5)


def test_the_end_of_a_replay_is_said_even_if_nothing_is_there(bench):
    epoch = deliver(bench)
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 3))
    bench.sync()
    bench.core.lost(b"pay")
    bench.hello(b"new", "service", "Pay", "j")
    bench.sync()
    assign = bench.heard(b"new")[-1]
    bench.say(b"new", wire.Resume("Pay", 0, assign.epoch, replay=True))
    bench.found(3)
    (replayed,) = bench.heard(b"new")
    assert (replayed.mode, replayed.end, replayed.batches) == ("replay", 3, [])


def test_deferred_events_are_delivered_to_the_next_process(bench):
    epoch = deliver(bench)
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 3, deferred=[1]))
    bench.sync()
    bench.core.lost(b"pay")
    epoch = serve(bench, b"new", incarnation="j")
    fetch = bench.fetches[-1]
    assert fetch.at == (1,)
    bench.fetches = [fetch]
    bench.found(2, wire.Delivered("Placed", 3, 0, "gen"))
    deferred = bench.heard(b"new")[-1]
    assert (deferred.mode, deferred.offsets) == ("deferred", [1])
    bench.say(
        b"new",
        wire.Step("Pay", 0, epoch, 3, 3, [wire.Batch("Paid", 1)], resolved=[1], number=1),
        b"1",
    )
    assert bench.core.state.slots["Pay", 0].deferred == []


def parked(offset: int) -> wire.Parked:
    return wire.Parked(offset, "Placed", "on_placed", "ValueError", 6, 0, 7)


def test_a_parked_event_is_retried_by_its_service_once_it_is_durable_that_it_is(bench):
    """Spec 4.22."""
    epoch = deliver(bench)
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 3, parked=[parked(0), parked(2)]))
    bench.sync()
    bench.hello(b"op", "control", "parked")
    bench.fetches.clear()
    bench.say(b"op", wire.Unpark("Pay", [2, 1, 2, 99], retry=True))
    assert bench.heard(b"op") == []
    assert bench.fetches == []
    bench.sync()
    assert bench.heard(b"op") == [wire.Unparked([2], [])]
    (fetch,) = bench.fetches
    assert fetch.at == (2,)
    slot = bench.core.state.slots["Pay", 0]
    assert (slot.parked_now, slot.deferred, slot.parked) == ({0: 7}, [2], 2)
    bench.say(b"op", wire.Unpark("Pay", [2], retry=True))
    bench.sync()
    assert bench.heard(b"op") == [wire.Unparked([], [])], "once"


def test_a_parked_event_is_dropped(bench):
    epoch = deliver(bench)
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 3, parked=[parked(0)]))
    bench.hello(b"op", "control", "parked")
    bench.say(b"op", wire.Unpark("Pay", [0], retry=False))
    bench.sync()
    assert bench.heard(b"op") == [wire.Unparked([0], [])]
    slot = bench.core.state.slots["Pay", 0]
    assert (slot.parked_now, slot.deferred) == ({}, [])


def test_no_more_are_retried_at_once_than_may_be_deferred(bench, monkeypatch):
    monkeypatch.setattr(limits, "DEFERRED_PER_SLOT_MAX", 2)
    epoch = deliver(bench)
    step = wire.Step("Pay", 0, epoch, 0, 3, parked=[parked(0), parked(2)], deferred=[1])
    bench.say(b"pay", step)
    bench.hello(b"op", "control", "parked")
    bench.say(b"op", wire.Unpark("Pay", [0, 2], retry=True))
    bench.sync()
    assert bench.heard(b"op") == [wire.Unparked([0], [2])]


def test_only_control_may_unpark_and_drain(bench):
    deliver(bench)
    for message in (wire.Unpark("Pay", [0], retry=True), wire.Drain()):
        bench.say(b"pay", message)
        (refused,) = bench.heard(b"pay")
        assert refused.code == "role"
    assert not bench.core.draining


def test_a_step_is_taken_by_its_number(bench):
    """Spec 4.24: one that resolves what was parked, retried and deferred again is no repeat."""
    epoch = deliver(bench)
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 3, deferred=[1]))
    again = wire.Step("Pay", 0, epoch, 3, 3, resolved=[1], parked=[parked(1)], number=1)
    bench.say(b"pay", again)
    bench.hello(b"op", "control", "parked")
    bench.say(b"op", wire.Unpark("Pay", [1], retry=True))
    bench.sync()
    bench.heard(b"pay")
    bench.say(b"pay", again)
    (refused,) = bench.heard(b"pay")
    assert refused.why == "step 2 is expected, this is 1"
    assert bench.core.state.slots["Pay", 0].deferred == [1]


def test_a_service_with_too_many_parked_is_refused_more(bench, monkeypatch):
    monkeypatch.setattr(limits, "PARKED_PER_SLOT_MAX", 1)
    epoch = deliver(bench)
    bench.say(b"pay", wire.Step("Pay", 0, epoch, 0, 3, parked=[parked(0), parked(2)]))
    (refused,) = bench.heard(b"pay")
    assert "at most 1" in refused.why


def test_idle_is_when_all_is_consumed_and_every_source_is_done(bench):
    def status() -> wire.Status:
        return bench.core.status(bench.now)

    pay = serve(bench)
    ship = serve(bench, b"ship", "Ship")
    assert not status().idle, "the source is not done"
    bench.publish(0)
    bench.sync()
    bench.say(b"src", wire.SourceDone("gen", 1, 1))
    bench.sync()
    bench.found(1, wire.Delivered("Placed", 1, 0, "gen"))
    bench.found(1)
    assert not status().idle, "Pay has not stepped"
    bench.say(b"pay", wire.Step("Pay", 0, pay, 0, 1, [wire.Batch("Paid", 1)]), b"0")
    bench.sync()
    while bench.fetches:
        delivered = (
            [wire.Delivered("Paid", 1, 1, "Pay")] if bench.fetches[0].key[0] == "Ship" else []
        )
        bench.found(2, *delivered)
    assert not status().idle, "Ship has not stepped"
    bench.say(b"ship", wire.Step("Ship", 0, ship, 0, 2))
    bench.sync()
    assert status().idle


def test_after_silence_a_mark_proves_the_last_record(bench):
    bench.publish(0)
    bench.sync()
    count = len(bench.appended)
    for _ in range(5):
        bench.now += limits.MARK_AFTER_MS + 1
        bench.core.tick(bench.now)
        bench.sync()
    assert [type(a.entry) for a in bench.appended[count:]] == [rec.Mark], "one is enough"


def test_more_replicas_take_over_where_the_partitions_were():
    first = Plan("S", (event("Placed", external=True),), (service("Pay", "Placed"),), {}, {})
    bench = Bench(first)
    bench.hello(b"src", "source", "gen")
    bench.sync()
    deliver(bench)
    bench.say(b"pay", wire.Step("Pay", 0, 1, 0, 3))
    more = Plan(
        "S",
        first.events,
        (service("Pay", "Placed", replicas=3),),
        {},
        {},
        partitions=first.partitions,
    )
    grown = Bench(more, bench.core.state)
    slots = grown.core.state.slots
    assert [slots["Pay", i].cursor for i in range(3)] == [3, 3, 3]
    parts = [p for i in range(3) for p in slots["Pay", i].partitions]
    assert sorted(parts) == list(range(first.partitions))
    state = grown.core.state
    state.slots["Pay", 1].cursor = 9
    shrunk = Bench(first, state).core.state.slots
    assert list(shrunk) == [("Pay", 0)]
    only = shrunk["Pay", 0]
    assert only.cursor == 3
    assert only.floors == dict.fromkeys(range(1, first.partitions, 3), 9)


def test_sources_have_a_bound(bench, monkeypatch):
    """Each name of a source stays in memory and in snapshots (4.5)."""
    monkeypatch.setattr(limits, "SOURCE_NAMES_MAX", 2)
    bench.hello(b"b", "source", "second")
    bench.hello(b"c", "source", "third")
    (refused,) = bench.heard(b"c")
    assert (refused.code, "third" in bench.core.state.sources) == ("sources", False)
    bench.hello(b"d", "source", "gen", "again")
    bench.sync()
    assert bench.heard(b"d") == [wire.Opened("gen", 2, 0, done=False)], "it is known"


def test_who_publishes_without_a_hello_of_its_own_leaves_nothing(bench):
    bench.hello(b"x", "source", "second")
    bench.say(b"x", wire.Publish("other", 1, 0, [wire.Batch("Placed", 1)]), b"x")
    assert isinstance(bench.heard(b"x")[-1], wire.Fenced)
    assert "other" not in bench.core.state.sources
