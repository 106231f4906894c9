"""The sources of the workloads."""

from __future__ import annotations

from collections.abc import Iterator

from orders import CUSTOMERS, NOTES, columns
from work import EVENTS, wait_for_go

import flowc
from flowc.events import OrderPlaced

BATCH_ROWS = 2_000


def single(skip: int = 0) -> Iterator[OrderPlaced]:
    """Event by event."""
    if not skip:
        wait_for_go()
    for i in range(skip, EVENTS):
        yield OrderPlaced(
            order_id=f"ORD{i:09d}",
            customer=CUSTOMERS[i * 7919 % 10_000],
            amount=(i % 100_000) / 100.0,
            qty=1 + i % 7,
            note=NOTES[i % 997],
        )


def batches(skip: int = 0) -> Iterator[flowc.Batch]:
    """Batch by batch."""
    if not skip:
        wait_for_go()
    for start in range(skip, EVENTS, BATCH_ROWS):
        rows = min(BATCH_ROWS, EVENTS - start)
        yield flowc.Batch.of(OrderPlaced, columns(start, rows))
