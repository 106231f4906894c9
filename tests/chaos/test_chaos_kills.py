"""Processes that are killed and stopped under load: nothing acknowledged is lost, nothing happens
twice, keys keep their order (spec: guarantees)."""

from __future__ import annotations

import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from flowc.exits import Exit
from flowc_engine import limits
from support.audit import events_of
from support.field import Field, kill, worst_recovery_ms
from support.figures import Figures, record

pytestmark = pytest.mark.slow
KILLS = 50
STOPPED_S = 30
EMITS = 10


@pytest.fixture
def field(tmp_path: Path):
    with Field(tmp_path / "p") as field:
        yield field


def begin(field: Field, per_s: int) -> None:
    """All processes up, and the source publishing."""
    field.start_broker()
    field.start_log()
    field.start_host("Pay")
    field.start_host("Ship")
    field.start_feed(per_s)
    field.wait_acknowledged()
    field.wait_ready()


def judged(clause: str, what: str, field: Field, faults: int, back_ns: list[int]) -> None:
    """End the load, drain, judge, and keep the figures. Recovery counts from `back_ns`."""
    field.end_feed()
    verdict = field.verdict()
    worst = worst_recovery_ms(back_ns, field.acks()) if back_ns else None
    figures = Figures(
        what, 1, faults, verdict.acknowledged, verdict.lost, verdict.doubled,
        verdict.disordered, worst,
    )  # fmt: skip
    record(clause, figures)
    assert verdict.good, verdict


@pytest.mark.parametrize("seed", range(4))
def test_the_broker_killed_at_random_under_load(field: Field, seed: int) -> None:
    """Spec 13.1. Every fourth kill hits a broker that is still starting."""
    dice = random.Random(seed)
    begin(field, per_s=3_000)
    killed = []
    for _ in range(KILLS):
        if dice.random() < 0.25:
            kill(field.broker_process)
            field.spawn_broker()
            time.sleep(dice.uniform(0, 0.4))
        killed.append(kill(field.broker_process))
        field.start_broker()
        field.wait_acknowledged()
        time.sleep(dice.uniform(0, 0.2))
    judged("13.1", "the broker killed at random under load", field, len(killed), killed)


def test_what_flowc_emit_calls_durable(field: Field) -> None:
    """Spec 13.16: the broker is killed while each of the commands runs."""
    dice = random.Random(16)
    field.start_broker()
    for n in range(EMITS):
        said = field.start_emit(n)
        time.sleep(dice.uniform(0.2, 0.8))
        kill(field.broker_process)
        field.start_broker()
        out, err = said.communicate(timeout=60)
        assert (said.returncode, out) == (0, f"Placed durable at offset {n}\n"), err
    kill(field.broker_process)
    found = events_of(field.state.journal, field.plan, "Placed")
    assert found.offset.tolist() == found.n.tolist() == list(range(EMITS))
    record("13.16", Figures("the broker killed during `flowc emit`", EMITS, EMITS, EMITS, 0, 0, 0))


@pytest.mark.parametrize("point", ["before", "after", "confirmed"])
def test_a_service_killed_around_its_commit(field: Field, point: str) -> None:
    """Spec 13.3: before a step is sent, when it is on its way, and when it is durable and the
    service has not heard so."""
    begin(field, per_s=500)
    deaths = 0
    for number in range(1, 9):
        kill(field.hosts["Pay"])
        doomed = field.start_host("Pay", f"{point}:{number}")
        assert doomed.wait(60) == -signal.SIGKILL, field.everything_said()
        deaths += 1
        field.start_host("Pay")
    judged("13.3", "a service killed before, in and after its commit", field, deaths, [])


def test_a_service_that_was_stopped_for_long_is_fenced(field: Field) -> None:
    """Spec 13.4: its place was taken meanwhile, so its late step changes nothing."""
    begin(field, per_s=500)
    zombie = field.hosts["Pay"]
    zombie.send_signal(signal.SIGSTOP)
    field.start_host("Pay")
    time.sleep(STOPPED_S)
    zombie.send_signal(signal.SIGCONT)
    assert zombie.wait(30) == Exit.FENCED, field.said("Pay")
    judged("13.4", f"a service stopped for {STOPPED_S} s, its place taken", field, 1, [])


@pytest.mark.parametrize("victim", ["broker", "Pay"])
def test_a_process_that_was_stopped_and_goes_on(field: Field, victim: str) -> None:
    """Spec 13.4: longer than any heartbeat is waited for, and nobody took its place."""
    begin(field, per_s=500)
    process = field.broker_process if victim == "broker" else field.hosts[victim]
    process.send_signal(signal.SIGSTOP)
    time.sleep(limits.HEARTBEAT_LOST_MS / 1000 + 2)
    process.send_signal(signal.SIGCONT)
    back = [time.monotonic_ns()] if victim == "broker" else []
    field.wait_acknowledged(1_000)
    with suppress(psutil.NoSuchProcess):
        assert psutil.Process(process.pid).status() != psutil.STATUS_STOPPED
    judged("13.4", "a process stopped for 12 s, nobody in its place", field, 1, back)
