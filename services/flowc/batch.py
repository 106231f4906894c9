"""`Batch`: events of one type as Arrow columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from flowc.columns import MisfitError, encoder
from flowc_dsl.plan import FieldPlan

if TYPE_CHECKING:
    from flowc.codec import EventCodec
    from flowc.event import Event

CAUSE = "_cause"
OFFSET = "_offset"


class Batch:
    """Events of one type as columns.

    A handler is given its own fields and `_offset`, `_time`, `_cause`, `_root`. One that it emits
    is made with `Batch.of`; a column `_cause` in it has the offset of the input that each event
    follows from (without one, it is the last of the input).
    """

    __slots__ = ("columns", "event")

    def __init__(self, event: type[Event], columns: pa.RecordBatch | Mapping[str, Any]) -> None:
        self.event = event
        self.columns = columns

    @classmethod
    def of(cls, event: type[Event], columns: Any) -> Batch:
        """Events to emit, from an Arrow record batch or table, or a mapping of names to values.

        Values are Arrow arrays, numpy arrays or lists. What does not fit the declaration is
        refused where the batch is emitted.
        """
        if isinstance(columns, pa.Table):
            columns = columns.combine_chunks()
        if isinstance(columns, pa.RecordBatch | pa.Table):
            columns = {name: columns.column(name) for name in columns.schema.names}
        return cls(event, columns)

    @property
    def arrow(self) -> pa.RecordBatch:
        """The columns as a record batch."""
        if isinstance(self.columns, pa.RecordBatch):
            return self.columns
        return pa.RecordBatch.from_pydict(dict(self.columns))

    def __getitem__(self, name: str) -> Any:
        """A column by its name. Raises `KeyError`."""
        if isinstance(self.columns, pa.RecordBatch):
            return self.columns.column(name)
        return self.columns[name]

    def tail(self, skip: int) -> Batch:
        """All but the first `skip` events."""
        if isinstance(self.columns, pa.RecordBatch):
            return Batch(self.event, self.columns.slice(skip))
        return Batch(self.event, {name: values[skip:] for name, values in self.columns.items()})

    def __len__(self) -> int:
        if isinstance(self.columns, pa.RecordBatch):
            return int(self.columns.num_rows)
        return max(map(len, self.columns.values()), default=0)


def batch_columns(codec: EventCodec, batch: Batch) -> tuple[list[pa.Array], pa.Array | None]:
    """The event's own columns in order, and `_cause`, if the batch has it.

    Raises `MisfitError`.
    """
    given = {name: batch[name] for name in _names(batch)}
    cause = given.pop(CAUSE, None)
    fields = codec.declared.fields
    unknown = [n for n in given if n not in {f.name for f in fields} and not n.startswith("_")]
    if unknown:
        raise MisfitError(f"it has no field {unknown[0]}")
    rows = len(batch)
    columns = [_column(codec, f, i, given.get(f.name), rows) for i, f in enumerate(fields)]
    if cause is not None:
        cause = _flat(cause if isinstance(cause, pa.Array | pa.ChunkedArray) else pa.array(cause))
        if len(cause) != rows:
            raise MisfitError(f"{CAUSE} has {len(cause)} values, the batch {rows} rows")
        cause = cause.cast(pa.int64())
    return columns, cause


def _names(batch: Batch) -> list[str]:
    columns = batch.columns
    return list(columns.schema.names if isinstance(columns, pa.RecordBatch) else columns)


def _column(codec: EventCodec, field: FieldPlan, index: int, values: Any, rows: int) -> pa.Array:
    wanted = codec.own_schema.field(index)
    if values is None:
        if not field.type.optional:
            raise MisfitError(f"{field.name} is missing")
        return pa.nulls(rows, wanted.type)
    if isinstance(values, list | tuple):
        try:
            array = encoder(codec.classes, field.type)(list(values))
        except MisfitError as error:
            raise MisfitError(f"{field.name}: {error}") from error
    else:
        array = _cast(field, values, wanted.type)
    if len(array) != rows:
        raise MisfitError(f"{field.name} has {len(array)} values, the batch {rows} rows")
    if array.null_count and not field.type.optional:
        raise MisfitError(f"{field.name} is null in {array.null_count} rows, and is not optional")
    if field.type.kind == "enum":
        _check_members(codec, field, array)
    return array


def _cast(field: FieldPlan, values: Any, wanted: pa.DataType) -> pa.Array:
    try:
        array = _flat(
            values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        )
        return array if array.type == wanted else array.cast(wanted)
    except pa.ArrowException as error:
        text = str(error).partition("\n")[0]
        raise MisfitError(f"{field.name} can't be made {wanted}: {text}") from error


def _flat(values: Any) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _check_members(codec: EventCodec, field: FieldPlan, array: pa.Array) -> None:
    members = codec.classes.plan.enums[field.type.name]
    for text in pc.unique(array).to_pylist():
        if text is not None and text not in members:
            raise MisfitError(f"{field.name} is {field.type.name}, got {text!r}")
