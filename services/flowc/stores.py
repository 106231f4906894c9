"""The store of one replica: one file, or one for each of its partitions.

The broker says which events come next; the store says which of them it has applied. Each file is
committed before the step is sent, with what came of its events: outputs, parked and deferred ones.
So an event that is delivered again, to this process, the next one, or to another replica that has
the partition now, is not handled again if its file has it: what came of it then is emitted.

A file that is new to a service with a past is filled from the log: past events are handled again,
and what they emit is discarded, as the memory of other services is rebuilt.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flowc.errors import StoreError, StoreFailedError
from flowc.marks import ForeignMarksError, Mark, Marks
from flowc.outcomes import Outcome, keep_step, outcomes_of
from flowc.rows import Rows
from flowc.storefile import Owner, StoreFile
from flowc_engine import limits

if TYPE_CHECKING:
    from flowc.codec import Codecs
    from flowc_dsl.plan import ServicePlan
    from flowc_engine.bus import wire

Setup = Callable[[sqlite3.Connection], object]
_LOCK_POLL_S: Final = 0.05
_FILLED: Final = (
    "or give the store another name in the declaration: a new store is filled from the log"
)


class Stores:
    """`folder` is the service's. One store: the engine runs no more than one a service.

    Raises `StoreError`, `StoreFailedError`, `CodeError` wherever it touches a file.
    """

    def __init__(
        self,
        folder: Path,
        service: ServicePlan,
        partitions: int,
        journal: int,
        codecs: Codecs,
        setup: Setup | None = None,
    ) -> None:
        (self._plan,) = service.stores
        self._service, self._folder, self._journal = service, folder, journal
        self._partitions = partitions if self._plan.per_partition else 1
        self._codecs, self._setup = codecs, setup
        self._files: dict[int, StoreFile] = {}
        self._owned: Sequence[int] = ()
        self._marks: Marks | None = None
        self._outcomes: dict[int, Outcome] = {}
        self._recalled: list[int] = []  # since the last step
        self._touched: set[int] = set()
        self._parts: dict[int, int] = {}  # of the events that came since the last step
        self._building: dict[int, int] = {}  # by part, the offset up to which
        self._at: StoreFile | None = None

    # ---- whose it is

    def begin(self, assign: wire.Assign) -> None:
        """Hold the files of an assignment, and hold them against what the broker says."""
        each = self._plan.per_partition
        self._owned = assign.partitions or range(self._partitions) if each else (0,)
        self._hold()
        since = assign.since.get(self._plan.since_key, 0)
        floors = assign.floors if each else {}
        last_floor = 0 if each else max(assign.floors.values(), default=0)
        for part in self._owned:
            at = max(assign.cursor, floors.get(part, 0))
            file = self._open(part) if self._path(part).exists() else None
            why = self._why_unfit(part, file, at)
            if why and at > since:
                raise StoreError(why)
            if why:
                self._put_aside(part)
                self._building[part] = max(at, last_floor)
            elif file is not None:
                self._load(file, at, assign)
        if not assign.cursor:
            self.reached(0)

    def _hold(self) -> None:
        path = self._folder / f"{self._plan.name}.marks"
        try:
            self._marks = Marks(path, self._journal, self._partitions)
        except ForeignMarksError:
            raise StoreError(
                f"{path} belongs to another journal, or to a store that was (or was not) `per "
                "partition`; move the folder away, or give the store another name"
            ) from None
        except OSError as error:
            raise StoreFailedError(f"{path}: {error.strerror}; nothing is lost") from error
        deadline = time.monotonic() + limits.STORE_LOCK_MS_MAX / 1000
        while (holder := self._marks.hold(self._owned)) is not None:
            if time.monotonic() > deadline:
                raise StoreFailedError(
                    f"{path.parent} is held by process {holder}, which has served this replica "
                    "before; when it has ended, this goes on"
                )
            time.sleep(_LOCK_POLL_S)

    def _path(self, part: int) -> Path:
        name = self._plan.name
        if self._plan.per_partition:
            return self._folder / name / f"p{part:02d}.db"
        return self._folder / f"{name}.db"

    def _open(self, part: int) -> StoreFile:
        file = self._files.get(part)
        if file is None:
            path = self._path(part)
            path.parent.mkdir(exist_ok=True, mode=0o700)
            owner = Owner(self._journal, self._service.name, self._plan.name, part)
            cache = limits.STORE_CACHE_BYTES // max(1, len(self._owned))
            file = self._files[part] = StoreFile(path, owner, self._setup, cache)
        return file

    def _why_unfit(self, part: int, file: StoreFile | None, at: int) -> str:
        """Why the service can't go on at offset `at` with the file; "" if it can."""
        assert self._marks is not None
        mark, path = self._marks[part], self._path(part)
        known = file is not None and file.known
        applied = file.applied if file is not None else 0
        had = f"{self._service.name} had handled the events up to offset {max(at, mark.applied):,}"
        if not known and (mark.applied or at > max(mark.through, 0)):
            return f"{path} is gone: {had} with it; put it back, {_FILLED}"
        if max(mark.through, applied) < at or applied < mark.applied:
            return (
                f"{path} is older than the log: it has the events up to offset {applied:,}, {had}; "
                f"put the newer file back, {_FILLED}"
            )
        return ""

    def _put_aside(self, part: int) -> None:
        """A file of before the store was declared (again) is not written to, nor deleted."""
        file = self._files.pop(part, None)
        if file is None:
            return
        file.close()
        if file.known:
            path = self._path(part)
            path.replace(path.with_name(f"{path.stem}.{time.time_ns() // 1_000_000}.old"))

    def _load(self, file: StoreFile, at: int, assign: wire.Assign) -> None:
        """What came of events and is perhaps not known to the broker: of those that come next, and
        of deferred ones that were through. One that was parked may have been, and be retried now:
        nothing of it is in the store, so it is handled as if it were not known."""
        waiting = frozenset(assign.deferred)
        own = {
            offset: outcome
            for offset, outcome in outcomes_of(file, self._codecs).items()
            if offset >= at or (outcome.through and offset in waiting)
        }
        file.keep_for(own)
        self._outcomes |= own

    @property
    def building(self) -> bool:
        """Whether past events are to be handled again, for a file that is new."""
        return bool(self._building)

    # ---- handling

    @property
    def connection(self) -> sqlite3.Connection | None:
        """The file of the event at hand."""
        return self._at.connection if self._at is not None else None

    def note(self, rows: Rows) -> None:
        """These come next."""
        if self._plan.per_partition:
            parts = rows.batch.column("_partition").to_pylist()
            self._parts.update(zip(rows.offsets, parts, strict=True))
            self._touched.update(parts)
        else:
            self._parts.update(dict.fromkeys(rows.offsets, 0))
            self._touched.add(0)

    def split(self, rows: Rows, *, together: bool) -> Iterator[Rows]:
        """The rows, in pieces that a handler may be called with: of one file, if `together`."""
        if not (together and self._plan.per_partition):
            yield rows
            return
        by_part: dict[int, list[int]] = {}
        for index, offset in enumerate(rows.offsets):
            by_part.setdefault(self._parts[offset], []).append(index)
        for indices in by_part.values():
            yield rows.take(indices)

    def to_build(self, rows: Rows) -> Rows:
        """The past events that are to be handled again."""
        return rows.take(
            [i for i, o in enumerate(rows.offsets) if self._parts[o] in self._building]
        )

    def may_have(self, offset: int) -> bool:
        """Whether a file may have this event, or a later one."""
        return any(offset < file.applied for file in self._files.values())

    def applied(self, offset: int) -> bool:
        """Whether its file has this event, noted before: `recall` has what came of it."""
        part = self._parts[offset]
        file = self._files.get(part)
        return file is not None and offset < file.applied and part not in self._building

    def settled(self, offset: int) -> bool:
        """Whether `recall` has what came of an event, and it is not that it waits."""
        found = self._outcomes.get(offset)
        return found is not None and not found.deferred

    def recall(self, offset: int) -> Outcome | None:
        """What came of an event; None if nothing did, or if it was not handled."""
        found = self._outcomes.pop(offset, None)
        if found is not None:
            self._recalled.append(offset)
        return found

    def enter(self, rows: Rows) -> None:
        """A handler is called with these rows, of one file."""
        self._at = self._open(self._parts[rows.offsets[0]])
        self._at.save()

    def leave(self, *, keep: bool) -> None:
        """It has returned, or failed."""
        assert self._at is not None
        (self._at.keep if keep else self._at.undo)()
        self._at = None

    # ---- steps

    def commit(self, end: int, steps: Sequence[tuple[wire.Step, Sequence[memoryview]]]) -> None:
        """Make what was done to the files durable, with what came of their events. All below `end`
        were handled; `steps` are sent after this."""
        built = {part for part, until in self._building.items() if until <= end}
        for part in built:
            del self._building[part]
        if not self._plan.per_partition:
            self._touched.add(0)
        touched = self._touched.difference(self._building)
        for part in sorted(touched):
            self._save(part, end, steps, alone=touched == {part})
        if self._plan.per_partition or built:
            self._mark(end)
        self._touched &= self._building.keys()
        self._parts.clear()
        self._recalled.clear()

    def _save(
        self,
        part: int,
        end: int,
        steps: Sequence[tuple[wire.Step, Sequence[memoryview]]],
        *,
        alone: bool,
    ) -> None:
        made = self._service.waits
        of = None if alone and not made else lambda offset: self._parts.get(offset) == part
        kept = [keep_step(self._codecs, *step, of, made) for step in steps]
        file = self._open(part)
        file.begin()
        file.commit(end, [step for step in kept if step is not None], self._recalled)

    def _mark(self, end: int) -> None:
        marks, files = self._marks, self._files
        assert marks is not None
        marks.write(
            {
                part: Mark(
                    max(end, marks[part].through),  # below a floor, another replica was farther
                    files[part].applied if part in files else 0,
                )
                for part in self._owned
                if part not in self._building
            }
        )

    def reached(self, end: int) -> None:
        """The past up to offset `end` was handled again."""
        self.commit(end, ())

    def confirmed(self, number: int) -> None:
        """The step is the broker's, and those before it."""
        for file in self._files.values():
            file.confirmed(number)

    def close(self) -> None:
        """Close the files, and let go of them."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        if self._marks is not None:
            self._marks.close()
            self._marks = None
