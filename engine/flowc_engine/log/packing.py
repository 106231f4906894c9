"""What becomes of the journal's segments once the log has them: they are packed (see
`flowc_engine.journal.packed`), and deleted when nothing reads them any more."""

from __future__ import annotations

from pathlib import Path

from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.journal import record as rec
from flowc_engine.journal.packed import PackedError, pack
from flowc_engine.journal.reader import read_first_header
from flowc_engine.journal.recovery import snapshot_of
from flowc_engine.journal.segments import delete_first, list_segments, list_unpacked


def pack_next(journal: Path, saved_segment: int) -> bool:
    """Pack the oldest segment that is complete and of which the log has saved all (its place is in
    `saved_segment`); whether there was one. Raises `PackedError`.

    The newest are left: services that keep up may still be at them, and recovery begins there.
    """
    segments = list_unpacked(journal)[: -limits.PLAIN_SEGMENTS_MIN]
    if not segments or segments[0] >= saved_segment:
        return False
    try:
        pack(journal, segments[0])
    except OSError as error:  # a disk that is full, for example
        raise PackedError(str(error)) from error
    return True


def delete_next(journal: Path, plan: Plan, from_segment: int, kept_from: int) -> bool:
    """Delete the first segment if all events in it have left the log (`kept_from` is the first
    that has not), and no service asks for them again; whether it was. Raises `JournalRotError`,
    `OSError`.

    What services ask for is read from the snapshot of the newest segment, which is durable; only
    one behind `from_segment`, where this run began, has all of its services.
    """
    segments = list_segments(journal)
    packed = sorted({*segments} - {*list_unpacked(journal)})
    if not packed or packed[0] != segments[0] or segments[-1] <= from_segment:
        return False
    behind = read_first_header(journal, segments[1]).first_offset
    if behind > kept_from or behind > needed_from(plan, snapshot_of(journal, segments[-1])):
        return False
    delete_first(journal, segments[0])
    return True


def needed_from(plan: Plan, snapshot: rec.Snapshot) -> int:
    """The lowest offset that a service may yet ask for. One that rebuilds its memory (4.8), or
    what its handlers wait for (4.29), asks for all."""
    again = {service.name for service in plan.services if not service.stateless or service.waits}
    lowest = snapshot.offset
    for slot in snapshot.slots:
        if slot.service in again:
            return 0
        lowest = min([lowest, slot.cursor, *slot.deferred, *slot.parked_now])
    return lowest
