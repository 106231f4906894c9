"""The sources of the workloads. Each waits for the file `go`, so that all services are ready, and
notes when its first event was published."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orders import CUSTOMERS, NOTES, columns
from work import CONFIG, report

EVENTS: int = CONFIG["events"]
BATCH_ROWS = 2_000


def wait_for_go() -> None:
    """Until the harness says so."""
    go = Path(__file__).with_name("go")
    while not go.exists():
        time.sleep(0.002)
    report("source", begun_ns=time.monotonic_ns())


def single(skip: int = 0) -> Iterator[Any]:
    """Event by event."""
    from flowc.events import OrderPlaced

    if not skip:
        wait_for_go()
    for i in range(skip, EVENTS):
        yield OrderPlaced(
            f"ORD{i:09d}", CUSTOMERS[i * 7919 % 10_000], (i % 100_000) / 100.0, 1 + i % 7,
            NOTES[i % 997],
        )  # fmt: skip


def batches(skip: int = 0) -> Iterator[Any]:
    """Batch by batch."""
    from flowc.events import OrderPlaced

    if not skip:
        wait_for_go()
    for start in range(skip, EVENTS, BATCH_ROWS):
        yield OrderPlaced.batch(columns(start, min(BATCH_ROWS, EVENTS - start)))


def paced() -> Iterator[Any]:
    """One at a time, on a schedule; each says when it was published."""
    from flowc.events import TickSent

    wait_for_go()
    step_ns = 1_000_000_000 // CONFIG["per_s"]
    due = time.monotonic_ns() + 5_000_000
    for i in range(EVENTS):
        wait_ns = due + i * step_ns - time.monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        yield TickSent(f"ORD{i:09d}", time.monotonic_ns(), NOTES[i % 997])
