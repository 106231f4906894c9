"""One file of a store: the author's tables, and two of flowc's.

`_flowc_store` has one row: whose file this is, and up to which offset the service's events are
`applied` to it. `_flowc_steps` has what came of events whose steps are perhaps not confirmed yet:
one row a step, until it is known to be.

A transaction holds what handlers did, and both: begun with the first event, committed before the
step is sent. Until a first one was committed the file is empty, and as good as none.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from flowc.errors import CodeError, StoreError, StoreFailedError
from flowc.guarded import GuardedConnection
from flowc.load import user_trace
from flowc_engine import limits
from flowc_engine.bus import wire

FORMAT: Final = 1
_TABLES: Final = (
    "CREATE TABLE _flowc_store (format, journal, service, store, part, applied)",
    "CREATE TABLE _flowc_steps (id INTEGER PRIMARY KEY, step)",
)
_DAMAGED: Final = ("malformed", "not a database", "encrypted")


class KeptBatch(msgspec.Struct, array_like=True):
    """Emitted events of one type, as their body; `fields` is a digest of how it was written.
    `places` (u32 each) are theirs among all that the step emits."""

    event: str
    fields: str
    places: bytes
    body: bytes


class KeptStep(msgspec.Struct, array_like=True):
    """What came of the events of a file in step `number`."""

    number: int
    batches: list[KeptBatch]
    parked: list[wire.Parked]
    deferred: list[int]
    resolved: list[int]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(KeptStep)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose file it is. `part`: the partition, or 0 for the file of all."""

    journal: int
    service: str
    store: str
    part: int


class StoreFile:
    """`setup` makes the author's tables. The file is made with the first transaction.

    Raises `StoreError` for a file that is damaged or not `owner`'s, `StoreFailedError` for what
    may mend itself, `CodeError` where `setup` raises.
    """

    def __init__(
        self,
        path: Path,
        owner: Owner,
        setup: Callable[[sqlite3.Connection], object] | None,
        cache_bytes: int,
    ) -> None:
        self.path, self._owner, self._setup = path, owner, setup
        self._steps: deque[tuple[int, int]] = deque()  # (number, id), not confirmed
        self._gone = 0  # the id up to which steps are to be deleted
        self._next_id = 1
        self._begun = False
        self._old: set[int] = set()  # offsets that an earlier process's steps are kept for
        self._old_id = 0
        self.applied = 0
        self.known = False
        """Whether a transaction was ever committed."""
        try:
            self.connection = sqlite3.connect(
                path, factory=GuardedConnection, isolation_level=None,
                timeout=limits.STORE_BUSY_MS_MAX / 1000,
            )  # fmt: skip
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "foreign_keys=ON",
                f"cache_size=-{cache_bytes // limits.KIB}",
            ):
                self.connection.own(f"PRAGMA {pragma}")
            self._read_owner()
        except sqlite3.Error as error:
            raise self.failure(error) from error

    def _read_owner(self) -> None:
        own = self.connection.own
        tables = [name for (name,) in own("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if not tables:
            return
        if "_flowc_store" not in tables:
            raise StoreError(f"{self.path} is no store of flowc's; move it away")
        format_, journal, *rest, self.applied = own("SELECT * FROM _flowc_store").fetchone()
        if format_ != FORMAT:
            raise StoreError(f"{self.path} has format {format_}, this flowc knows {FORMAT}")
        if journal != f"{self._owner.journal:016x}":
            raise StoreError(
                f"{self.path} belongs to another journal; move it away, or bring back the journal "
                "that it was written with"
            )
        if tuple(rest) != (self._owner.service, self._owner.store, self._owner.part):
            raise StoreError(f"{self.path} is the file of {' '.join(map(str, rest))}; put it back")
        self.known = True
        (last,) = own("SELECT max(id) FROM _flowc_steps").fetchone()
        self._next_id = (last or 0) + 1

    def kept(self) -> Iterator[KeptStep]:
        """The steps that are there, in order."""
        if self.known:
            for (step,) in self.connection.own("SELECT step FROM _flowc_steps ORDER BY id"):
                yield _decoder.decode(step)

    def keep_for(self, offsets: Iterable[int]) -> None:
        """The steps that are there are of use until these are recalled."""
        self._old, self._old_id = set(offsets), self._next_id - 1
        self._recalled(())

    # ---- transactions

    def begin(self) -> None:
        """Be in a transaction."""
        if self._begun:
            if not self.connection.in_transaction:
                raise StoreFailedError(
                    f"{self.path}: SQLite has rolled the transaction back (a full disk, `OR "
                    "ROLLBACK`, or an error of reading or writing); the last events are handled "
                    "again"
                )
            return
        try:
            self.connection.own("BEGIN IMMEDIATE")
            self._begun = True
            if not self.known:
                self._make()
        except sqlite3.Error as error:
            raise self.failure(error) from error

    def _make(self) -> None:
        own, owner = self.connection.own, self._owner
        for table in _TABLES:
            own(table)
        row = (FORMAT, f"{owner.journal:016x}", owner.service, owner.store, owner.part, 0)
        own("INSERT INTO _flowc_store VALUES (?, ?, ?, ?, ?, ?)", row)
        if self._setup is None:
            return
        try:
            self._setup(self.connection)
        except Exception as error:
            raise CodeError(f"{owner.service}.setup_store raised {user_trace(error)}") from error

    def save(self) -> None:
        """Begin what `undo` undoes."""
        self.begin()
        self.connection.own_save()

    def keep(self) -> None:
        """What was done since `save` is part of the transaction. Raises `StoreFailedError`."""
        self.begin()
        self.connection.own_keep()

    def undo(self) -> None:
        """What was done since `save` was not. Raises `StoreFailedError`."""
        self.begin()
        self.connection.own_undo()

    def commit(self, applied: int, steps: list[KeptStep], recalled: Iterable[int] = ()) -> None:
        """Make all of it durable. `recalled` are offsets whose events `steps` repeat."""
        self.begin()
        own = self.connection.own
        applied = max(applied, self.applied)  # behind where an earlier process was, it stays there
        try:
            own("UPDATE _flowc_store SET applied = ?", (applied,))
            self._recalled(recalled)
            if self._gone:
                gone = (self._old_id, self._gone)
                own("DELETE FROM _flowc_steps WHERE id > ? AND id <= ?", gone)
            ids = []
            for step in steps:
                encoded = _encoder.encode(step)
                own("INSERT INTO _flowc_steps VALUES (?, ?)", (self._next_id, encoded))
                ids.append((step.number, self._next_id))
                self._next_id += 1
            own("COMMIT")
        except sqlite3.Error as error:
            raise self.failure(error) from error
        self._begun, self._gone, self.applied, self.known = False, 0, applied, True
        self._steps += ids

    def _recalled(self, offsets: Iterable[int]) -> None:
        self._old.difference_update(offsets)
        if not self._old:
            self._gone, self._old_id = max(self._gone, self._old_id), 0

    def confirmed(self, number: int) -> None:
        """The steps up to this one are the broker's."""
        while self._steps and self._steps[0][0] <= number:
            self._gone = self._steps.popleft()[1]

    def close(self) -> None:
        """Close; what was not committed never was."""
        self.connection.own_close()

    def failure(self, error: sqlite3.Error) -> StoreError:
        """What to say, and whether another start may help."""
        if any(word in str(error) for word in _DAMAGED):
            return StoreError(
                f"{self.path} is damaged: {error}; put back a copy that is as new, or give the "
                "store another name in the declaration: a new store is filled from the log"
            )
        return StoreFailedError(f"{self.path}: {error}; nothing is lost")
