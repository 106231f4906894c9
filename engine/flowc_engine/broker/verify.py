"""Bodies are looked into before the core sees them: a bad one would poison the journal for all
who read it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.schema import WireSchemas


class BodyVerifier:
    """Checks that each body is a sound record batch of the plan's schema for its event."""

    def __init__(self, plan: Plan) -> None:
        self._schemas = WireSchemas(plan)
        self._events = {e.name for e in plan.events}

    def refuse(self, batches: Sequence[wire.Batch], bodies: Sequence[bytes]) -> str | None:
        """Why these bodies can't be taken, or None."""
        if len(batches) != len(bodies):
            return f"{len(batches)} batches announced, {len(bodies)} came"
        for batch, body in zip(batches, bodies, strict=True):
            why = self._refuse_body(batch, body)
            if why is not None:
                return f"{batch.event}: {why}"
        return _refuse_places(batches)

    def _refuse_body(self, batch: wire.Batch, body: bytes) -> str | None:
        if batch.event not in self._events:
            return "no event of this system"
        if len(body) > limits.FRAME_BYTES_MAX:
            return f"a body of {len(body)} bytes, at most {limits.FRAME_BYTES_MAX}"
        schema = self._schemas.get(batch.event)
        try:
            found = pa.ipc.read_record_batch(pa.py_buffer(body), schema)
            found.validate(full=True)
        except (pa.ArrowException, OSError, ValueError, EOFError) as error:
            return f"not a record batch of its schema: {error}"
        if found.num_rows != batch.rows:
            return f"{batch.rows} rows announced, {found.num_rows} came"
        for field, column in zip(schema, found.columns, strict=True):
            if not field.nullable and column.null_count:
                return f"{field.name} is null in {column.null_count} rows, and is not optional"
        return None


def _refuse_places(batches: Sequence[wire.Batch]) -> str | None:
    """Places are ascending in each batch, and each place of the message is taken once."""
    if not any(b.places for b in batches):
        return None
    if any(len(b.places) != 4 * b.rows for b in batches):
        return "places for some rows only"
    each = [np.frombuffer(b.places, "<u4") for b in batches]
    if any((np.diff(places.astype(np.int64)) <= 0).any() for places in each):
        return "places that are not ascending"
    if not np.array_equal(np.sort(np.concatenate(each)), np.arange(sum(b.rows for b in batches))):
        return "places that leave gaps or are taken twice"
    return None
