"""The event of all workloads: an order of about 200 bytes, the same as the peers' benchmarks use.

order_id 12 characters, customer 9 characters of 10,000 distinct, amount float, qty int, note 150
characters; the key is order_id. Values are cheap to make, so that what is measured is the engine.
"""

from __future__ import annotations

import random
import string
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_random = random.Random(7)
NOTES = ["".join(_random.choices(string.ascii_lowercase + "     ", k=150)) for _ in range(997)]
CUSTOMERS = [f"cust{i:05d}" for i in range(10_000)]
_NOTES, _CUSTOMERS = pa.array(NOTES), pa.array(CUSTOMERS)


def columns(start: int, rows: int) -> dict[str, Any]:
    """The orders from `start` on, as Arrow columns."""
    i = np.arange(start, start + rows)
    digits = pc.utf8_lpad(pa.array(i).cast(pa.string()), 9, "0")
    return {
        "order_id": pc.binary_join_element_wise("ORD", digits, ""),
        "customer": _CUSTOMERS.take(pa.array(i * 7919 % 10_000)),
        "amount": pa.array(i % 100_000 / 100.0),
        "qty": pa.array(1 + i % 7),
        "note": _NOTES.take(pa.array(i % 997)),
    }


def qty_sum(events: int) -> int:
    """The sum of `qty` over the first `events` orders."""
    full, rest = divmod(events, 7)
    return full * 28 + rest * (rest + 1) // 2
