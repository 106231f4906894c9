"""Journals made by the real writer, without a broker."""

import time
from pathlib import Path

import pyarrow as pa

from flowc_dsl.plan import Plan
from flowc_engine.bus import wire
from flowc_engine.journal import record as rec
from flowc_engine.journal.recovery import recover
from flowc_engine.journal.state import DurableState
from flowc_engine.journal.writer import JournalWriter
from flowc_engine.schema import wire_schema

TIME_US = 1_700_000_000_000_000


def wire_batch(plan: Plan, event: str, rows: list[dict]) -> pa.RecordBatch:
    """A batch as it travels; the envelope has defaults."""
    base = {"_time": TIME_US, "_cause": None, "_root": None, "_partition": 0}
    schema = wire_schema(plan, event)
    return pa.RecordBatch.from_pylist([{**base, **row} for row in rows], schema)


class JournalBuilder:
    """Writes records as a broker does, and says how far they are durable."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.plan, self.folder = plan, folder
        recovered = recover(folder)
        own = DurableState()
        own.apply(recovered.state.snapshot(0), 0)
        self._writer = JournalWriter(folder, recovered.journal_id, own)
        self.journal_id = recovered.journal_id
        self._state = recovered.state
        if recovered.fd >= 0:
            self._writer.resume(recovered.fd, recovered.segment, recovered.position)
        else:
            self._writer.create()
        slots = [rec.SlotState(s.name, 0, [], 0) for s in plan.services]
        if not self._state.slots:
            self.append(rec.Slots(TIME_US, [], [], slots), [], 0)

    def append(self, entry, bodies, rows: int) -> int:
        """Add an entry and sync; its first offset comes back."""
        first = self._state.offset
        self._writer.append(entry, bodies, record=self._state.record, first_offset=first, rows=rows)
        self._state.apply(entry, rows)
        self._writer.sync()
        return first

    def publish(self, *batches: tuple[str, pa.RecordBatch], source: str = "feed") -> int:
        """Events of a source; the first offset comes back."""
        bodies, listed, rows = _pack(batches)
        seq = self._state.source(source).seq
        sizes = [len(b) for b in bodies]
        entry = rec.SourceEvents(TIME_US, listed, sizes, source, 1, seq)
        return self.append(entry, bodies, rows)

    def step(self, service: str, *batches, after: int = 0, parked=()) -> int:
        """A step of a service; the first offset comes back."""
        bodies, listed, rows = _pack(batches)
        slot = self._state.slots[service, 0]
        entry = rec.StepDone(
            int(time.time() * 1e6), listed, [len(b) for b in bodies], service, 0, slot.epoch,
            slot.cursor, max(after, slot.cursor), list(parked), [], [],
        )  # fmt: skip
        return self.append(entry, bodies, rows)

    def emit(self, event: str, *rows: dict, source: str = "feed") -> int:
        """Events of one type from a source."""
        return self.publish((event, wire_batch(self.plan, event, list(rows))), source=source)

    @property
    def durable(self) -> wire.Durable:
        """Where the journal ends."""
        return self._writer.durable_at

    def close(self) -> None:
        self._writer.close()


def _pack(batches) -> tuple[list[bytes], list[wire.Batch], int]:
    bodies = [b.serialize().to_pybytes() for _, b in batches]
    listed = [wire.Batch(event, b.num_rows) for event, b in batches]
    return bodies, listed, sum(b.num_rows for _, b in batches)
