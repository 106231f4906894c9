"""Events that are written out: `A { reason: DECLINED  lines: [{ sku: "A-1" }] }`.

The values are compared with the types of the fields. What they mean is JSON as `flowc emit` takes
it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Final

from flowc_dsl.lower.faults import DuplicateField, UnfitValue
from flowc_dsl.lower.literals import iso_date, literal
from flowc_dsl.lower.work import Work, ref
from flowc_dsl.model import Field, Literal_, Ref, Sample, TypeRef
from flowc_dsl.syntax import tree as t

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_DURATION_PART: Final = re.compile(r"[0-9]+(?:\.([0-9]+))?(us|ms|s|m|h|d)")
_FRACTION_DIGITS_MAX: Final = {
    "us": 0,
    "ms": 3,
    "s": 6,
    "m": 6,
    "h": 6,
    "d": 6,
}  # that are whole µs
_DECIMAL: Final = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?")


def sample(work: Work, tree: t.Tree, node: t.Sample, within_ms: int | None = None) -> Sample:
    """An event with some of its fields."""
    event = ref(tree, node.event)
    if node.value is None:
        return Sample(event, within_ms=within_ms)
    declared = work.events.get(event.name)
    if declared is None:  # reported when names are resolved
        literal(work, tree, node.value)
        return Sample(event, within_ms=within_ms)
    by_name = {field.name: field for field in declared.fields}
    values = _object(work, tree, node.value, by_name, event.name)
    names = tuple(ref(tree, pair.key) for pair in node.value.pairs if pair.key.text in values)
    return Sample(event, values, names, within_ms)


def _object(
    work: Work, tree: t.Tree, node: t.ObjectValue, fields: Mapping[str, Field], owner: str
) -> dict[str, Literal_]:
    """Of an event or a type. Fields may be left out, and no others may be there."""
    found: dict[str, Literal_] = {}
    for name, pair in _pairs(work, tree, node).items():
        if name in fields:
            found[name] = value(work, tree, fields[name].type, pair.value, name)
            continue
        literal(work, tree, pair.value)
        if name:
            work.expect_part(ref(tree, pair.key), "field", fields, owner)
    return found


def _pairs(work: Work, tree: t.Tree, node: t.ObjectValue) -> dict[str, t.Pair]:
    found: dict[str, t.Pair] = {}
    for pair in node.pairs:
        first = found.setdefault(pair.key.text, pair)
        if first is not pair and pair.key.text:
            span, before = tree.span(pair.key), tree.span(first.key)
            work.report(DuplicateField(span, "key", pair.key.text, "an object", before))
    return found


def value(work: Work, tree: t.Tree, type_: TypeRef, node: t.Value, field: str) -> Literal_:
    """What a value means for a field of this type; one that does not fit is reported."""
    if isinstance(node, t.Constant) and node.text == "null" and type_.optional:
        return None
    if type_.name in work.enums:
        return _member(work, tree, type_, node, field)
    if type_.name in work.types and isinstance(node, t.ObjectValue):
        by_name = {found.name: found for found in work.types[type_.name].fields}
        return _object(work, tree, node, by_name, type_.name)
    if type_.name == "list" and type_.args and isinstance(node, t.ListValue):
        return tuple(value(work, tree, type_.args[0], item, field) for item in node.items)
    if type_.name == "map" and len(type_.args) == 2 and isinstance(node, t.ObjectValue):
        return _map(work, tree, type_, node, field)
    fits = _FITS.get(type_.name)
    if fits is not None and fits(type_, node):
        return _scalar(work, tree, type_, node)
    if fits is None and type_.name not in (*work.types, "list", "map"):
        return literal(work, tree, node)  # an unknown type has been reported
    return _unfit(work, tree, type_, node, field)


def _map(
    work: Work, tree: t.Tree, type_: TypeRef, node: t.ObjectValue, field: str
) -> dict[str, Literal_]:
    found: dict[str, Literal_] = {}
    key_type, value_type = type_.args
    for name, pair in _pairs(work, tree, node).items():
        key: t.Value = t.Text(pair.key.start, pair.key.end, name)
        if key_type.name == "int":  # an object's keys are strings
            key = t.Number(pair.key.start, pair.key.end, name)
        if name:
            value(work, tree, key_type, key, field)
        found[name] = value(work, tree, value_type, pair.value, field)
    return found


def _unfit(work: Work, tree: t.Tree, type_: TypeRef, node: t.Value, field: str) -> Literal_:
    faults = len(work.faults)
    found = literal(work, tree, node)
    if len(work.faults) == faults and not work.broken:
        span = tree.span(node)
        text = tree.source.text[span.start : span.end]
        work.report(UnfitValue(span, field, text, type_.text, _EXAMPLES.get(type_.name)))
    return found


def _member(work: Work, tree: t.Tree, type_: TypeRef, node: t.Value, field: str) -> Literal_:
    if not isinstance(node, t.Word | t.Text):
        return _unfit(work, tree, type_, node, field)
    name = Ref(node.text if isinstance(node, t.Word) else node.value, tree.span(node))
    members = [member.name for member in work.enums[type_.name].members]
    work.expect_part(name, "enum member", members, type_.name)
    return name.name


def _scalar(work: Work, tree: t.Tree, type_: TypeRef, node: t.Value) -> Literal_:
    if isinstance(node, t.Date):
        return iso_date(work, tree, node)
    if type_.name == "decimal" and isinstance(node, t.Number):
        return node.text  # exact, as it is written
    return literal(work, tree, node)


# ---- what fits a scalar

Fits = Callable[[TypeRef, t.Value], bool]


def _text_of(node: t.Value) -> str:
    return node.value if isinstance(node, t.Text) else ""


def _fits_decimal(type_: TypeRef, node: t.Value) -> bool:
    text = node.text if isinstance(node, t.Number) else _text_of(node)
    found = _DECIMAL.fullmatch(text)
    if found is None:
        return False
    whole, rest = found[1].lstrip("0"), (found[2] or "").rstrip("0")
    scale = type_.scale or 0
    return len(rest) <= scale and len(whole) <= (type_.precision or 0) - scale


def _fits_timestamp(_: TypeRef, node: t.Value) -> bool:
    from datetime import datetime  # noqa: PLC0415  # lazy: few files have a sample

    try:
        return datetime.fromisoformat(_text_of(node)).tzinfo is not None
    except ValueError:
        return False


def _fits_date(_: TypeRef, node: t.Value) -> bool:
    from datetime import date  # noqa: PLC0415  # as above

    if isinstance(node, t.Date):
        return True
    try:
        date.fromisoformat(_text_of(node))
    except ValueError:
        return False
    return True


def _fits_bytes(_: TypeRef, node: t.Value) -> bool:
    try:
        b64decode(_text_of(node).encode("ascii"), validate=True)
    except ValueError:  # binascii's, and what is not ASCII
        return False
    return isinstance(node, t.Text)


def _fits_string(_: TypeRef, node: t.Value) -> bool:
    try:
        _text_of(node).encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return isinstance(node, t.Text)


def _fits_duration(_: TypeRef, node: t.Value) -> bool:
    """Whole µs, in one or several units: `1.5s`, `"1h30m"`."""
    text = node.text if isinstance(node, t.Duration) else _text_of(node)
    if not re.fullmatch(rf"-?({_DURATION_PART.pattern})+", text):
        return False
    return all(
        len(fraction.rstrip("0")) <= _FRACTION_DIGITS_MAX[unit]
        for fraction, unit in _DURATION_PART.findall(text)
    )


_FITS: Final[dict[str, Fits]] = {
    "string": _fits_string,
    "bool": lambda _, node: isinstance(node, t.Constant) and node.text != "null",
    "int": lambda _, node: isinstance(node, t.Number) and bool(re.fullmatch("-?[0-9]+", node.text)),
    "float": lambda _, node: isinstance(node, t.Number),
    "decimal": _fits_decimal,
    "uuid": lambda _, node: bool(_UUID.fullmatch(_text_of(node))),
    "timestamp": _fits_timestamp,
    "date": _fits_date,
    "duration": _fits_duration,
    "bytes": _fits_bytes,
}
_EXAMPLES: Final = {
    "string": 'a string in quotes, as `"A-1"`',
    "bool": "`true` or `false`",
    "int": "a whole number, as `12`",
    "float": "a number, as `1.5`",
    "decimal": "a number with no more digits than the type has, as `12.50`",
    "uuid": 'a string, as `"8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11"`',
    "timestamp": 'a string with its offset, as `"2026-01-31T12:00:00Z"`',
    "date": "a date, as `2026-01-31`",
    "duration": "a duration, as `1.5s`",
    "bytes": 'a string in base64, as `"aGk="`',
    "list": "a list, as `[…]`",
    "map": "an object, as `{ key: … }`",
}
