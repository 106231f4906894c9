"""Reading stored events as the plan in force declares them: old batches are lifted, as columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from flowc_dsl.lifting import Stored, Unliftable
from flowc_engine.generations import Generation, History, constant, lift_of
from flowc_engine.schema import ENVELOPE, event_schema, wire_schema


class UnliftableError(Exception):
    """Stored events can't be read as they are declared now; `fault` says which and why."""

    def __init__(self, fault: Unliftable) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Lifter:
    """From batches of the wire in the schema of `old` to the same events in that of `new`: a pure
    function of the batch. Raises `UnliftableError` where it is made."""

    def __init__(self, old: Stored, new: Stored) -> None:
        lift = lift_of(old, new)
        if isinstance(lift, Unliftable):
            raise UnliftableError(lift)
        self._schema = wire_schema(new.plan, new.event.name)
        places = {field.name: index for index, field in enumerate(old.event.fields)}
        self._origins: list[tuple[int, pa.Array | None]] = []
        for origin, field in zip(lift.origins, event_schema(new.plan, new.event.name), strict=True):
            if origin.source is not None:
                self._origins.append((places[origin.source], None))
            else:
                self._origins.append((-1, pa.array([constant(new.plan, origin)], field.type)))
        self._envelope = len(old.event.fields)

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The events of a batch, lifted."""
        rows = batch.num_rows
        columns = [
            widened(batch.column(at), field.type) if one is None else _repeated(one, rows)
            for (at, one), field in zip(self._origins, self._schema, strict=False)
        ]
        envelope = range(self._envelope, self._envelope + len(ENVELOPE))
        columns += [batch.column(i) for i in envelope]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def widened(column: pa.Array, type_: pa.DataType) -> pa.Array:
    """A column as one of a wider type. The fields of structs are matched by name; those that are
    new are null. (Arrow's own cast of a struct refuses a null in a field that is not optional, also
    where the whole struct is null.)"""
    if column.type.equals(type_):
        return column
    if pa.types.is_struct(type_):
        names = {field.name for field in column.type}
        children = [
            widened(column.field(field.name), field.type)
            if field.name in names
            else pa.nulls(len(column), field.type)
            for field in type_
        ]
        return pa.StructArray.from_arrays(children, fields=list(type_), mask=column.is_null())
    if pa.types.is_map(type_):
        keys, items = column.keys, widened(column.items, type_.item_type)
        entries = pa.StructArray.from_arrays(
            [widened(keys, type_.key_type), items], fields=[type_.key_field, type_.item_field]
        )
        return _nested(column, type_, entries)
    if pa.types.is_list(type_):
        return _nested(column, type_, widened(column.values, type_.value_type))
    return column.cast(type_, safe=False)  # safe would refuse to round a number of over 53 bits


def _nested(column: pa.Array, type_: pa.DataType, values: pa.Array) -> pa.Array:
    """The lists of a column, which stay where they are, over other values."""
    validity, offsets, *_ = column.buffers()
    return pa.Array.from_buffers(
        type_, len(column), [validity, offsets], offset=column.offset, children=[values]
    )


def _repeated(one: pa.Array, rows: int) -> pa.Array:
    return one.take(pa.array(np.zeros(rows, np.int8)))


class EventReader:
    """Bodies of one event type, whatever generation wrote them, as the plan in force has them."""

    def __init__(self, history: History, event: str) -> None:
        """Raises `KeyError` for an event that is not of the plan in force."""
        self._history = history
        self._now = Stored(history.plan, history.plan.event(event))
        self._lifters: dict[int, tuple[pa.Schema, Lifter]] = {}
        self.schema = wire_schema(history.plan, event)
        self.current_from = history.current_from(event)

    def read(self, body: bytes | memoryview, first: int) -> pa.RecordBatch:
        """The batch whose first event has the offset `first`. Raises `UnliftableError`, and
        `pa.ArrowException` for a body that is none."""
        buffer = pa.py_buffer(body)
        if first >= self.current_from:
            return pa.ipc.read_record_batch(buffer, self.schema)
        schema, lift = self._lifter(first)
        return lift(pa.ipc.read_record_batch(buffer, schema))

    def _lifter(self, first: int) -> tuple[pa.Schema, Lifter]:
        generation = self._history.at(first)
        found = self._lifters.get(generation.begin)
        if found is None:
            found = _lifter(generation, self._now)
            self._lifters[generation.begin] = found
        return found


def _lifter(generation: Generation, now: Stored) -> tuple[pa.Schema, Lifter]:
    name = now.event.name
    old = Stored(generation.plan, generation.plan.event(name))
    return wire_schema(generation.plan, name), Lifter(old, now)


class StoredSchemas:
    """The schemas that bodies in the journal have, each made once."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._known: dict[tuple[str, int], tuple[int, pa.Schema]] = {}

    def at(self, event: str, first: int) -> tuple[int, pa.Schema]:
        """The version and the schema of the batch of an event whose first offset is `first`.

        Raises `KeyError` for an event that was not declared then.
        """
        generation = self._history.at(first)
        found = self._known.get((event, generation.begin))
        if found is None:
            plan = generation.plan
            found = plan.event(event).version, wire_schema(plan, event)
            self._known[event, generation.begin] = found
        return found
