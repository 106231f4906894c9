"""The event of all workloads: an order of about 200 bytes, the same as the peers' benchmarks use.

order_id 12 characters, customer 9 characters of 10,000 distinct, amount float, qty int, note 150
characters; the key is order_id. Values are cheap to make, so that what is measured is the engine.
"""

from __future__ import annotations

import random
import string
from typing import Any

_random = random.Random(7)
NOTES = ["".join(_random.choices(string.ascii_lowercase + "     ", k=150)) for _ in range(997)]
CUSTOMERS = [f"cust{i:05d}" for i in range(10_000)]


def row(i: int) -> tuple[str, str, float, int, str]:
    """The `i`-th order's fields."""
    return (
        f"ORD{i:09d}",
        CUSTOMERS[i * 7919 % 10_000],
        (i % 100_000) / 100.0,
        1 + i % 7,
        NOTES[i % 997],
    )


def columns(start: int, rows: int) -> dict[str, list[Any]]:
    """The orders from `start` on, as columns."""
    names = ("order_id", "customer", "amount", "qty", "note")
    values = zip(*(row(i) for i in range(start, start + rows)), strict=True)
    return dict(zip(names, map(list, values), strict=True))


def qty_sum(events: int) -> int:
    """The sum of `qty` over the first `events` orders."""
    full, rest = divmod(events, 7)
    return full * 28 + rest * (rest + 1) // 2
