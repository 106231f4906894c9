"""Which partition an event belongs to: XXH3-64 over its key's canonical text as UTF-8, modulo
`Plan.partitions`. This is the one place that knows; changing it would move keys.

Canonical text by the key's type: `string`, `enum` the text; `uuid` 36 lower-case characters;
`int` decimal; `bool` "true" or "false"; `decimal(p,s)` with exactly `s` digits behind the point;
`date` ISO; `timestamp`, `duration` µs (from 1970 in UTC) in decimal; `float` the shortest text
that reads back; `bytes` lower-case hex. A null key is the empty text. Events of a type without a
key go round robin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import xxhash

from flowc_dsl.plan import Plan

Partition = Callable[[pa.Array], pa.Array]
"""From the key's column, as it is on the wire, to partitions (int32)."""

_TEXT_IS_VALUE: Final = ("string", "enum", "uuid")
_AS_MICROSECONDS: Final = ("timestamp", "duration")
_FEW_ROWS: Final = 8  # a lone event's way is short; numpy and Arrow's functions pay from about here
_KEY_KINDS: Final = (
    *_TEXT_IS_VALUE, *_AS_MICROSECONDS, "int", "bool", "decimal", "date", "float", "bytes",
)  # fmt: skip


class KeyTypeError(Exception):
    """An event's key has a type without a canonical text (a list, a map, a struct)."""


def key_index(plan: Plan, event: str) -> int | None:
    """The place of the key among the event's fields, or None for an event without a key.

    Raises `KeyTypeError`.
    """
    declared = plan.event(event)
    if declared.key is None:
        return None
    for index, field in enumerate(declared.fields):
        if field.name == declared.key:
            if field.type.kind not in _KEY_KINDS:
                raise KeyTypeError(f"the key {declared.key} of {event} is a {field.type.kind}")
            return index
    raise KeyTypeError(f"the key {declared.key} of {event} is no field of it")


def partition_of(text: str, partitions: int) -> int:
    """The partition of a canonical text."""
    return xxhash.xxh3_64_intdigest(text.encode()) % partitions


def partitioner(plan: Plan, event: str) -> Partition | None:
    """The function for an event type, or None for one without a key. Raises `KeyTypeError`."""
    index = key_index(plan, event)
    if index is None:
        return None
    kind = plan.event(event).fields[index].type.kind
    count, partitions = plan.partitions, np.uint64(plan.partitions)
    digest = xxhash.xxh3_64_intdigest

    def partition(column: pa.Array) -> pa.Array:
        if len(column) <= _FEW_ROWS:
            return pa.array([digest(text) % count for text in _texts(kind, column)], pa.int32())
        hashes = np.fromiter(map(digest, _texts(kind, column)), np.uint64, len(column))
        return pa.array((hashes % partitions).astype(np.int32))

    return partition


def _texts(kind: str, column: pa.Array) -> Iterable[bytes]:
    if kind in _TEXT_IS_VALUE:
        if len(column) <= _FEW_ROWS:
            return [(text or "").encode() for text in column.to_pylist()]
        texts = column.cast(pa.binary())
        return (texts.fill_null(b"") if texts.null_count else texts).to_pylist()  # type: ignore[no-any-return]
    if kind in _AS_MICROSECONDS:
        column = column.cast(pa.int64())
    if kind in {"int", "bool", "date", *_AS_MICROSECONDS}:
        return column.cast(pa.string()).fill_null("").cast(pa.binary()).to_pylist()  # type: ignore[no-any-return]
    write = _WRITERS[kind]
    return (b"" if v is None else write(v).encode() for v in column.to_pylist())


def _decimal_text(value: object) -> str:
    return format(value, "f")


_WRITERS: Final[dict[str, Callable[[Any], str]]] = {
    "decimal": _decimal_text,
    "float": repr,
    "bytes": bytes.hex,
}
