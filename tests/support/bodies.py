"""Arrow bodies for the events of `support.plans`."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from flowc_dsl.plan import Plan
from flowc_engine.schema import wire_schema

_EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def body(plan: Plan, event: str, numbers: list[int], cause: int | None = None) -> bytes:
    """Events with `n` from `numbers` and `k` from `n`, modulo 7."""
    count = len(numbers)
    columns = [
        [f"key{n % 7}" for n in numbers],
        numbers,
        [_EPOCH] * count,
        [cause] * count,
        [cause] * count,
        [n % 7 for n in numbers],
    ]
    schema = wire_schema(plan, event)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema).serialize().to_pybytes()


def numbers(plan: Plan, event: str, data: bytes) -> list[int]:
    """The `n` of each event of a body."""
    batch = pa.ipc.read_record_batch(pa.py_buffer(data), wire_schema(plan, event))
    return batch.column("n").to_pylist()
