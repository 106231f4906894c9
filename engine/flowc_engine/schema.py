"""Arrow schemas of event types, derived from the plan: what a body on the wire and in the
journal holds."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from flowc_dsl.plan import FieldPlan, Plan, TypePlan

ENVELOPE = ("_time", "_cause", "_root", "_partition")
"""Columns behind the event's own. `_time`: when it was emitted. `_cause`: the offset of the
event whose handler emitted it, null from a source. `_root`: the offset at the start of its
causation chain, null from a source (it is its own root). `_partition`: the stable hash of its
key, below `Plan.partitions`."""

_ENVELOPE_FIELDS = (
    pa.field("_time", pa.timestamp("us", tz="UTC"), nullable=False),
    pa.field("_cause", pa.int64()),
    pa.field("_root", pa.int64()),
    pa.field("_partition", pa.int32(), nullable=False),
)

_SCALARS = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "uuid": pa.string(),  # canonical text; a UUID in Python and in DuckDB
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "duration": pa.duration("us"),
    "bytes": pa.binary(),
    "enum": pa.string(),
}


def arrow_type(plan: Plan, type_plan: TypePlan) -> pa.DataType:
    """The Arrow type of a declared type."""
    kind = type_plan.kind
    if kind == "decimal":
        return pa.decimal128(type_plan.precision, type_plan.scale)
    if kind == "list":
        return pa.list_(_field(plan, "item", type_plan.args[0]))
    if kind == "map":
        return pa.map_(
            arrow_type(plan, type_plan.args[0]), _field(plan, "value", type_plan.args[1])
        )
    if kind == "struct":
        return pa.struct([arrow_field(plan, f) for f in plan.structs[type_plan.name]])
    return _SCALARS[kind]


def _field(plan: Plan, name: str, type_plan: TypePlan) -> pa.Field:
    return pa.field(name, arrow_type(plan, type_plan), nullable=type_plan.optional)


def arrow_field(plan: Plan, field: FieldPlan) -> pa.Field:
    """The Arrow field of a declared field; optional ones are nullable."""
    return _field(plan, field.name, field.type)


def event_schema(plan: Plan, event: str) -> pa.Schema:
    """The event's own fields, in the order of the declaration.

    Raises `KeyError` for an unknown event.
    """
    return pa.schema([arrow_field(plan, f) for f in plan.event(event).fields])


def wire_schema(plan: Plan, event: str) -> pa.Schema:
    """The schema of a body: the event's fields and then the envelope."""
    schema = event_schema(plan, event)
    for field in _ENVELOPE_FIELDS:
        schema = schema.append(field)
    return schema


class WireSchemas:
    """The wire schemas of a plan, each made once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.get = lru_cache(maxsize=None)(lambda event: wire_schema(plan, event))
