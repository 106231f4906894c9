"""`within` and `delivery latest` in a run (spec 4.33, 4.34)."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.tiny import Tiny

FLOW = """
system Tiny
external event Placed key k { k: string  n: int }
event Paid key k { k: string  n: int }
service Pay { run python "app.pay" on Placed -> Paid within 1ms }
service Ship { run python "app.ship" on Paid delivery latest }
"""
SLOW = """
import time
from flowc.events import Paid

def on_placed(event):
    time.sleep(0.002)
    return Paid(k=event.k, n=event.n)
"""


@pytest.mark.slow  # two runs
def test_the_summary_says_what_was_late_and_what_was_passed_over(tmp_path: Path) -> None:
    project = Tiny(tmp_path / "p")
    without = FLOW.replace("service Ship", "service Later").replace("delivery latest", "")
    project.write("main.flow", without)
    project.write("app/pay.py", SLOW)
    project.feed(20)
    first = project.flowc("run", "main.flow", "--until-idle")
    assert first.returncode == 0, first.stderr
    assert "Pay.on_placed: 20 events handled later than its `within`" in first.stdout
    assert "Pay.on_placed handled Placed at offset 0 late by" in project.logs()
    project.write("main.flow", FLOW)
    second = project.flowc("run", "main.flow", "--until-idle")
    assert "Ship passed over 20 events, as declared by `delivery latest`" in second.stdout
    assert "within" not in second.stdout
