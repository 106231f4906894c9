"""JSON values to the columns of an event type, strictly: nothing is guessed, rounded or cut.

In JSON, a `decimal` is a number or a string, a `timestamp` an ISO 8601 string with its offset, a
`date` `YYYY-MM-DD`, a `duration` a string such as `"1.5s"` or `"1h30m"`, `bytes` base64, a `map` an
object, an optional field null or left out.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import math
import re
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from flowc_dsl.plan import FieldPlan, Plan, TypePlan
from flowc_engine.config import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

_INT_MAX: Final = 2**63 - 1
_SHOWN_CHARS_MAX: Final = 60
_UNITS_US: Final = {
    "us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000,
}  # fmt: skip
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")


class CodecError(Exception):
    """A value that does not fit. `path` is where in the event: `lines[0].qty`, or empty."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path, self.message = path, message


def parse_json(text: str) -> Any:
    """JSON with exact numbers. Raises `CodecError`."""

    def refuse(name: str) -> Any:
        raise CodecError("", f"{name} is no JSON number")

    try:
        return json.loads(text, parse_float=Decimal, parse_constant=refuse)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise CodecError(
            "", f"not JSON: {error.msg.lower().removesuffix(' at')} at {place}"
        ) from None
    except RecursionError:
        raise CodecError("", "not JSON that we take: nested too deeply") from None
    except ValueError as error:  # more digits than Python converts
        raise CodecError("", f"not JSON that we take: {error}") from None


def read_event(plan: Plan, event: str, value: Any) -> dict[str, Any]:
    """The event's fields as Python values that Arrow takes. Raises `CodecError`."""
    return _object(plan, plan.event(event).fields, value, "", event)


def read_value(plan: Plan, type_: TypePlan, value: Any) -> Any:
    """A value of a declared type, as Arrow takes it. Raises `CodecError`."""
    return _value(plan, type_, value, "")


def columns(plan: Plan, event: str, rows: list[dict[str, Any]]) -> list[pa.Array]:
    """The event's own columns, in the order of the declaration, of what `read_event` gave."""
    import pyarrow as pa  # noqa: PLC0415 - reading a value does without

    from flowc_engine.schema import event_schema  # noqa: PLC0415 - it imports pyarrow

    schema = event_schema(plan, event)
    return [pa.array([row[f.name] for row in rows], f.type) for f in schema]


def _object(
    plan: Plan, fields: tuple[FieldPlan, ...], value: Any, path: str, what: str
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CodecError(path, f"expected {what} as an object, got {_shown(value)}")
    known = {f.name for f in fields}
    for name in value:
        if name not in known:
            raise CodecError(
                _at(path, name), f"{what} has no such field{did_you_mean(name, known)}"
            )
    found = {}
    for field in fields:
        at = _at(path, field.name)
        if field.name not in value and not field.type.optional:
            raise CodecError(at, f"missing; expected {_type_name(field.type)}")
        found[field.name] = _value(plan, field.type, value.get(field.name), at)
    return found


def _value(plan: Plan, type_: TypePlan, value: Any, path: str) -> Any:
    if value is None and type_.optional:
        return None
    match type_.kind:
        case "struct":
            return _object(plan, plan.structs[type_.name], value, path, type_.name)
        case "list" | "map":
            return _collection(plan, type_, value, path)
        case "enum":
            return _enum(plan, type_, value, path)
        case "decimal":
            return _decimal(type_, value, path)
        case kind:
            return _scalar(kind, type_, value, path)


def _scalar(kind: str, type_: TypePlan, value: Any, path: str) -> Any:
    if value is None:
        raise CodecError(path, f"expected {_type_name(type_)}, got null; it is not optional")
    try:
        return _READERS[kind](value)
    except (ValueError, OverflowError, TypeError):
        raise _wrong(type_, value, path) from None


def _collection(plan: Plan, type_: TypePlan, value: Any, path: str) -> list[Any]:
    if type_.kind == "map" and isinstance(value, dict):
        return _map(plan, type_, value, path)
    if type_.kind == "map" or not isinstance(value, list):
        raise _wrong(type_, value, path)
    return [_value(plan, type_.args[0], v, f"{path}[{i}]") for i, v in enumerate(value)]


def _map(plan: Plan, type_: TypePlan, value: dict[str, Any], path: str) -> list[tuple[Any, Any]]:
    key_type, value_type = type_.args
    found = []
    for name, inner in value.items():
        at = f"{path}[{json.dumps(name)}]"
        key: Any = name
        if key_type.kind in ("int", "float", "bool"):
            key = parse_json(name)  # keys of objects are strings
        found.append((_value(plan, key_type, key, at), _value(plan, value_type, inner, at)))
    return found


def _enum(plan: Plan, type_: TypePlan, value: Any, path: str) -> str:
    members = plan.enums[type_.name]
    if isinstance(value, str) and value in members:
        return value
    hint = did_you_mean(value, members) if isinstance(value, str) else ""
    raise CodecError(path, f"expected a {type_.name}, got {_shown(value)}{hint}")


def _decimal(type_: TypePlan, value: Any, path: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise _wrong(type_, value, path)
    try:
        number = Decimal(value)
        scaled = number.scaleb(type_.scale)
        if scaled != scaled.to_integral_value() or abs(scaled) >= 10**type_.precision:
            raise _wrong(type_, value, path)
    except (InvalidOperation, OverflowError, ValueError):
        raise _wrong(type_, value, path) from None
    return number.quantize(Decimal(1).scaleb(-type_.scale))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode("utf-8")  # lone surrogates are no text
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _int(value: Any) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not -_INT_MAX - 1 <= value <= _INT_MAX
    ):
        raise TypeError
    return value


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise OverflowError
    return number


def _timestamp(value: Any) -> dt.datetime:
    moment = dt.datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(dt.UTC)


def _duration(value: Any) -> dt.timedelta:
    text = _text(value)
    if not re.fullmatch(rf"-?({_DURATION_PART.pattern})+", text):
        raise ValueError
    parts = _DURATION_PART.findall(text)
    total_us = sum((Decimal(number) * _UNITS_US[unit] for number, unit in parts), Decimal(0))
    if total_us != int(total_us):
        raise ValueError
    return dt.timedelta(microseconds=int(total_us)) * (-1 if text.startswith("-") else 1)


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as error:
        raise ValueError from error


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "string": _text,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "uuid": lambda value: str(uuid.UUID(_text(value))),
    "timestamp": _timestamp,
    "date": lambda value: dt.date.fromisoformat(_text(value)),
    "duration": _duration,
    "bytes": _bytes,
}
_EXAMPLES: Final = {
    "int": "a whole number of 64 bits",
    "timestamp": 'a string like "2026-01-31T12:00:00Z"',
    "date": 'a string like "2026-01-31"',
    "duration": 'a string like "1.5s"',
    "bytes": "a string in base64",
    "uuid": "a string of 32 hex digits",
}


def _wrong(type_: TypePlan, value: Any, path: str) -> CodecError:
    example = f" ({_EXAMPLES[type_.kind]})" if type_.kind in _EXAMPLES else ""
    return CodecError(path, f"expected {_type_name(type_)}{example}, got {_shown(value)}")


def _type_name(type_: TypePlan) -> str:
    if type_.kind == "decimal":
        return f"decimal({type_.precision},{type_.scale})"
    if type_.args:
        return f"{type_.kind}<{', '.join(map(_type_name, type_.args))}>"
    return type_.name or type_.kind


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "…"


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
