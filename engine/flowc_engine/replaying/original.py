"""The log that is replayed, as it was recorded. Nothing of it is written to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flowc_engine import limits
from flowc_engine.broker.fetch import Place, PlaceIndex, bodies_of, record_of
from flowc_engine.bus import wire
from flowc_engine.core.layout import replicas_of, since_of, slots_of
from flowc_engine.generations import History, has_events, stored_history, stored_plan
from flowc_engine.journal.disk import OS_DISK
from flowc_engine.journal.ending import JournalHeldError, hold_journal, journal_end
from flowc_engine.journal.reader import JournalReader, Read
from flowc_engine.journal.state import DurableState
from flowc_engine.lifting import EventReader
from flowc_engine.schema import ENVELOPE
from flowc_engine.state import StateDir, StateHeldError
from flowc_engine.stored import asked_end

if TYPE_CHECKING:
    from flowc_dsl.plan import Plan, ServicePlan


class NoOriginalError(Exception):
    """There is nothing that could be replayed."""


class OriginalError(Exception):
    """What was recorded can't be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Original:
    """What is recorded, up to `end`. `begin`: the first offset that the journal still has."""

    journal: Path
    begin: int
    end: wire.Durable
    history: History


class Share(NamedTuple):
    """A service in this log. Below `handled_to`, it has handled all, but for `waiting` (offsets
    that are to be retried). `parked`: what it has given up on, and not handled since. `since`: of
    `wire.Assign`. `replicas`: as many as it has, or would have in the next run."""

    handled_to: int
    waiting: frozenset[int]
    parked: frozenset[int]
    since: dict[str, int]
    replicas: int


def find_original(state: StateDir, plan: Plan) -> Original:
    """What is recorded now, with or without a run that is up; `plan` is the one that reads it.

    A lock is held for a moment only: what is durable does not change. Raises `NoOriginalError`,
    `OriginalError`, `JournalRotError`, `OSError`.
    """
    try:
        old = stored_plan(state)
        if old is None or not has_events(state):
            text = f"{state.system} has not run yet: there is no log in {state.path}"
            raise NoOriginalError(text)
        with ExitStack() as stack:
            end = _end(state, stack)
        history = stored_history(state, old).adopt(plan, lambda: end.offset)
    except ValueError as error:
        raise OriginalError(str(error)) from None
    faults = history.faults()
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise OriginalError(
            f"{state.path} holds events that can't be read as they are declared now:\n{listed}"
        )
    return Original(state.journal, _place(state.journal, 0).offset, end, history)


def _place(journal: Path, offset: int) -> Place:
    """The beginning of the segment that has an offset, or of the first one there is."""
    return PlaceIndex(journal, OS_DISK, limits.INDEX_EVERY_BYTES).find(offset)


class Recorded(NamedTuple):
    """One event: `fields` are its own, as they are declared now."""

    event: str
    source: str
    time: datetime
    fields: dict[str, Any]


def event_at(original: Original, offset: int) -> Recorded:
    """The event at an offset below the end. Raises `JournalRotError`, `OriginalError`."""
    for read in records(original.journal, offset, original.end):
        header = read.header
        if header.first_offset + header.rows <= offset:
            continue
        record = record_of(header.first_offset, header.rows, read.entry, list(read.bodies))
        for batch, body, behind in bodies_of(record):
            offsets = np.arange(batch.first, behind)
            if batch.places:
                offsets = batch.first + np.frombuffer(batch.places, "<u4").astype(np.int64)
            at = np.flatnonzero(offsets == offset)
            if len(at):
                rows = EventReader(original.history, batch.event).read(body, batch.first)
                row: dict[str, Any] = rows.slice(int(at[0]), 1).to_pylist()[0]
                time = row["_time"]
                own = {name: value for name, value in row.items() if name not in ENVELOPE}
                return Recorded(batch.event, batch.source, time, own)
    raise OriginalError(f"there is no event {offset}")


def _end(state: StateDir, stack: ExitStack) -> wire.Durable:
    try:
        stack.enter_context(state.lock())
        stack.enter_context(hold_journal(state.journal))
    except StateHeldError as held:
        end = asked_end(state)
        if end is None:
            raise OriginalError(f"{held}, and its broker does not answer; try again") from None
        return end
    except JournalHeldError as error:
        raise OriginalError(f"{error}; it ends soon after its run, try again") from None
    return journal_end(state.journal, repair=False)


def share_of(state: DurableState, service: ServicePlan) -> Share:
    """How far a service is. `state`: what the journal says up to its end (`state_at`)."""
    slots = slots_of(state, service.name)
    return Share(
        min((s.cursor for s in slots), default=0),
        frozenset(o for s in slots for o in s.deferred),
        frozenset(o for s in slots for o in s.parked_now),
        since_of(service, slots, state.offset),
        replicas_of(service, slots),
    )


def records(journal: Path, begin: int, end: wire.Durable) -> Iterator[Read]:
    """The records from the one that holds offset `begin` (or an earlier one) up to `end`.

    Raises `JournalRotError`.
    """
    place = _place(journal, begin)
    reader = JournalReader(journal)
    try:
        yield from reader.read_all(place.segment, place.position, end.segment, end.position)
    except FileNotFoundError as error:
        raise OriginalError(f"{error.filename} is gone: the log was cleared meanwhile") from None
    finally:
        reader.close()
