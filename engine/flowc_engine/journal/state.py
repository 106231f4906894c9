"""What the journal says: a fold over its entries.

Recovery, the writer (for the snapshots that begin a segment) and the broker's core apply entries
with this one function, so they can't disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from flowc_engine.journal import record as rec

SlotKey = tuple[str, int]


@dataclass(slots=True)
class DurableState:
    """`offset` and `record` are the next to be given."""

    offset: int = 0
    record: int = 0
    slots: dict[SlotKey, rec.SlotState] = field(default_factory=dict)
    sources: dict[str, rec.SourceState] = field(default_factory=dict)

    def source(self, name: str) -> rec.SourceState:
        """The state of a source, made when it is new."""
        return self.sources.setdefault(name, rec.SourceState(name))

    def apply(self, entry: rec.AnyEntry, rows: int) -> None:
        """Fold one entry in. `rows` are the events of its batches."""
        match entry:
            case rec.SourceEvents():
                source = self.source(entry.source)
                source.seq, source.done = entry.seq + rows, False
            case rec.StepDone():
                _apply_step(self.slots[entry.service, entry.slot], entry)
            case rec.Unparked():
                _apply_unparked(self.slots[entry.service, entry.slot], entry)
            case rec.SlotEpoch():
                self.slots[entry.service, entry.slot].epoch = entry.epoch
            case rec.SourceOpened():
                self.source(entry.source).epoch = entry.epoch
            case rec.SourceEnded():
                self.source(entry.source).done = True
            case rec.Slots():
                self.slots = {(s.service, s.slot): copy_slot(s) for s in entry.slots}
            case rec.Snapshot():  # not counted: it repeats what the records before it say
                self.offset, self.record = entry.offset, entry.record
                self.slots = {(s.service, s.slot): copy_slot(s) for s in entry.slots}
                self.sources = {s.source: msgspec.structs.replace(s) for s in entry.sources}
                return
            case rec.Mark():
                pass
        self.offset += rows
        self.record += 1

    def snapshot(self, time_us: int, segment_bytes: int = 0) -> rec.Snapshot:
        """All of it, as an entry: the first of a segment of this size."""
        return rec.Snapshot(
            time_us=time_us,
            batches=[],
            sizes=[],
            offset=self.offset,
            record=self.record,
            slots=[copy_slot(s) for s in self.slots.values()],
            sources=[msgspec.structs.replace(s) for s in self.sources.values()],
            segment_bytes=segment_bytes,
        )


def copy_slot(slot: rec.SlotState) -> rec.SlotState:
    """A copy that shares nothing mutable."""
    return msgspec.structs.replace(
        slot,
        deferred=list(slot.deferred),
        floors=dict(slot.floors),
        parked_now=dict(slot.parked_now),
        since=dict(slot.since),
        deferred_in=dict(slot.deferred_in),
    )


def _apply_step(slot: rec.SlotState, entry: rec.StepDone) -> None:
    slot.cursor = entry.after
    slot.steps += 1
    slot.parked += len(entry.parked)
    slot.parked_now.update((p.offset, p.partition) for p in entry.parked)
    slot.deferred.extend(entry.deferred)
    slot.deferred_in.update(zip(entry.deferred, entry.partitions, strict=False))
    if entry.resolved:  # perhaps one that this step deferred itself
        gone = set(entry.resolved)
        slot.deferred = [o for o in slot.deferred if o not in gone]
        slot.deferred_in = {o: p for o, p in slot.deferred_in.items() if o not in gone}
    if slot.floors and all(floor <= slot.cursor for floor in slot.floors.values()):
        slot.floors = {}


def _apply_unparked(slot: rec.SlotState, entry: rec.Unparked) -> None:
    partitions = {offset: slot.parked_now.pop(offset) for offset in entry.offsets}
    if entry.retry:
        slot.deferred.extend(entry.offsets)
        slot.deferred_in.update(partitions)
