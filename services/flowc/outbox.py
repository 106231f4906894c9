"""What handlers emitted since the last step, and how it becomes bodies. Events keep the order in
which they were emitted, whatever their types."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import pyarrow as pa

from flowc.codec import Codecs, EventCodec, as_int64, misfit_row
from flowc.columns import MisfitError
from flowc.packing import Bodies, EmittedBatch, Packer, UnfitError, by_type
from flowc_engine import limits

STEP_BYTES_MAX = limits.FRAME_BYTES_MAX // 2
"""Of what one step emits."""
_FEW = 32
""" Events whose envelopes don't count."""


@dataclass(slots=True)
class Emitted:
    """Events as objects, in the order in which they were emitted; and the offsets of their causes
    and roots."""

    events: list[Any] = field(default_factory=list)
    names: dict[type, str] = field(default_factory=dict)
    causes: list[int] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)


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
            self.add_part(part)

    def drop(self, cause: int) -> None:
        """Take out what the handlers of this event emitted."""
        parts, self._parts, self.count = self._parts, [], 0
        for part in parts:
            lasting = isinstance(part, EmittedBatch) and part.lasting
            self.add_part(_where(part, [lasting or c != cause for c in _causes(part)]))

    def add_part(self, part: Emitted | EmittedBatch) -> None:
        """What an outbox has collected."""
        if isinstance(part, EmittedBatch):
            self.add_batch(part)
        else:
            self.add(part.events, part.names, part.causes, part.roots)

    def bodies(self, time_us: int) -> Bodies:
        """All that was emitted, each body of at most `DELIVER_BYTES_MAX`. `time_us` is when.

        Raises `UnfitError`; then `drop` its cause and try again.
        """
        packer = Packer(time_us)
        at = 0
        for part in self._parts:
            rows = len(part.causes)
            if isinstance(part, EmittedBatch):
                packer.add(self._codecs[part.event], part, range(at, at + rows))
            else:
                self._pack(packer, part, at)
            at += rows
        return packer.bodies()

    def _pack(self, packer: Packer, emitted: Emitted, at: int) -> None:
        """Add events to a message in which `at` events come before them."""
        kinds = by_type(emitted.events)
        for cls, own in kinds.items():
            codec = self._codecs[emitted.names[cls]]
            if len(kinds) == 1:
                packer.add(codec, self._columns(codec, emitted), range(at, at + len(own)))
            else:
                chosen = Emitted(
                    [emitted.events[i] for i in own], emitted.names,
                    [emitted.causes[i] for i in own], [emitted.roots[i] for i in own],
                )  # fmt: skip
                packer.add(codec, self._columns(codec, chosen), [at + i for i in own])

    def unfit(self, bytes_max: int) -> str | None:
        """Why this can't be sent, if it can't: an event does not fit, is too large, or all
        together is. To be asked of what one event's handlers emitted."""
        size = 0
        try:
            for part in self._parts:
                for batch in self._columnar(part):
                    size += sum(column.nbytes for column in batch.columns)
            if size > min(limits.EVENT_BYTES_MAX, bytes_max) // 2 or self.count > _FEW:
                out = self.bodies(0)
                size = out.size
                if len(out.batches) > limits.BATCHES_PER_MESSAGE_MAX:
                    return f"{self.count} events in {len(out.batches)} batches for one event"
        except UnfitError as error:
            return str(error)
        if size > bytes_max:
            return f"{self.count} events of {size} bytes for one event, it may be {bytes_max}"
        return None

    def _columnar(self, part: Emitted | EmittedBatch) -> list[EmittedBatch]:
        if isinstance(part, EmittedBatch):
            return [part]
        found = []
        for cls, own in by_type(part.events).items():
            chosen = Emitted([part.events[i] for i in own], part.names, [0] * len(own))
            chosen.roots = chosen.causes
            found.append(self._columns(self._codecs[part.names[cls]], chosen))
        return found

    def split(self, through: int) -> Outbox:
        """Keep what follows from offsets up to `through`; the rest comes back."""
        rest = Outbox(self._codecs)
        parts, self._parts, self.count = self._parts, [], 0
        for part in parts:
            for target, chosen in ((self, True), (rest, False)):
                target.add_part(_where(part, [(c <= through) == chosen for c in _causes(part)]))
        return rest

    def causes(self) -> list[int]:
        """The offsets that something follows from, ascending, each once."""
        return sorted({c for part in self._parts for c in _causes(part)})

    def _columns(self, codec: EventCodec, emitted: Emitted) -> EmittedBatch:
        name = codec.name
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
        causes, roots = part.causes.filter(mask), part.roots.filter(mask)
        return EmittedBatch(part.event, columns, causes, roots, part.lasting)
    return Emitted(
        list(compress(part.events, chosen)), part.names,
        list(compress(part.causes, chosen)), list(compress(part.roots, chosen)),
    )  # fmt: skip


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
        Packer(0).add(codec, batch, range(len(batch.causes)))
    except UnfitError as error:
        return str(error)
    return None
