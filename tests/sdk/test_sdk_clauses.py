"""`within`, `delivery latest`, `replay skip`, on the real broker core (spec 4.31, 4.33, 4.34)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowc.errors import HaltedError
from flowc_dsl.plan import HandlerPlan, OutputPlan, Plan, RetryPlan, ServicePlan
from support.local import Local
from support.plans import event

WITHIN_MS = 1_000


def plan(*handlers: HandlerPlan) -> Plan:
    service = ServicePlan("S", "python", "app:S", handlers)
    return Plan("T", (event("A", external=True), event("X")), (service,), {}, {})


def timed(**retry: Any) -> Plan:
    """S has a second for each A, and many attempts, of which the first come quickly."""
    quick = RetryPlan(**{"attempts": 1_000, "backoff_min_ms": 5, "backoff_max_ms": 50, **retry})
    return plan(HandlerPlan(("A",), ((OutputPlan("X"),),), retry=quick, within_ms=WITHIN_MS))


Make = Callable[..., Local]


@pytest.fixture
def make() -> Iterator[Make]:
    made = []

    def local(plan: Plan, *on_a: Any) -> Local:
        made.append(Local(plan, S={"A": list(on_a)}))
        return made[-1]

    yield local
    for one in made:
        one.close()


def publish(local: Local, *numbers: int) -> None:
    local.publish(*(local.classes.event("A")(k=f"k{n}", n=n) for n in numbers))


def run(local: Local, until: Callable[[], bool] | None = None) -> None:
    """As `Local.run`, on one clock."""

    def done() -> bool:
        local.clock.at_us += 1_000
        return until() if until is not None else local.idle()

    local.run(done)


def slot(local: Local) -> Any:
    return local.core.status(local.now_ms).slots[0]


class Flaky:
    """Fails for these numbers, `times` times each."""

    def __init__(self, numbers: set[int], times: int = 10**9) -> None:
        self.left = dict.fromkeys(numbers, times)
        self.calls: list[int] = []
        self.local: Local | None = None
        self.__name__ = "on_a"

    def __call__(self, event: Any) -> Any:
        self.calls.append(event.n)
        if self.left.get(event.n, 0):
            self.left[event.n] -= 1
            raise ConnectionError("down")
        assert self.local is not None
        return self.local.classes.event("X")(k=event.k, n=event.n)


def system(make: Make, plan: Plan, handler: Flaky) -> Local:
    handler.local = make(plan, handler)
    return handler.local


def test_retries_end_with_the_time(make: Make) -> None:
    """4.33: what is out of its time is given up on, and says so; others are not late."""
    handler = Flaky({1})
    local = system(make, timed(), handler)
    local.start("S")
    publish(local, 0, 1, 2)
    begun = local.clock.at_us
    run(local)
    (parked,) = local.parked()
    assert parked.offset == 1
    assert parked.error.startswith("LateError: not handled within 1s of its time, after ")
    assert "the last one failed with ConnectionError: down" in parked.error
    assert parked.attempts == handler.calls.count(1) > 10
    assert 0 <= (parked.time_us - begun) / 1000 - WITHIN_MS < 100
    assert [e.n for e in local.events("X")] == [0, 2]
    assert slot(local).late == {}


def test_attempts_that_are_used_up_before_are_said_as_that(make: Make) -> None:
    handler = Flaky({1})
    local = system(make, timed(attempts=3), handler)
    local.start("S")
    publish(local, 1)
    run(local)
    (parked,) = local.parked()
    assert (parked.attempts, parked.error.splitlines()[0]) == (4, "ConnectionError: down")


def test_what_was_not_tried_yet_is_tried_once(make: Make) -> None:
    """4.33: a service that was down for an hour parks nothing for that; what it handles late is
    counted, and what fails then is given up on at once."""
    handler = Flaky({2})
    local = system(make, timed(), handler)
    publish(local, 0, 1, 2, 3)
    local.clock.at_us += 3_600_000_000
    local.start("S")
    run(local)
    assert [e.n for e in local.events("X")] == [0, 1, 3]
    (parked,) = local.parked()
    assert (parked.offset, parked.attempts, handler.calls.count(2)) == (2, 1, 1)
    assert slot(local).late == {"S.on_a": 3}


def test_late_events_are_told_of_now_and_then(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """4.33: the handler, the event, its offset, and by how much."""
    local = system(make, timed(), Flaky(set()))
    publish(local, *range(20))
    local.clock.at_us += 4_500_000
    local.start("S")
    run(local)
    said = [record.getMessage() for record in caplog.records if "late by" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("S.on_a handled A at offset 0 late by 3")
    assert "it is declared `within 1s`" in said[0]
    assert slot(local).late == {"S.on_a": 20}


def test_a_retry_that_succeeds_late_is_late(make: Make) -> None:
    """Its time is over while it waits for one of its key: it was never tried, so it is, once."""
    handler = Flaky({1})
    local = system(make, timed(), handler)
    local.start("S")
    a = local.classes.event("A")
    local.publish(a(k="same", n=1), a(k="same", n=2))
    run(local)
    assert [p.offset for p in local.parked()] == [0]
    assert [e.n for e in local.events("X")] == [2]
    assert slot(local).late == {"S.on_a": 1}


def test_then_drop_and_then_halt(make: Make) -> None:
    dropped = system(make, timed(then="drop"), Flaky({1}))
    dropped.start("S")
    publish(dropped, 1)
    run(dropped)
    assert not dropped.parked()
    assert slot(dropped).deferred == 0
    halted = system(make, timed(then="halt"), Flaky({1}))
    halted.start("S")
    publish(halted, 1)
    with pytest.raises(HaltedError, match=r"then halt.: LateError: not handled within 1s"):
        run(halted)


# ---- replay skip


def test_a_handler_that_skips_replays_is_not_called_for_memory(make: Make) -> None:
    """4.31: of two handlers of one event, the other one is; and what it needed two attempts for
    is in its memory."""
    mailed, remembered = [], []

    def on_a(event: Any) -> None:
        mailed.append(event.n)

    def remember(event: Any, ctx: Any) -> None:
        if event.n == 1 and ctx.attempt == 1:
            raise ConnectionError("down")
        remembered.append((event.n, ctx.replaying))

    quick = RetryPlan(3, 5, 10)
    mails = HandlerPlan(("A",), retry=quick, replay="skip")
    local = make(plan(mails, HandlerPlan(("A",), name="other", retry=quick)), on_a, remember)
    worker = local.start("S")
    publish(local, 0, 1)
    run(local)
    assert sorted(set(mailed)) == [0, 1]
    local.kill(worker)
    mailed.clear()
    remembered.clear()
    local.start("S")
    run(local)
    assert mailed == []
    assert remembered == [(0, True), (1, True)]


# ---- delivery latest


def latest(**more: Any) -> HandlerPlan:
    quick = RetryPlan(3, 5, 10)
    return HandlerPlan(("A",), ((OutputPlan("X"),),), retry=quick, delivery="latest", **more)


def test_what_was_there_before_is_passed_over(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """4.34: also by a process that follows another one; nothing is called again for memory."""
    caplog.set_level("INFO")
    handler = Flaky(set())
    local = system(make, plan(latest()), handler)
    publish(local, *range(5))
    worker = local.start("S")
    run(local)
    assert (handler.calls, slot(local).passed) == ([], 5)
    assert "5 events that were there before are passed over" in caplog.text
    publish(local, 5, 6)
    run(local)
    assert handler.calls == [5, 6]
    local.kill(worker)
    publish(local, 7)
    local.start("S")
    run(local)
    publish(local, 8)
    run(local)
    assert handler.calls == [5, 6, 8]
    assert [e.n for e in local.events("X")] == [5, 6, 8]
    assert (slot(local).passed, slot(local).lag) == (6, 0)


def test_a_link_that_was_cut_passes_nothing_over(make: Make) -> None:
    """The process lives: what comes while the broker is away comes after it began."""
    handler = Flaky(set())
    local = system(make, plan(latest()), handler)
    local.start("S")
    run(local)
    local.start_broker()
    publish(local, 0, 1)
    run(local)
    assert handler.calls == [0, 1]


def test_what_was_begun_is_ended(make: Make) -> None:
    """An event that has failed is tried again, by the next process too."""
    handler = Flaky({0}, times=2)
    local = system(make, plan(latest()), handler)
    worker = local.start("S")
    run(local)
    publish(local, 0)
    run(local, lambda: slot(local).deferred == 1)
    local.kill(worker)
    local.start("S")
    run(local)
    assert [e.n for e in local.events("X")] == [0]
    assert slot(local).passed == 0


def test_others_of_the_same_event_want_all(make: Make) -> None:
    seen: list[int] = []

    def other(event: Any) -> None:
        seen.append(event.n)

    handler = Flaky(set())
    local = make(plan(latest(), HandlerPlan(("A",), (), name="other")), handler, other)
    handler.local = local
    publish(local, 0, 1)
    local.start("S")
    run(local)
    publish(local, 2)
    run(local)
    assert (handler.calls, seen) == ([2], [0, 1, 2])
