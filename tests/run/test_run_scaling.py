"""Replicas that follow the lag, on a virtual clock (spec: 4.39, 9.41)."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import pairwise

import pytest

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.supervisor import core as sc
from flowc_engine.supervisor.children import BROKER, WARM, Child, Exit, Kind, Life
from flowc_engine.supervisor.scaling import Bounds, Look, Scaler

STEP_MS = limits.STATUS_EVERY_MS
MINUTE = 60_000


class Load:
    """A service under a load of `arrives(ms)` events/s, of which a replica handles `each` a second,
    and no more than `cores` of them at once. A change stops it, for `start_ms` and its replay."""

    def __init__(
        self, arrives: Callable[[int], float], *, each: float = 1_000, cores: int = 2,
        high: int = 4, replays: bool = False, past: float = 0, start_ms: int = 300,
    ) -> None:  # fmt: skip
        self.scaler = Scaler(Bounds("Pay", 1, high, replays), cores)
        self.arrives, self.each, self.cores, self.start_ms = arrives, each, cores, start_ms
        self.now_ms, self.replicas, self.ready_ms = 0, 1, 0
        self.end = self.position = past
        self.changes: list[tuple[int, int]] = []
        self.worst = 0.0

    def run(self, until_ms: int) -> list[int]:
        while self.now_ms < until_ms:
            self.now_ms += STEP_MS
            self.end += self.arrives(self.now_ms) * STEP_MS / 1000
            if self.now_ms < self.ready_ms:
                self.scaler.interrupted()
                continue
            able = self.each * min(self.replicas, self.cores) * STEP_MS / 1000
            self.position = min(self.end, self.position + able)
            lag = round(self.end - self.position)
            self.worst = max(self.worst, lag)
            look = Look(
                self.now_ms, self.replicas, round(self.end) - lag, lag, round(self.position)
            )
            wanted = self.scaler.look(look)
            if wanted is not None:
                self._change(wanted)
        return [replicas for _, replicas in self.changes]

    def _change(self, replicas: int) -> None:
        assert 1 <= replicas <= self.scaler.bounds.high
        assert replicas != self.replicas
        self.scaler.changes(self.now_ms)
        self.changes.append((self.now_ms, replicas))
        self.replicas = replicas
        replay_ms = self.position / (self.each * min(replicas, self.cores)) * 1000
        self.ready_ms = self.now_ms + self.start_ms
        if self.scaler.bounds.replays:
            self.ready_ms += round(replay_ms)


def test_one_that_keeps_up_stays_as_it_is() -> None:
    assert Load(lambda _: 990).run(10 * MINUTE) == []


def test_a_burst_that_is_soon_over_changes_nothing() -> None:
    assert Load(lambda ms: 5_000 if ms < 1_000 else 100).run(5 * MINUTE) == []


def test_who_stays_behind_gets_more_and_who_keeps_up_for_long_has_fewer() -> None:
    load = Load(lambda ms: 1_700 if ms < MINUTE else 200)
    assert load.run(5 * MINUTE) == [2, 1]
    (up, _), (down, _) = load.changes
    assert limits.SCALE_LOOK_MS <= up <= 3 * limits.SCALE_LOOK_MS
    assert down >= MINUTE + limits.SCALE_DOWN_AFTER_MS
    assert load.end - load.position < 1_000


@pytest.mark.parametrize("each", [3, 50, 20_000])
def test_slow_and_quick_handlers_alike(each: int) -> None:
    load = Load(lambda _: 1.8 * each, each=each)
    assert load.run(2 * MINUTE) == [2]


def test_a_steady_load_that_needs_several_does_not_go_back_and_forth() -> None:
    load = Load(lambda _: 2_500, cores=8)
    assert load.run(30 * MINUTE) == [2, 4]


def test_more_than_the_cores_only_if_that_helps() -> None:
    """Handlers that compute gain nothing there; handlers that wait do."""
    assert Load(lambda _: 9_000, cores=2, high=8).run(10 * MINUTE) == [2, 3]
    waits = Load(lambda _: 9_000, cores=8, high=8)
    waits.scaler.cores = 2
    assert waits.run(10 * MINUTE) == [2, 3, 4, 5, 6, 7, 8]


def test_a_past_that_takes_long_to_see_again_is_not_seen_again_for_lag() -> None:
    """Spec 4.39: the cure would be worse."""
    assert Load(lambda _: 1_700, replays=True, past=200_000).run(5 * MINUTE) == []
    assert Load(lambda _: 1_700, replays=True, past=2_000).run(5 * MINUTE) == [2]
    assert Load(lambda _: 1_700, replays=False, past=200_000).run(5 * MINUTE) == [2]


@pytest.mark.parametrize("period_s", [20, 45, 90, 200])
@pytest.mark.parametrize("replays", [False, True])
def test_a_load_that_comes_and_goes_changes_little(period_s: int, replays: bool) -> None:
    """Spec 4.39: and never stops a service for more than a tenth of the time."""
    load = Load(lambda ms: 1_800 * (ms // 1000 % period_s < period_s / 2), replays=replays)
    load.run(20 * MINUTE)
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(load.changes)]
    assert all(gap >= limits.SCALE_EVERY_MS for gap in gaps)
    assert len(load.changes) <= 2 + 2 * 20 * 60 // period_s
    stopped = len(load.changes) * load.start_ms
    assert stopped < 20 * MINUTE / 10


def test_a_broker_that_counts_anew_is_no_reason() -> None:
    load = Load(lambda _: 900)
    load.run(20_000)
    assert load.scaler.look(Look(20_200, 1, 18_000, 100, 0)) is None


# ---- the supervisor

PAY = [Child(Kind.HOST, "Pay", i) for i in range(4)]


class Run:
    """A run with `replicas 1 to 4`, a broker that says what it is told to, and processes that start
    at once and end when they are asked."""

    def __init__(self, replicas: int = 1) -> None:
        scaler = Scaler(Bounds("Pay", 1, 4, replays=False), 2)
        self.core = sc.RunCore(PAY[:1], (), until_idle=False, scalers=[scaler])
        self.now_ms, self.replicas, self.lag, self.wanted = 0, replicas, 0, 0
        self.position = 0
        self.answers = True
        self.spawned: list[Child] = []
        self.asked: list[int] = []
        self.said: list[str] = []
        self.core.begin()
        self.settle()

    def settle(self) -> None:
        while effects := self.core.take():
            for effect in effects:
                match effect:
                    case sc.Spawn(child):
                        self.spawned.append(child)
                        if child in (BROKER, WARM):
                            self.core.ready(child, self.now_ms)
                    case sc.Kill(child, signal.SIGTERM):
                        self.core.exited(child, Exit(0), self.now_ms)
                    case sc.SendRescale(service, replicas):
                        self.asked.append(replicas)
                        if self.answers:
                            self.replicas, self.wanted = replicas, 0
                            self.core.rescaled(service, replicas, self.now_ms)
                    case sc.Say(text):
                        self.said.append(text)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.now_ms += STEP_MS
            self.position += 200
            slots = [
                wire.SlotStatus("Pay", i, True, self.lives(i), 0, self.lag, self.position, 0, 0, 0)
                for i in range(self.replicas)
            ]
            wanted = {"Pay": self.wanted} if self.wanted else {}
            status = wire.Status(
                self.position + self.lag, 0, 0, False, False, slots, [], 0, self.now_ms,
                wanted=wanted,
            )  # fmt: skip
            self.core.seen(status, self.now_ms)
            self.core.tick(self.now_ms)
            self.settle()

    def lives(self, slot: int) -> bool:
        state = self.core.children.get(PAY[slot])
        return state is not None and state.alive

    @property
    def hosts(self) -> list[Child]:
        return [s.child for s in self.core.of(Kind.HOST)]


def test_a_run_begins_with_as_many_as_the_last_one_had() -> None:
    """Spec 4.35."""
    run = Run(replicas=3)
    run.core.tick(run.now_ms)
    run.settle()
    assert not any(child.kind in (Kind.HOST, Kind.SOURCE) for child in run.spawned)
    run.look()
    assert run.said == []
    assert run.hosts == PAY[:3]
    assert all(run.lives(i) for i in range(3))


def test_its_processes_end_before_the_broker_is_asked_and_start_when_it_has_answered() -> None:
    run = Run()
    run.look(2)
    run.lag, run.answers = 12_400, False
    run.look(2 * limits.SCALE_LOOK_MS // STEP_MS)
    assert run.said == ["Pay: 1 → 2 replicas (lag 12,400)"]
    assert not run.lives(0)
    assert len(run.asked) > 2, "again and again, until there is an answer"
    run.answers = True
    run.look(4)
    assert [run.lives(i) for i in (0, 1)] == [True, True]
    assert run.core.scaled == run.said


def test_a_wish_comes_true() -> None:
    """Spec 4.38."""
    run = Run()
    run.look(2)
    run.wanted = 4
    run.look(2)
    assert run.hosts == PAY
    run.wanted = 1
    run.look(3)
    assert run.hosts == PAY[:1]
    assert run.asked == [4, 1]


def test_a_refusal_leaves_all_as_it_was() -> None:
    run = Run()
    run.look(2)
    run.wanted, run.answers = 3, False
    run.look(1)
    run.core.refused("the run is ending", run.now_ms)
    run.wanted = 0
    run.settle()
    run.look(1)
    assert run.hosts == PAY[:1]
    assert run.lives(0)
    assert run.said[-1] == "Pay keeps its replicas: the run is ending"


def test_a_warm_parent_that_dies_amid_a_change_takes_nothing_with_it() -> None:
    run = Run()
    run.look(2)
    run.wanted, run.answers = 2, False
    run.look(1)
    run.core.exited(WARM, Exit(-9), run.now_ms)
    run.settle()
    run.answers, run.wanted = True, 0
    run.look(10)
    assert run.hosts == PAY[:2]
    assert all(run.lives(i) for i in (0, 1))


def test_a_run_that_ends_amid_a_change_ends() -> None:
    run = Run()
    run.look(2)
    run.wanted, run.answers = 2, False
    run.look(1)
    run.core.interrupt(run.now_ms)
    count = len(run.asked)
    run.look(5)
    assert len(run.asked) == count
    assert run.core.phase > sc.Phase.DRAINING
    assert all(s.life is Life.STOPPED for s in run.core.of(Kind.HOST))
