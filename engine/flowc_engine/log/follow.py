"""Moving the journal's records into the log."""

from __future__ import annotations

from pathlib import Path

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.generations import History
from flowc_engine.journal.reader import JournalReader, Read, read_first_header
from flowc_engine.journal.segments import list_segments
from flowc_engine.lifting import StoredSchemas
from flowc_engine.log.pending import Pending
from flowc_engine.log.store import (
    LogDamagedError,
    LogStore,
    Note,
    Place,
    open_store,
    quarantine,
)


class LogConflictError(Exception):
    """The log and the journal contradict each other: acknowledged data is missing from one."""


class Follower:
    """Applies the records of one journal to one open log."""

    def __init__(self, journal: Path, history: History, store: LogStore, note: Note) -> None:
        self._journal = journal
        self._reader = JournalReader(journal)
        self._schemas = StoredSchemas(history)
        self._store = store
        self._note = note

    def check(self, durable: wire.Durable) -> None:
        """Raises `LogConflictError` if the journal does not lead from where the log is to
        `durable`. Segments that the log has whole may be gone."""
        self.check_ahead(durable)
        at = self._store.applied
        segments = list_segments(self._journal)
        if segments and segments[0] > at.segment:
            first = read_first_header(self._journal, segments[0])
            if (first.record, first.first_offset) == (at.record, at.offset):
                self._store.applied = at._replace(segment=segments[0], position=0)
                return
            raise LogConflictError(
                f"the journal begins at event {first.first_offset}, and the log ends before event "
                f"{at.offset}: what is between is lost"
            )

    def check_ahead(self, durable: wire.Durable) -> None:
        """Raises `LogConflictError` if the log has more than the journal."""
        at = self._store.applied
        if at.record > durable.record or at.offset > durable.offset:
            raise LogConflictError(
                f"the log has {at.offset} events ({at.record} records), and the journal ends after "
                f"{durable.offset} ({durable.record}): acknowledged data is missing from the "
                "journal. Nothing was changed"
            )

    def step(self, durable: wire.Durable) -> bool:
        """Apply one transaction's worth, never beyond `durable`; whether there was anything.

        Raises `JournalRotError`, `LogConflictError`, `duckdb.Error` and `OSError`; then nothing of
        this step was applied.
        """
        place = self._store.applied
        if place == tuple(durable_place(durable)):
            return False
        pending = Pending(self._schemas)
        found = self._reader.read(
            place.segment,
            place.position,
            durable.segment,
            durable.position,
            limits.LOG_BYTES_PER_TRANSACTION,
        )
        for read in found:
            _check_next(place, read)
            pending.add(read)
            place = _behind(read)
        if place == self._store.applied:  # only the snapshot that begins a segment
            end = durable_place(durable)
            if (place.record, place.offset) != (end.record, end.offset):
                raise LogConflictError(f"no record {place.record} where the journal has {end}")
            place = end
        self._store.apply(pending, place)
        if pending.rejected:
            self._note(
                f"{pending.rejected} batches below event {place.offset} fit no table: "
                "they are in _rejected"
            )
        return True

    def close(self) -> None:
        """Close the journal's files."""
        self._reader.close()


def durable_place(durable: wire.Durable) -> Place:
    """The end of what is durable, as a place."""
    return Place(durable.segment, durable.position, durable.record, durable.offset)


def _behind(read: Read) -> Place:
    header = read.header
    offset = header.first_offset + header.rows
    return Place(read.segment, read.position, header.record + 1, offset)


def _check_next(place: Place, read: Read) -> None:
    header = read.header
    if (header.record, header.first_offset) != (place.record, place.offset):
        raise LogConflictError(
            f"the log continues with record {place.record} and event {place.offset}, and the "
            f"journal has record {header.record} and event {header.first_offset} there"
        )


def open_followed(file: Path, journal: Path, history: History, note: Note) -> LogStore:
    """Open the log of a journal; a file that is none is moved aside, and made anew.

    Raises as `open_store` does, and `LogConflictError` if the journal can't rebuild the log. The
    journal must have a segment.
    """
    first = read_first_header(journal, list_segments(journal)[0])
    try:
        return open_store(file, history, first.journal_id)
    except LogDamagedError as error:
        set_aside(file, journal, str(error), note)
        return open_store(file, history, first.journal_id)


def set_aside(file: Path, journal: Path, why: str, note: Note) -> None:
    """Move a log that can't be used aside. Raises `LogConflictError` if the journal can't rebuild
    it."""
    first = read_first_header(journal, list_segments(journal)[0])
    if first.record != 0:
        raise LogConflictError(
            f"{file.name} can't be used ({why}), and the journal begins at event "
            f"{first.first_offset}, so it can't be rebuilt"
        )
    aside = quarantine(file)
    note(f"{file.name} can't be used, and is now {aside.name}; it is rebuilt: {why}")
