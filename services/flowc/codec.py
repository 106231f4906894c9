"""Event types as they travel: objects to bodies, bodies to objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from flowc.classes import Classes, maker
from flowc.columns import FieldDecoders, FieldEncoders, MisfitError
from flowc_dsl.plan import EventPlan
from flowc_dsl.python_names import attribute_name
from flowc_engine import limits
from flowc_engine.generations import History
from flowc_engine.lifting import EventReader
from flowc_engine.partition import partitioner
from flowc_engine.schema import event_schema

if TYPE_CHECKING:
    from flowc.event import Event

_TIME = pa.timestamp("us", tz="UTC")


class EventCodec:
    """One event type. Raises `KeyTypeError` for a key that can't be one."""

    def __init__(self, classes: Classes, declared: EventPlan, history: History) -> None:
        self.name = declared.name
        self.declared = declared
        self._reader = EventReader(history, declared.name)
        self.schema = self._reader.schema
        self.own_schema = event_schema(classes.plan, declared.name)
        self.key = None if declared.key is None else attribute_name(declared.key)
        self.key_index = next(
            (i for i, f in enumerate(declared.fields) if f.name == declared.key), None
        )
        self._partition = partitioner(classes.plan, declared.name)
        self._partitions = classes.plan.partitions
        self.classes = classes
        self._encoders = FieldEncoders(classes, declared.fields)
        self._decoders = FieldDecoders(classes, declared.fields)
        self._make: Callable[..., Event] | None = None
        plan = classes.plan
        joined = declared.of if declared.waits == "join" else ()
        self._sides = [EventCodec(classes, plan.event(name), history) for name in joined]
        self._round_robin = 0

    # ---- out

    def columns(self, events: list[Event]) -> list[pa.Array]:
        """The events' own columns. Raises `MisfitError`, which does not say of which event."""
        return self._encoders.encode(events)

    def body(
        self,
        columns: list[pa.Array],
        rows: int,
        time_us: int,
        causes: pa.Array | None = None,
        roots: pa.Array | None = None,
        partitions: pa.Array | None = None,
    ) -> memoryview:
        """Columns as an Arrow record batch message, with the envelope."""
        batch = pa.RecordBatch.from_arrays(
            [
                *columns,
                pa.repeat(pa.scalar(time_us, _TIME), rows),
                pa.nulls(rows, pa.int64()) if causes is None else causes,
                pa.nulls(rows, pa.int64()) if roots is None else roots,
                self.partitions(columns, rows) if partitions is None else partitions,
            ],
            schema=self.schema,
        )
        return memoryview(batch.serialize())

    def partitions(self, columns: list[pa.Array], rows: int) -> pa.Array:
        """The partition of each event: by its key, else in turns."""
        if self._partition is not None and self.key_index is not None:
            return self._partition(columns[self.key_index])
        begin = self._round_robin
        self._round_robin = (begin + rows) % self._partitions
        return pa.array((np.arange(begin, begin + rows) % self._partitions).astype(np.int32))

    # ---- in

    def read(self, body: bytes | memoryview) -> pa.RecordBatch:
        """A body of this plan as a record batch with the wire's schema."""
        return pa.ipc.read_record_batch(pa.py_buffer(body), self.schema)

    def read_stored(self, body: bytes | memoryview, first: int) -> pa.RecordBatch:
        """The same of a body that may have been written with an older plan: then its events are
        lifted. `first` is that of `wire.Delivered`."""
        return self._reader.read(body, first)

    def objects(self, batch: pa.RecordBatch) -> list[Any]:
        """The events of a batch (its first columns are the event's own). Of a join, a tuple of the
        events that it joins for each; of a timer, an empty one."""
        if self.declared.waits == "every":
            return [()] * batch.num_rows
        columns = [batch.column(i) for i in range(len(self.declared.fields))]
        if self._sides:  # behind the key, each event as a whole
            sides = zip(self._sides, columns[1:], strict=True)
            return list(zip(*(s.of_struct(column) for s, column in sides), strict=True))
        return self._objects(columns, batch.num_rows)

    def of_struct(self, column: pa.StructArray) -> list[Event]:
        """The events of a column that repeats them."""
        return self._objects(column.flatten(), len(column))

    def _objects(self, columns: list[pa.Array], rows: int) -> list[Event]:
        if self._make is None:
            self._make = maker(self.classes.event(self.name))
        return self._decoders.objects(self._make, columns, rows)


class Codecs:
    """The codecs of a plan, each made when it is first asked for.

    `history`: how what is stored was written, if not all with this plan.
    """

    def __init__(self, classes: Classes, history: History | None = None) -> None:
        self.classes = classes
        self._history = history or History.of(classes.plan)
        self._made: dict[str, EventCodec] = {}

    def __getitem__(self, event: str) -> EventCodec:
        """Raises `KeyError` for an event that is not of the plan."""
        codec = self._made.get(event)
        if codec is None:
            declared = self.classes.plan.event(event)
            codec = self._made[event] = EventCodec(self.classes, declared, self._history)
        return codec


def misfit_row(codec: EventCodec, events: Sequence[Event]) -> tuple[int, str]:
    """Which of the events does not fit, and why. One of them must not."""
    low, high = 0, len(events)
    why = _misfit(codec, events)
    assert why is not None, "all of these events fit"
    while high - low > 1:  # the first half that has one, until it is one
        middle = (low + high) // 2
        found = _misfit(codec, events[low:middle])
        if found is None:
            low = middle
            why = _misfit(codec, events[low:high]) or why
        else:
            high, why = middle, found
    return low, why


def _misfit(codec: EventCodec, events: Sequence[Event]) -> str | None:
    try:
        codec.columns(list(events))
    except MisfitError as error:
        return str(error)
    return None


def size_limit_text(name: str, size: int) -> str:
    """What to say of an event that is too large."""
    return f"{name} of {size} bytes, an event has at most {limits.EVENT_BYTES_MAX}"


def now_us() -> int:
    """µs since 1970 in UTC."""
    return time.time_ns() // 1000


def as_int64(values: Any) -> pa.Array:
    """Offsets as a column."""
    return pa.array(values, pa.int64())
