"""The system that is simulated: one source, and a service of each kind that the protocol knows.

    feed > Placed > Pay (two or three replicas, memory by replay) > Paid > Ship (a store) > Shipped;
    Keep (stateless, emits nothing) reads Placed and Shipped

Event number `n` has the key `n` modulo `KEYS`. What becomes of it in a service is a function of the
two.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import pyarrow as pa

from flowc_dsl.plan import (
    EventPlan,
    FieldPlan,
    HandlerPlan,
    OutputPlan,
    Plan,
    ServicePlan,
    TypePlan,
)
from flowc_engine.broker.verify import BodyVerifier
from flowc_engine.partition import partition_of
from flowc_engine.schema import WireSchemas

KEYS: Final = 7
SOURCE: Final = "feed"
_FIELDS: Final = (FieldPlan("k", TypePlan("string")), FieldPlan("n", TypePlan("int")))


SCALED: Final = ("Pay",)
"""Services whose number of replicas changes, by one."""


def _service(name: str, triggers: str, output: str = "", replicas: int = 1) -> ServicePlan:
    outputs = ((OutputPlan(output),),) if output else ()
    handler = HandlerPlan(tuple(triggers.split()), outputs)
    stateless = name == "Keep"
    return ServicePlan(
        name, "python", f"sim:{name}", (handler,), replicas=replicas, stateless=stateless,
        replicas_max=replicas + 1 if name in SCALED else replicas,
    )  # fmt: skip


PLAN: Final = Plan(
    "Simulated",
    tuple(
        EventPlan(name, "event", 1, "k", _FIELDS, external=name == "Placed")
        for name in ("Placed", "Paid", "Shipped")
    ),
    (
        _service("Pay", "Placed", "Paid", replicas=2),
        _service("Ship", "Paid", "Shipped"),
        _service("Keep", "Placed Shipped"),
    ),
    {},
    {},
)
PLAN_HASH: Final = PLAN.hash
VERIFIER: Final = BodyVerifier(PLAN)
STORES: Final = ("Ship",)
"""Services that commit a step to a store of their own before they send it (design: the step)."""

_SCHEMAS: Final = WireSchemas(PLAN)
_PARTITIONS: Final = [partition_of(f"k{key}", PLAN.partitions) for key in range(KEYS)]


def partition(n: int) -> int:
    """The partition of event `n`."""
    return _PARTITIONS[n % KEYS]


def failures(service: str, n: int) -> int:
    """How often the handler of event `n` raises; -1 if it is given up on, and parked."""
    if service == "Keep":
        return 0
    m = n + 5 * len(service)
    return -1 if m % 23 == 4 else (m % 6 == 3) + (m % 9 == 3)


@lru_cache(maxsize=1 << 16)
def pack(event: str, numbers: tuple[int, ...]) -> bytes:
    """A body."""
    count = len(numbers)
    columns = (
        [f"k{n % KEYS}" for n in numbers], list(numbers), [0] * count, [None] * count,
        [None] * count, [partition(n) for n in numbers],
    )  # fmt: skip
    schema = _SCHEMAS.get(event)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    body: bytes = pa.record_batch(arrays, schema=schema).serialize().to_pybytes()
    return body


@lru_cache(maxsize=1 << 16)
def unpack(event: str, body: bytes) -> tuple[int, ...]:
    """The numbers of the events of a body."""
    batch = pa.ipc.read_record_batch(pa.py_buffer(body), _SCHEMAS.get(event))
    return tuple(batch.column("n").to_pylist())
