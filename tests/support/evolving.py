"""Declarations that evolve, with rows, and a reference that lifts row by row in plain Python."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa

from flowc_dsl.plan import EventPlan, FieldPlan, Plan, TypePlan, UpcastPlan
from flowc_engine.schema import wire_schema

TIME = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
KEY = FieldPlan("k", TypePlan("string"))
OLD_STRUCTS = {"Line": (FieldPlan("sku", TypePlan("string")), FieldPlan("qty", TypePlan("int")))}
NEW_STRUCTS = {
    "Line": (
        FieldPlan("note", TypePlan("string", optional=True)),
        FieldPlan("qty", TypePlan("float", optional=True)),
        FieldPlan("sku", TypePlan("string")),
    )
}
OLD_ENUMS, NEW_ENUMS = {"Color": ("RED", "BLUE")}, {"Color": ("BLUE", "GREEN", "RED")}
TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
INT = st.integers(-(2**63), 2**63 - 1)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(TEXT, max_size=4),
    "bool": st.booleans(),
    "int": INT,
    "float": st.floats(allow_nan=False),
    "decimal": st.decimals("-99999.99", "99999.99", places=2),
    "uuid": st.uuids().map(str),
    "timestamp": st.integers(-(10**15), 10**15).map(lambda n: TIME + n * dt.timedelta.resolution),
    "date": st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
    "duration": st.timedeltas(dt.timedelta(days=-1000), dt.timedelta(days=1000)),
    "bytes": st.binary(max_size=4),
    "enum": st.sampled_from(OLD_ENUMS["Color"]),
    "struct": st.fixed_dictionaries({"sku": st.text("ab", max_size=2), "qty": INT}),
}  # fmt: skip
CONSTANTS = {
    "string": '"gr\\u00fc\'\\"x"', "bool": "true", "int": "-7", "float": "0.5", "decimal": "1.25",
    "uuid": '"8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11"', "timestamp": '"2026-03-01T12:00:00.5+02:00"',
    "date": '"2026-03-01"', "duration": '"1m30s"', "bytes": '"AP8="', "enum": '"GREEN"',
    "struct": '{"sku": "A", "qty": 2.5, "note": null}', "list": "[]", "map": "{}",
}  # fmt: skip
CONSTANT_VALUES = {
    "string": "grü'\"x", "bool": True, "int": -7, "float": 0.5, "decimal": Decimal("1.25"),
    "uuid": "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11",
    "timestamp": dt.datetime(2026, 3, 1, 10, 0, 0, 500_000, tzinfo=dt.UTC),
    "date": dt.date(2026, 3, 1), "duration": dt.timedelta(seconds=90), "bytes": b"\x00\xff",
    "enum": "GREEN", "struct": {"note": None, "qty": 2.5, "sku": "A"}, "list": [], "map": [],
}  # fmt: skip


def scalar(kind: str, *, optional: bool = False, digits: tuple[int, int] = (7, 2)) -> TypePlan:
    """A type of SCALARS."""
    name = {"enum": "Color", "struct": "Line"}.get(kind, "")
    precision, scale = digits if kind == "decimal" else (0, 0)
    return TypePlan(kind, optional, name, precision, scale)


@st.composite
def types(draw: st.DrawFn, *, nested: bool = True) -> TypePlan:
    """A type as it was."""
    kinds = [*SCALARS, "list", "map"] if nested else [*SCALARS]
    kind = draw(st.sampled_from(kinds))
    if kind == "list":
        return TypePlan("list", draw(st.booleans()), args=(draw(types(nested=False)),))
    if kind == "map":
        args = (TypePlan("string"), draw(types(nested=False)))
        return TypePlan("map", draw(st.booleans()), args=args)
    return scalar(kind, optional=draw(st.booleans()))


def values(type_: TypePlan) -> st.SearchStrategy[Any]:
    """Values of a type as it was."""
    if type_.kind == "list":
        found: st.SearchStrategy[Any] = st.lists(values(type_.args[0]), max_size=3)
    elif type_.kind == "map":
        pairs = st.dictionaries(st.text("abc", max_size=2), values(type_.args[1]), max_size=3)
        found = pairs.map(lambda d: list(d.items()))
    else:
        found = SCALARS[type_.kind]
    return st.none() | found if type_.optional else found


@st.composite
def widened(draw: st.DrawFn, type_: TypePlan) -> TypePlan:
    """A type that takes all values of another."""
    optional = type_.optional or draw(st.booleans())
    args = type_.args
    if args:
        args = (*args[:-1], draw(widened(args[-1])))
        return TypePlan(type_.kind, optional, args=args)
    kind, digits = type_.kind, (7, 2)
    if kind == "int" and draw(st.booleans()):
        kind = "float"
    if kind == "decimal":
        digits = draw(st.sampled_from([(7, 2), (9, 2), (12, 4)]))
    return scalar(kind, optional=optional, digits=digits)


@dataclass
class Evolution:
    """Rows of `old`, and what they are in `new`."""

    old: Plan
    new: Plan
    rows: list[dict[str, Any]]
    lifted: list[dict[str, Any]] = field(default_factory=list)


@st.composite
def evolutions(draw: st.DrawFn, *, rows_max: int = 6) -> Evolution:
    """From version 1 to 2 or 3: fields are kept, widened, renamed, set, dropped and added."""
    last = draw(st.integers(2, 3))
    before = [FieldPlan(f"f{i}", draw(types())) for i in range(draw(st.integers(1, 5)))]
    rows = draw(
        st.lists(st.fixed_dictionaries({f.name: values(f.type) for f in before}), max_size=rows_max)
    )
    bag: dict[str, tuple[str, TypePlan]] = {f.name: (f.name, f.type) for f in before}
    constants: dict[str, str] = {}
    upcasts = []
    for version in range(1, last):
        sets: list[tuple[str, str]] = []
        moved = draw(st.lists(st.sampled_from([*bag]), max_size=2, unique=True))
        renames = [(name, f"r{version}_{name}") for name in moved]
        for old, new in renames:
            bag[new] = bag.pop(old)
            if old in constants:
                constants[new] = constants.pop(old)
        for index in range(draw(st.integers(0, 2))):
            kind = draw(st.sampled_from([*CONSTANTS]))
            sets.append((f"c{version}_{index}", CONSTANTS[kind]))
            constants[f"c{version}_{index}"] = kind
        upcasts.append(UpcastPlan(version, tuple(sets), tuple(renames)))
    stay = [name for name in bag if draw(st.integers(0, 4))]
    after = [FieldPlan(name, draw(widened(bag[name][1]))) for name in stay]
    after += [FieldPlan(name, _constant_type(kind)) for name, kind in constants.items()]
    added = draw(st.lists(types(), max_size=2))
    after += [FieldPlan(f"n{i}", replace(type_, optional=True)) for i, type_ in enumerate(added)]
    after = draw(st.permutations(after))
    plans = (
        Plan("S", (_event(1, before, ()),), (), OLD_STRUCTS, OLD_ENUMS),
        Plan("S", (_event(last, after, tuple(upcasts)),), (), NEW_STRUCTS, NEW_ENUMS),
    )
    keyed = [{"k": f"k{i}", **row} for i, row in enumerate(rows)]
    lifted = [_lift_row(row, bag, constants, after) for row in keyed]
    return Evolution(*plans, keyed, lifted)


def _constant_type(kind: str) -> TypePlan:
    inner = (TypePlan("int"),)
    args = inner if kind == "list" else (TypePlan("string"), *inner) if kind == "map" else ()
    return TypePlan(kind, args=args) if args else scalar(kind)


def _event(version: int, fields: list[FieldPlan], upcasts: tuple[UpcastPlan, ...]) -> EventPlan:
    return EventPlan("E", "event", version, "k", (KEY, *fields), True, False, None, "", upcasts)


def _lift_row(
    row: dict[str, Any],
    bag: dict[str, tuple[str, TypePlan]],
    constants: dict[str, str],
    after: list[FieldPlan],
) -> dict[str, Any]:
    lifted = {"k": row["k"]}
    for declared in after:
        if declared.name in constants:
            lifted[declared.name] = CONSTANT_VALUES[constants[declared.name]]
        elif declared.name in bag:
            lifted[declared.name] = _widen(row[bag[declared.name][0]], declared.type)
        else:
            lifted[declared.name] = None
    return lifted


def _widen(value: Any, type_: TypePlan) -> Any:
    if value is None:
        return None
    match type_.kind:
        case "float":
            return float(value)
        case "list":
            return [_widen(item, type_.args[0]) for item in value]
        case "map":
            return [(key, _widen(item, type_.args[1])) for key, item in value]
        case "struct":
            return {f.name: _widen(value.get(f.name), f.type) for f in NEW_STRUCTS["Line"]}
        case _:
            return value


def batch(plan: Plan, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Rows of the plan's event as they travel."""
    envelope = {"_time": TIME, "_cause": None, "_root": None, "_partition": 3}
    schema = wire_schema(plan, "E")
    columns = [pa.array([(envelope | row)[f.name] for row in rows], f.type) for f in schema]
    return pa.record_batch(columns, schema=schema)


def own(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without their envelope."""
    return [{n: v for n, v in row.items() if not n.startswith("_")} for row in rows]
