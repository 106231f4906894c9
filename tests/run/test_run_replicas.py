"""Replicas that come and go under a real run (spec: 4.35 to 4.39, 9.40, 9.41)."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from support.tiny import DEADLINE_S, FLOW, Tiny, interrupt, until

RANGED = FLOW.replace('"app.pay" on', '"app.pay" replicas 1 to 3 stateless on')
SLOW_PAY = """
import time
from flowc.events import Paid

def on_placed(event):
    time.sleep(0.002)
    return Paid(k=event.k, n=event.n)
"""
COUNTED = "event Paid key k { k: string  c: int  n"
COUNTING = """
from collections import Counter
from flowc.events import Paid

seen = Counter()

def on_placed(event):
    seen[event.k] += 1
    return Paid(k=event.k, c=seen[event.k], n=event.n)
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    tiny = Tiny(tmp_path)
    tiny.write("main.flow", RANGED)
    return tiny


def replicas(tiny: Tiny) -> int:
    status = tiny.status()
    slots = [] if status is None else [s for s in status.slots if s.service == "Pay"]
    return len(slots) if all(s.ready for s in slots) else 0


def test_a_service_scales_by_hand_only_while_a_run_is_up(tiny: Tiny) -> None:
    """Spec 9.40."""
    refused = tiny.ask("scale", "main.flow", "Pay", "2")
    assert refused.exit_code == 3
    assert refused.stderr == (
        "error: no run of Tiny is up; start one with `flowc run main.flow`\n"
    )  # fmt: skip


@pytest.mark.slow
def test_by_hand_under_load(tiny: Tiny) -> None:
    """Spec 4.36, 9.40: each event is handled once, in the order of its key, whatever is scaled."""
    tiny.feed(30_000, pause_every=100)
    with tiny.up() as run:
        tiny.wait_ready()
        for wanted in (3, 1, 2, 3, 1, 3):
            done = tiny.ask("scale", "main.flow", "Pay", str(wanted), "--json")
            assert done.exit_code == 0, done.stderr
            assert json.loads(done.stdout)["replicas"] == wanted
            assert replicas(tiny) == wanted
        for service, number, why in (
            ("Pay", "4", "Pay is declared with `replicas 1 to 3`, so it can't have 4"),
            ("Ship", "2", "Ship is declared with `replicas 1`, so it can't have 2"),
        ):
            refused = tiny.ask("scale", "main.flow", service, number)
            assert (refused.exit_code, refused.stderr) == (3, f"error: {why}\n")
        tiny.wait_offset(60_000)
        interrupt(run)
        out, err = tiny.finish(run)
    assert run.returncode == 0, err + tiny.logs()
    assert "Pay: 1 → 3 replicas (lag " in err
    assert "died" not in err
    assert "Pay x3" in out
    tiny.assert_complete(30_000)
    assert tiny.summary()["services"][0]["replicas"] == 3, "the next run begins with them"


@pytest.mark.slow
def test_replicas_follow_the_lag(tiny: Tiny) -> None:
    """Spec 4.39: up while a source is faster than one replica, and down when it has been idle."""
    tiny.write("app/pay.py", SLOW_PAY)
    tiny.feed(8_000, pause_every=20, pause_s=0.02)
    with tiny.up() as run:
        until("more than one replica", lambda: replicas(tiny) > 1, tiny.logs)
        tiny.wait_offset(16_000)
        until("fewer than three", lambda: replicas(tiny) in {1, 2}, tiny.logs)
        until("one replica again", lambda: replicas(tiny) == 1, tiny.logs)
        interrupt(run)
        _, err = tiny.finish(run)
    assert run.returncode == 0, err + tiny.logs()
    assert "Pay: 1 → 2 replicas (lag " in err
    assert "died" not in err
    tiny.assert_complete(8_000)


@pytest.mark.slow
def test_a_memory_is_right_whatever_is_scaled_and_killed(tiny: Tiny) -> None:
    """Spec 4.8, 4.36: the service numbers the events of each key, in memory alone."""
    flow = RANGED.replace("stateless ", "").replace("event Paid key k { k: string  n", COUNTED)
    tiny.write("main.flow", flow)
    tiny.write("app/pay.py", COUNTING)
    tiny.feed(12_000, pause_every=20)
    with tiny.up() as run:
        tiny.wait_ready()
        for victim, wanted in (
            ("broker", 3), ("service-Pay-0", 1), ("service-Pay-0", 2), ("broker", 3),
            ("service-Pay-2", 2), ("warm", 3),
        ):  # fmt: skip
            pid = tiny.pids(run)[victim]
            asked = tiny.start("scale", "main.flow", "Pay", str(wanted))
            with suppress(ProcessLookupError):  # it has just been asked to end
                os.kill(pid, signal.SIGKILL)
            _, said = asked.communicate(timeout=DEADLINE_S)
            assert asked.returncode == 0, said
            until(f"{wanted} replicas", lambda n=wanted: replicas(tiny) == n, tiny.logs)
        tiny.wait_offset(24_000)
        interrupt(run)
        _, err = tiny.finish(run)
    assert run.returncode == 0, err + tiny.logs()
    tiny.assert_complete(12_000)
    wrong = tiny.sql(
        "SELECT k, n, c FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY _offset) AS "
        "place FROM Paid) WHERE c <> place"
    )
    assert wrong == []
