"""A run whose services come from other machines, without processes (spec 9.36)."""

from __future__ import annotations

import signal

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.supervisor import core as sc
from flowc_engine.supervisor.children import BROKER, LOG, WARM, Child, Exit, Kind

PAY, SHIP = Child(Kind.HOST, "Pay"), Child(Kind.HOST, "Ship")
FEED = Child(Kind.SOURCE, "feed")


class World:
    """A broker, a log and a warm parent that start at once; Ship is elsewhere."""

    def __init__(
        self, hosts: list[Child], sources: list[Child], *, until_idle: bool = True
    ) -> None:
        self.core = sc.RunCore(hosts, sources, until_idle=until_idle, elsewhere=[SHIP])
        self.now_ms = 0
        self.spawned: list[Child] = []
        self.stopped: list[Child] = []
        self.said: list[str] = []
        self.code: int | None = None
        self.core.begin()
        self.settle()

    def settle(self) -> None:
        while effects := self.core.take():
            for effect in effects:
                match effect:
                    case sc.Spawn():
                        self.spawned.append(effect.child)
                        self.core.ready(effect.child, self.now_ms)
                    case sc.Kill():
                        self.stopped.append(effect.child)
                        code = 0 if effect.signal == signal.SIGTERM else -9
                        self.core.exited(effect.child, Exit(code), self.now_ms)
                    case sc.Say():
                        self.said.append(effect.text)
                    case sc.Finish():
                        self.code = effect.code

    def look(self, *, ship: bool, ready: bool = True, lag: int = 0, step_ms: int = 100) -> None:
        """Time passes, and the broker says how Ship stands."""
        self.now_ms += step_ms
        slots = [wire.SlotStatus("Ship", 0, ship, ship and ready, 0, lag, 0, 0, 0, 0)]
        slots += [wire.SlotStatus("Pay", 0, True, True, 0, 0, 0, 0, 0, 0)]  # fmt: skip
        sources = [wire.SourceStatus("feed", FEED in self.spawned, 3, done=True)]
        status = wire.Status(3, 3, 3, idle=True, draining=self.core.draining, slots=slots,
                             sources=sources, log_bytes=0, uptime_ms=0)  # fmt: skip
        self.core.seen(status, self.now_ms)
        self.core.tick(self.now_ms)
        self.settle()


def test_nothing_of_another_machine_is_started_here():
    world = World([], [])
    assert world.spawned == [BROKER, LOG]
    world.look(ship=True)
    assert world.spawned == [BROKER, LOG]
    assert world.said == ["service Ship is here"]


def test_sources_wait_for_services_elsewhere_and_not_for_ever():
    world = World([PAY], [FEED])
    world.look(ship=False)
    world.look(ship=True, ready=False)
    assert FEED not in world.spawned
    world.look(ship=True)
    assert world.spawned[-1] == FEED
    alone = World([PAY], [FEED])
    alone.look(ship=False, step_ms=limits.START_MS_MAX + 100)
    assert alone.spawned[-1] == FEED
    assert "service Ship is not ready yet; starting without it" in alone.said


def test_idle_is_when_those_elsewhere_have_all():
    world = World([PAY], [FEED])
    world.look(ship=True)
    world.core.exited(FEED, Exit(0), world.now_ms)
    for how in ({"ship": True, "lag": 1}, {"ship": False}, {"ship": True, "ready": False}):
        for _ in range(3):
            world.look(**how)
        assert not world.core.draining
    for _ in range(3):
        world.look(ship=True)
    assert world.core.draining


def test_a_drain_waits_until_those_elsewhere_have_left():
    world = World([], [], until_idle=False)
    world.look(ship=True)
    world.core.interrupt(world.now_ms)
    for _ in range(20):
        world.look(ship=True)
    assert LOG not in world.stopped
    for _ in range(3):
        world.look(ship=False)
    assert world.code == 0
    assert world.stopped == [LOG, BROKER]


def test_a_drain_does_not_wait_for_ever():
    world = World([], [], until_idle=False)
    world.look(ship=True)
    world.core.interrupt(world.now_ms)
    for _ in range(5):
        world.look(ship=True, step_ms=limits.DRAIN_MS_MAX)
    assert world.code == 0


def test_the_warm_parent_is_not_to_blame_for_those_elsewhere():
    world = World([PAY], [])
    world.look(ship=True)
    world.core.exited(WARM, Exit(-9), world.now_ms)
    assert world.core.children[SHIP].alive


def test_a_replica_of_an_earlier_run_is_waited_for_too():
    """Spec 9.36: `replicas 1 to 4` may have had more when it ran here."""
    world = World([], [FEED])
    two = [wire.SlotStatus("Ship", n, n == 0, n == 0, 0, 0, 0, 0, 0, 0) for n in (0, 1)]
    status = wire.Status(3, 3, 3, idle=False, draining=False, slots=two, sources=[],
                         log_bytes=0, uptime_ms=0)  # fmt: skip
    world.core.seen(status, 100)
    world.settle()
    assert (
        "service Ship (replica 1) has its part from an earlier run: it is waited for" in world.said
    )
    assert FEED not in world.spawned
