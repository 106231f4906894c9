"""What handlers emitted since the last step, and how it becomes bodies.

Order: events with the same key stay in the order in which they were emitted, whatever their
types. Otherwise events of one type are put together, so that a step has few bodies.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple

import pyarrow as pa

from flowc.codec import Codecs, EventCodec, as_int64, misfit_row, now_us, size_limit_text
from flowc.columns import MisfitError
from flowc_engine import limits
from flowc_engine.bus import wire

STEP_BYTES_MAX = limits.FRAME_BYTES_MAX // 2
"""Of what one step emits."""


class Bodies(NamedTuple):
    """The part of a step that was emitted."""

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
class Emitted:
    """Events as objects, in the order in which they were emitted; and the offsets of their causes
    and roots."""

    events: list[Any] = field(default_factory=list)
    names: dict[type, str] = field(default_factory=dict)
    causes: list[int] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)


@dataclass(slots=True)
class EmittedBatch:
    """Events of one type as columns."""

    event: str
    columns: list[pa.Array]
    causes: pa.Array
    roots: pa.Array

    def part(self, begin: int, end: int) -> EmittedBatch:
        """Rows `begin` to `end` (exclusive)."""
        size = end - begin
        columns = [c.slice(begin, size) for c in self.columns]
        return EmittedBatch(
            self.event, columns, self.causes.slice(begin, size), self.roots.slice(begin, size)
        )


class Outbox:
    """Collects; `bodies` is called once for each step."""

    def __init__(self, codecs: Codecs) -> None:
        self._codecs = codecs
        self._parts: list[Emitted | EmittedBatch] = []
        self.count = 0

    def add(
        self, events: list[Any], names: dict[type, str], causes: list[int], roots: list[int]
    ) -> None:
        """Events as objects. `names` has the events that their classes stand for."""
        last = self._parts[-1] if self._parts else None
        if not isinstance(last, Emitted):
            last = Emitted()
            self._parts.append(last)
        last.events += events
        last.causes += causes
        last.roots += roots
        last.names.update(names)
        self.count += len(events)

    def add_batch(self, batch: EmittedBatch) -> None:
        """Events as columns."""
        if len(batch.causes):
            self._parts.append(batch)
            self.count += len(batch.causes)

    def add_all(self, other: Outbox) -> None:
        """All that another one has collected, behind what is here."""
        for part in other._parts:
            self._add(part)

    def drop(self, cause: int) -> None:
        """Take out what the handlers of this event emitted."""
        parts, self._parts, self.count = self._parts, [], 0
        for part in parts:
            self._add(_where(part, [c != cause for c in _causes(part)]))

    def _add(self, part: Emitted | EmittedBatch) -> None:
        if isinstance(part, EmittedBatch):
            self.add_batch(part)
        else:
            self.add(part.events, part.names, part.causes, part.roots)

    def bodies(self) -> Bodies:
        """All that was emitted, each body of at most `DELIVER_BYTES_MAX`.

        Raises `UnfitError`; then `drop` its cause and try again.
        """
        time_us = now_us()
        found = Bodies([], [], 0)
        for part in self._parts:
            if isinstance(part, EmittedBatch):
                _pack(self._codecs[part.event], part, time_us, found)
                continue
            for name, chosen in _by_type(part, self._codecs):
                _pack(self._codecs[name], self._columns(name, chosen), time_us, found)
        return found._replace(size=sum(map(len, found.bodies)))

    def split(self, through: int) -> Outbox:
        """Keep what follows from offsets up to `through`; the rest comes back."""
        rest = Outbox(self._codecs)
        parts, self._parts, self.count = self._parts, [], 0
        for part in parts:
            for target, chosen in ((self, True), (rest, False)):
                target._add(_where(part, [(c <= through) == chosen for c in _causes(part)]))
        return rest

    def causes(self) -> list[int]:
        """The offsets that something follows from, ascending, each once."""
        return sorted({c for part in self._parts for c in _causes(part)})

    def _columns(self, name: str, emitted: Emitted) -> EmittedBatch:
        codec = self._codecs[name]
        try:
            columns = codec.columns(emitted.events)
        except MisfitError:
            row, why = misfit_row(codec, emitted.events)
            raise UnfitError(emitted.causes[row], name, f"{name}.{why}") from None
        return EmittedBatch(name, columns, as_int64(emitted.causes), as_int64(emitted.roots))


def _causes(part: Emitted | EmittedBatch) -> list[int]:
    return part.causes if isinstance(part, Emitted) else part.causes.to_pylist()


def _where(part: Emitted | EmittedBatch, chosen: list[bool]) -> Emitted | EmittedBatch:
    if isinstance(part, EmittedBatch):
        mask = pa.array(chosen, pa.bool_())
        columns = [c.filter(mask) for c in part.columns]
        return EmittedBatch(part.event, columns, part.causes.filter(mask), part.roots.filter(mask))
    return Emitted(
        list(compress(part.events, chosen)), part.names,
        list(compress(part.causes, chosen)), list(compress(part.roots, chosen)),
    )  # fmt: skip


def _by_type(emitted: Emitted, codecs: Codecs) -> Iterator[tuple[str, Emitted]]:
    """Put together what may be, see the module's docstring."""
    kinds = {emitted.names[cls] for cls in set(map(type, emitted.events))}
    if len(kinds) < 2:
        yield from ((kind, emitted) for kind in kinds)
        return
    groups: list[tuple[str, Emitted]] = []
    latest: dict[str, int] = {}  # the last group of a type
    at_least: dict[Any, int] = {}  # the group that the last event of a key went to
    key_of = {kind: codecs[kind].key for kind in kinds}
    for event, cause, root in zip(emitted.events, emitted.causes, emitted.roots, strict=True):
        name = emitted.names[type(event)]
        key = None if key_of[name] is None else getattr(event, str(key_of[name]))
        index = latest.get(name, -1)
        if index < 0 or (key is not None and at_least.get(key, 0) > index):
            index = latest[name] = len(groups)
            groups.append((name, Emitted()))
        if key is not None:
            at_least[key] = index
        group = groups[index][1]
        group.events.append(event)
        group.causes.append(cause)
        group.roots.append(root)
    yield from groups


def pack(codec: EventCodec, batch: EmittedBatch, time_us: int) -> Bodies:
    """A batch as one body, or as several where it is too large. Raises `UnfitError`."""
    found = Bodies([], [], 0)
    _pack(codec, batch, time_us, found)
    return found


def _pack(codec: EventCodec, batch: EmittedBatch, time_us: int, found: Bodies) -> None:
    """Append as one body, or as several where it is too large."""
    rows = len(batch.causes)
    body = codec.body(batch.columns, rows, time_us, batch.causes, batch.roots)
    if len(body) <= limits.DELIVER_BYTES_MAX and rows <= limits.BATCH_ROWS_MAX:
        found.batches.append(wire.Batch(codec.name, rows))
        found.bodies.append(body)
    elif rows > 1:
        _pack(codec, batch.part(0, rows // 2), time_us, found)
        _pack(codec, batch.part(rows // 2, rows), time_us, found)
    else:
        why = size_limit_text(codec.name, len(body))
        raise UnfitError(batch.causes[0].as_py() or 0, codec.name, why)


def roots_of(causes: pa.Array, offsets: list[int], roots: list[int]) -> pa.Array | None:
    """The roots of events with these causes; None if one is not among `offsets` (ascending)."""
    found = []
    for cause in causes.to_pylist():
        at = bisect_left(offsets, cause) if cause is not None else len(offsets)
        if at == len(offsets) or offsets[at] != cause:
            return None
        found.append(roots[at])
    return as_int64(found)


def too_large(codec: EventCodec, batch: EmittedBatch) -> str | None:
    """Why a batch can't be part of a step: an event of it, or all of it, is too large."""
    size = sum(column.nbytes for column in batch.columns)
    if size <= limits.EVENT_BYTES_MAX:
        return None
    if size > STEP_BYTES_MAX:
        return f"{size} bytes of {codec.name} at once, a step has at most {STEP_BYTES_MAX}"
    try:
        pack(codec, batch, 0)
    except UnfitError as error:
        return str(error)
    return None
