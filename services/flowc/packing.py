"""Events of several types as the bodies of one message, in one order.

Types that alternate would make batches of one event. So the events of a type are put together, and
the message says where each of them stands (`wire.Batch.places`), unless they follow each other
anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from flowc.codec import size_limit_text
from flowc_engine import limits
from flowc_engine.bus import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowc.codec import EventCodec


class Bodies(NamedTuple):
    """The part of a message that was emitted."""

    batches: list[wire.Batch]
    bodies: list[memoryview]
    size: int


class UnfitError(Exception):
    """An emitted event can't be sent. `cause` is the offset of the event whose handler emitted
    it."""

    def __init__(self, cause: int, event: str, why: str) -> None:
        super().__init__(why)
        self.cause, self.event = cause, event


@dataclass(slots=True)
class EmittedBatch:
    """Events of one type as columns."""

    event: str
    columns: list[pa.Array]
    causes: pa.Array
    roots: pa.Array
    lasting: bool = False
    """Whether it does not depend on how the handlers of its cause fare."""

    def part(self, begin: int, end: int) -> EmittedBatch:
        """Rows `begin` to `end` (exclusive)."""
        size = end - begin
        columns = [c.slice(begin, size) for c in self.columns]
        causes, roots = self.causes.slice(begin, size), self.roots.slice(begin, size)
        return EmittedBatch(self.event, columns, causes, roots, self.lasting)


class Packer:
    """Collects the bodies of one message."""

    def __init__(self, time_us: int) -> None:
        self._time_us = time_us
        self._batches: list[wire.Batch] = []
        self._bodies: list[memoryview] = []
        self._places: list[Sequence[int]] = []

    def add(self, codec: EventCodec, batch: EmittedBatch, places: Sequence[int] | range) -> None:
        """Add events of one type; `places` says where each stands in the message, ascending.

        A batch that is too large for one body becomes several. Raises `UnfitError`.
        """
        rows = len(batch.causes)
        body = codec.body(batch.columns, rows, self._time_us, batch.causes, batch.roots)
        if len(body) <= limits.DELIVER_BYTES_MAX and rows <= limits.BATCH_ROWS_MAX:
            self._batches.append(wire.Batch(codec.name, rows))
            self._bodies.append(body)
            self._places.append(places)
        elif rows > 1:
            middle = rows // 2
            self.add(codec, batch.part(0, middle), places[:middle])
            self.add(codec, batch.part(middle, rows), places[middle:])
        else:
            why = size_limit_text(codec.name, len(body))
            raise UnfitError(batch.causes[0].as_py() or 0, codec.name, why)

    def bodies(self) -> Bodies:
        """All of them. The places together must be 0, 1, 2, … in some order."""
        batches = self._batches
        if len(batches) > 1:
            each = [np.asarray(places, "<u4") for places in self._places]
            order = np.concatenate(each)
            if not np.array_equal(order, np.arange(len(order))):
                batches = [
                    wire.Batch(b.event, b.rows, places.tobytes())
                    for b, places in zip(batches, each, strict=True)
                ]
        return Bodies(batches, self._bodies, sum(map(len, self._bodies)))


def by_type(events: Sequence[Any]) -> dict[type, Sequence[int]]:
    """Where the events of each class stand."""
    kinds = set(map(type, events))
    if len(kinds) == 1:
        return {kinds.pop(): range(len(events))}
    found: dict[type, list[int]] = {}
    for index, kind in enumerate(map(type, events)):
        found.setdefault(kind, []).append(index)
    return dict(found)
