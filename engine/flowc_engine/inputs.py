"""All that a check reads, in one place: what is judged, and what a cached report is the answer to.

A rule that needs more than this (source code, a log) gets it as a field here. `parts` covers every
field by itself, so none can be missing from the cache's key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date

from flowc_dsl.record import Record
from flowc_dsl.thresholds import DEFAULTS, Thresholds


@dataclass(frozen=True, slots=True)
class Inputs:
    """`files` by path from the root; `today` decides what has expired."""

    files: Mapping[str, str | bytes]
    main: str
    today: date
    thresholds: Thresholds = DEFAULTS

    def parts(self) -> Iterator[bytes]:
        """What tells these inputs from any others, if each part is told from the next."""
        for field in fields(self):
            yield from _parts(getattr(self, field.name))


def _parts(value: object) -> Iterator[bytes]:
    match value:
        case Mapping():
            yield str(len(value)).encode()
            for name in sorted(value):
                yield name.encode("utf-8", "surrogateescape")
                yield from _parts(value[name])
        case Record():
            for name in value.__match_args__:
                yield from _parts(getattr(value, name))
        case bytes():
            yield value
        case str() | int() | float() | date() | None:
            yield repr(value).encode("utf-8", "backslashreplace")
        case _:
            raise TypeError(f"no key of a {type(value).__name__}")
