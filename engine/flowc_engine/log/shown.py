"""Values of the log as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

_NANOS_PER_S = 1_000_000_000


def to_rows(table: pa.Table) -> list[list[Any]]:
    """The rows as Python values; a column that Python can't hold comes as text."""
    columns = [_column(column) for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _column(column: pa.ChunkedArray) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):  # a year beyond 9999, for example
        values = column.cast(pa.string()).to_pylist()
    return values


def to_text(value: object) -> str:
    """One value for people and for CSV; None is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    plain = to_json_value(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def to_json_value(value: object) -> Any:
    """A value of JSON: times as ISO 8601 in UTC, decimals and durations as text, bytes as hex."""
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    return value


def iso(value: datetime) -> str:
    """A time in UTC, as short as it can be without loss."""
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _interval(value: pa.MonthDayNano) -> str:
    parts = []
    if value.months:
        parts.append(f"{value.months} months")
    if value.days:
        parts.append(f"{value.days} days")
    seconds = Decimal(value.nanoseconds) / _NANOS_PER_S
    if seconds or not parts:
        parts.append(f"{seconds.normalize():f} s")
    return " ".join(parts)


def _float(value: float) -> float | str:
    return value if abs(value) < float("inf") else str(value)  # JSON has no NaN


def _pairs(value: Sequence[Any]) -> Any:
    """Lists, and maps, which Arrow gives as lists of pairs."""
    if value and all(isinstance(item, tuple) for item in value):
        return {to_text(key): to_json_value(item) for key, item in value}
    return [to_json_value(item) for item in value]


_CONVERSIONS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (datetime, iso),
    (date, date.isoformat),
    (Decimal, str),
    (bytes, lambda value: value.hex()),
    (pa.MonthDayNano, _interval),
    (float, _float),
    (dict, lambda value: {key: to_json_value(item) for key, item in value.items()}),
    (list, _pairs),
)
