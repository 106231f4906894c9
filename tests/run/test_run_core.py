"""The supervisor's decisions, on a virtual clock and without processes."""

import signal

import pytest

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.supervisor import core as sc
from flowc_engine.supervisor.children import BROKER, LOG, WARM, Child, Exit, Kind, Life
from flowc_engine.supervisor.idle import is_calm
from flowc_engine.supervisor.restarts import Restarts

PAY, SHIP = Child(Kind.HOST, "Pay"), Child(Kind.HOST, "Ship")
FEED = Child(Kind.SOURCE, "feed")
KILLED, CLEAN = Exit(-9), Exit(0)


class World:
    """The driver's part: processes that start at once, and a broker whose status is set."""

    def __init__(
        self,
        *,
        until_idle: bool = True,
        sources: tuple[Child, ...] = (FEED,),
        log_is_quick: bool = True,
    ) -> None:
        self.log_is_quick = log_is_quick
        self.core = sc.RunCore([PAY, SHIP], sources, until_idle=until_idle)
        self.now_ms = 0
        self.spawned: list[Child] = []
        self.kills: list[tuple[Child, int]] = []
        self.drains = 0
        self.said: list[str] = []
        self.code: int | None = None
        self.lag = {PAY: 0, SHIP: 0}
        self.offset = self.applied = 0
        self.down: set[Child] = set()  # hosts that don't get ready
        self.core.begin()
        self.settle()

    def settle(self) -> None:
        while effects := self.core.take():
            for effect in effects:
                match effect:
                    case sc.Spawn():
                        self.spawned.append(effect.child)
                        quick = effect.child != LOG or self.log_is_quick
                        if quick and effect.child in (BROKER, WARM, LOG):
                            self.core.ready(effect.child, self.now_ms)
                    case sc.Kill():
                        self.kills.append((effect.child, effect.signal))
                    case sc.SendDrain():
                        self.drains += 1
                    case sc.Say():
                        self.said.append(effect.text)
                    case sc.Finish():
                        self.code = effect.code

    def alive(self, child: Child) -> bool:
        return self.core.children[child].alive

    def look(self, step_ms: int = 100) -> None:
        self.now_ms += step_ms
        slots = [
            wire.SlotStatus(
                c.name,
                c.slot,
                True,
                self.alive(c) and c not in self.down,
                0,
                self.lag[c],
                0,
                0,
                0,
                0,
            )
            for c in (PAY, SHIP)
        ]
        feed = [
            wire.SourceStatus(s.child.name, s.alive, 0, s.life is Life.DONE)
            for s in self.core.of(Kind.SOURCE)
        ]
        status = wire.Status(
            self.offset, 0, self.applied, False, False, slots, feed, 0, self.now_ms
        )
        self.core.seen(status, self.now_ms)
        self.core.tick(self.now_ms)
        self.settle()

    def exit(self, child: Child, how: Exit = CLEAN) -> None:
        self.core.exited(child, how, self.now_ms)
        self.settle()

    def leave(self) -> None:
        """All do as they are told."""
        for child in (FEED, PAY, SHIP):
            if child in self.core.children and self.alive(child):
                self.exit(child)
        self.look()
        for child in (WARM, LOG, BROKER):
            self.exit(child)


def test_sources_start_when_every_service_is_ready() -> None:
    world = World()
    assert world.spawned == [BROKER, WARM, LOG, PAY, SHIP]
    world.down = {SHIP}
    world.look()
    assert FEED not in world.spawned
    world.down = set()
    world.look()
    assert world.spawned[-1] == FEED


def test_sources_do_not_wait_for_ever() -> None:
    world = World()
    world.down = {SHIP}
    world.look(limits.START_MS_MAX + 1)
    world.look()
    assert world.spawned[-1] == FEED
    assert "service Ship is not ready yet; starting without it" in world.said


def test_ends_when_sources_are_done_and_nothing_lags() -> None:
    world = World()
    world.look()
    world.lag[SHIP] = 7
    world.exit(FEED)
    for _ in range(5):
        world.look()
    assert world.drains == 0
    world.lag[SHIP] = 0
    world.look()
    assert world.drains == 0  # an output may not be durable yet: only the second look counts
    world.offset += 1
    world.look()
    assert world.drains == 0
    world.look()
    assert world.drains == 1
    world.leave()
    assert world.code == 0


def test_a_source_that_failed_is_not_waited_for_though_the_broker_has_not_missed_it() -> None:
    world = World()
    world.look()
    world.exit(FEED, Exit(10, hopeless=True))
    assert world.core.children[FEED].life is Life.FAILED
    feed = wire.SourceStatus(FEED.name, True, 1, False)
    slots = [wire.SlotStatus(c.name, c.slot, True, True, 0, 0, 0, 0, 0, 0) for c in (PAY, SHIP)]
    status = wire.Status(1, 0, 1, False, False, slots, [feed], 0, 0)
    assert is_calm(status, world.core.children)


def test_stays_up_without_until_idle() -> None:
    world = World(until_idle=False)
    world.look()
    world.exit(FEED)
    for _ in range(20):
        world.look()
    assert world.drains == 0
    assert world.code is None


def test_a_service_that_dies_comes_back_with_backoff() -> None:
    world = World()
    world.look()
    world.exit(PAY, KILLED)
    assert world.said[-1] == "service Pay died (killed by SIGKILL); starting it again in 100 ms"
    world.look(99)
    assert world.spawned.count(PAY) == 1
    world.look(1)
    assert world.spawned.count(PAY) == 2


def test_a_service_that_dies_too_often_fails_alone() -> None:
    world = World()
    world.look()
    for _ in range(limits.RESTARTS_MAX + 1):
        world.exit(PAY, Exit(1, "Traceback\nboom"))
        world.look(limits.RESTART_BACKOFF_MAX_MS)
        world.look()
    pay = world.core.children[PAY]
    assert pay.life is Life.FAILED
    assert "boom" in pay.reason
    assert world.alive(SHIP)
    world.lag[PAY] = 99  # is not waited for
    world.exit(FEED)
    world.look()
    world.look()
    assert world.drains == 1
    world.leave()
    assert world.code == 3


def test_code_that_can_not_be_imported_is_not_tried_again() -> None:
    world = World()
    world.exit(PAY, Exit(10, "ModuleNotFoundError: no app", hopeless=True))
    world.look()
    assert world.spawned.count(PAY) == 1
    assert world.core.children[PAY].life is Life.FAILED
    assert world.spawned[-1] == FEED  # the rest goes on


def test_every_service_failed_ends_the_run() -> None:
    world = World(until_idle=False)
    for child in (PAY, SHIP):
        world.exit(child, Exit(10, "no", hopeless=True))
    world.leave()
    assert world.code == 3
    assert "every service has failed" in world.said


def test_a_broker_that_dies_comes_back_and_the_services_stay() -> None:
    world = World()
    world.look()
    world.exit(BROKER, KILLED)
    world.look()
    assert world.spawned.count(BROKER) == 2
    assert world.spawned.count(PAY) == 1


@pytest.mark.parametrize("code", [3, 4])
def test_a_journal_that_is_damaged_or_has_no_room_ends_the_run(code: int) -> None:
    world = World()
    world.look()
    world.exit(BROKER, Exit(code, "noise\njournal: the disk is full; all is safe"))
    assert world.core.fatal == "the broker can't go on: journal: the disk is full; all is safe"
    assert (PAY, signal.SIGTERM) in world.kills
    for child in (PAY, SHIP, FEED, WARM, LOG):
        world.exit(child)
    assert world.code == 3
    assert world.spawned.count(BROKER) == 1


def test_the_warm_parent_takes_its_children_with_it_and_they_are_not_to_blame() -> None:
    world = World()
    world.look()
    world.exit(WARM, KILLED)
    assert not world.alive(PAY)
    world.look()
    world.look()
    assert world.spawned.count(PAY) == world.spawned.count(FEED) == 2
    assert world.core.children[PAY].restarts.total == 0


def test_the_log_process_comes_back_and_its_failure_stops_nothing() -> None:
    world = World()
    world.look()
    world.exit(LOG, KILLED)
    world.look()
    assert world.spawned.count(LOG) == 2
    world.exit(LOG, Exit(3, "log: stopped", hopeless=True))
    world.exit(FEED)
    world.look()
    world.look()
    for child in (PAY, SHIP, WARM, BROKER):
        world.exit(child)
    assert world.code == 3


def test_first_interrupt_drains_and_the_log_is_waited_for() -> None:
    world = World(until_idle=False)
    world.look()
    world.core.interrupt(world.now_ms)
    world.settle()
    assert world.drains == 1
    assert world.kills == []
    world.offset = limits.LOG_LAST_EVENTS_MAX + 1
    for child in (FEED, PAY, SHIP):
        world.exit(child)
    world.look()
    assert (LOG, signal.SIGTERM) not in world.kills
    world.applied = 1
    world.look()
    assert (LOG, signal.SIGTERM) in world.kills
    assert (BROKER, signal.SIGTERM) not in world.kills
    world.exit(LOG)
    assert (BROKER, signal.SIGTERM) not in world.kills
    world.look()  # what the log process said last
    assert (BROKER, signal.SIGTERM) in world.kills
    world.exit(WARM)
    world.exit(BROKER)
    assert world.code == 0


def test_a_log_process_that_is_still_starting_is_not_told_to_stop() -> None:
    """It would die of SIGTERM, and leave the run's last events out of the log."""
    world = World(until_idle=False, log_is_quick=False)
    world.look()
    world.core.interrupt(world.now_ms)
    world.settle()
    for child in (FEED, PAY, SHIP):
        world.exit(child)
    world.look()
    world.look()
    assert (LOG, signal.SIGTERM) not in world.kills
    world.core.ready(LOG, world.now_ms)
    world.look()
    assert (LOG, signal.SIGTERM) in world.kills


def test_second_interrupt_kills_at_once() -> None:
    world = World()
    world.look()
    world.core.interrupt(world.now_ms)
    world.core.interrupt(world.now_ms)
    world.settle()
    assert world.code == 130
    assert {c for c, s in world.kills if s == signal.SIGKILL} == {
        BROKER,
        LOG,
        WARM,
        PAY,
        SHIP,
        FEED,
    }


def test_a_drain_is_bounded() -> None:
    world = World()
    world.look()
    world.core.interrupt(world.now_ms)
    world.look(limits.DRAIN_MS_MAX)
    assert (PAY, signal.SIGTERM) in world.kills
    world.look(limits.KILL_AFTER_MS)
    assert (PAY, signal.SIGKILL) in world.kills


def test_a_broker_that_dies_while_draining_is_told_again() -> None:
    world = World()
    world.look()
    world.core.interrupt(world.now_ms)
    world.settle()
    world.exit(BROKER, KILLED)
    world.look()
    world.look()
    assert world.drains == 2
    world.leave()
    assert world.code == 0


def test_interrupt_before_anything_is_up() -> None:
    core = sc.RunCore([PAY], [], until_idle=False)
    core.begin()
    core.interrupt(0)
    assert {e.child for e in core.take() if isinstance(e, sc.Kill)} == {WARM, BROKER}
    core.exited(WARM, Exit(-15), 10)
    core.exited(BROKER, Exit(-15), 30)
    assert sc.Finish(0) in core.take()


def test_backoff_doubles_up_to_its_bound_and_the_window_forgets() -> None:
    restarts = Restarts()
    waits = [restarts.died(0) for _ in range(limits.RESTARTS_MAX)]
    assert waits == [100, 200, 400, 800, 1600]
    assert restarts.died(limits.RESTARTS_WINDOW_MS - 1) is None
    assert restarts.died(limits.RESTARTS_WINDOW_MS) == limits.RESTARTS_WINDOW_MS + 100
