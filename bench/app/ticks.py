"""W2: one event at a time, on a schedule; each says when it was published."""

from __future__ import annotations

import time
from collections.abc import Iterator

from orders import NOTES
from work import CONFIG, EVENTS, wait_for_go

from flowc.events import TickSent


def paced() -> Iterator[TickSent]:
    """The schedule does not wait for the engine."""
    wait_for_go()
    step_ns = 1_000_000_000 // CONFIG["per_s"]
    due = time.monotonic_ns() + 5_000_000
    for i in range(EVENTS):
        wait_ns = due + i * step_ns - time.monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        yield TickSent(order_id=f"ORD{i:09d}", sent_ns=time.monotonic_ns(), note=NOTES[i % 997])
