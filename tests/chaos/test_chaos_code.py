"""Code of services that is slow, forks, or does both wrong (spec: guarantees)."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from flowc_engine import limits
from support.field import Field
from support.figures import Figures, record
from support.runs import until
from support.tiny import Tiny, gone

pytestmark = pytest.mark.slow
SLOW_S = 60
MIB = 1 << 20
SLOW = """
import time
from pathlib import Path

FAST = Path(__file__).parents[1] / "fast"
left = 0

def on_paid(event):
    global left
    if not left:
        left = 0 if not FAST.exists() else 1_000_000
        time.sleep(0 if left else 0.05)
    left = max(0, left - 1)
"""
FORKS = """
import os
from flowc.events import Paid

def on_placed(event):
    if event.n % 20 == 0:
        os.fork()  # and both go on: the child returns into the engine's loop
    return Paid(k=event.k, n=event.n)
"""
MULTIPROCESSING = """
import multiprocessing
from flowc.events import Paid

def double(n):
    return 2 * n

def on_placed(event):
    if event.n % 100 == 0:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(double, range(4)) == [0, 2, 4, 6]
    return Paid(k=event.k, n=event.n)
"""


def test_a_slow_service_bounds_memory_and_holds_nobody_up(tmp_path: Path) -> None:
    """Spec 13.11: it is fast again in the end, and has missed nothing."""
    with Field(tmp_path / "p") as field:
        field.tiny.write("app/ship.py", SLOW)
        field.start_broker()
        field.start_log()
        field.start_host("Pay")
        ship = psutil.Process(field.start_host("Ship").pid)
        field.start_feed(per_s=5_000)
        field.wait_acknowledged(20_000)
        broker = psutil.Process(field.broker_process.pid)
        before = [p.memory_info().rss for p in (broker, ship)]
        peaks = list(before)
        begun, acknowledged = time.monotonic(), field.acknowledged()
        while time.monotonic() - begun < SLOW_S:
            peaks = [
                max(x, p.memory_info().rss) for x, p in zip(peaks, (broker, ship), strict=True)
            ]
            time.sleep(0.1)
        went = field.acknowledged() - acknowledged
        lag = {s.service: s.lag for s in field.tiny.status().slots}
        assert lag["Ship"] > 10 * lag["Pay"], lag
        grown = [peak - first for peak, first in zip(peaks, before, strict=True)]
        # What is kept for those who keep up, what is on its way to each, and a margin.
        assert grown[0] < limits.HOT_BYTES_MAX + 2 * limits.CREDIT_BYTES_MAX + 64 * MIB, grown
        assert grown[1] < 2 * limits.CREDIT_BYTES_MAX + 64 * MIB, grown
        (field.root / "fast").touch()
        field.end_feed()
        verdict = field.verdict()
        what = (
            f"a service that is slow for {SLOW_S} s: {went:,} events more, "
            f"broker +{grown[0] // MIB} MiB, service +{grown[1] // MIB} MiB"
        )
        figures = Figures(
            what, 1, 1, verdict.acknowledged, verdict.lost, verdict.doubled, verdict.disordered
        )
        record("13.11", figures)
        assert verdict.good, verdict


@pytest.mark.parametrize(("how", "code"), [("forks", FORKS), ("pools", MULTIPROCESSING)])
def test_code_that_forks(tmp_path: Path, how: str, code: str) -> None:
    """Spec 13.13: what a child sends is refused, and its parent goes on."""
    project = Tiny(tmp_path / "p")
    project.write("app/pay.py", code)
    count = 400
    project.feed(count)
    with project.up("--until-idle") as run:
        project.wait_offset(2 * count)
        pids = project.pids(run)
        _, err = project.finish(run)
    assert run.returncode == 0, err + project.logs()
    project.assert_complete(count)
    until(lambda: gone(pids), "no process is left")
    if how == "forks":
        assert "does not survive a fork" in project.logs()
    what = {"forks": "a handler that forks", "pools": "a handler with a pool of processes"}[how]
    record("13.13", Figures(what, 1, 20 if how == "forks" else 8, count, 0, 0, 0))
