"""Everything that a system has stored, held against what its program declares now (FLW407)."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from flowc_dsl.planning import make_plan
from flowc_dsl.rules.stored import NotDecodable
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.generations import History, has_events, stored_history, stored_plan
from flowc_engine.journal.ending import JournalHeldError, hold_journal, journal_end
from flowc_engine.journal.reader import JournalReader, Read
from flowc_engine.journal.segments import list_segments
from flowc_engine.lifting import EventReader
from flowc_engine.state import StateDir, StateHeldError, broker_endpoint

if TYPE_CHECKING:
    from flowc_dsl.model import System
    from flowc_dsl.plan import EventPlan, Plan, TypePlan

Progress = Callable[[int, int], None]
"""Called with how many events were read, and how many there are."""

_ANSWER_MS = 2_000
_Kind = tuple[str, int, str]  # an event, its version, and what is wrong


class StoredUnavailableError(Exception):
    """What is stored can't be read now; the text says why."""


@dataclass(slots=True)
class _Found:
    """One finding in the making."""

    why: str
    help: str
    offset: int = 0
    count: int = 0


@dataclass(slots=True)
class _Faults:
    """What can't be read, by event, version and kind: as many as are declared, however many events
    there are."""

    history: History
    static: dict[tuple[str, int], _Found] = field(default_factory=dict)  # by event and generation
    found: dict[_Kind, _Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for generation, fault in self.history.unliftable():
            kind = (fault.event, fault.version, fault.why)
            one = self.found.setdefault(kind, _Found(fault.why, fault.help))
            self.static[fault.event, generation.begin] = one

    def add(self, kind: _Kind, why: str, help_: str, offset: int, count: int) -> None:
        found = self.found.setdefault(kind, _Found(why, help_))
        _count(found, offset, count)


def _count(found: _Found, offset: int, count: int) -> None:
    if not found.count:
        found.offset = offset
    found.count += count


def stored_faults(
    state: StateDir, system: System, progress: Progress = lambda _done, _all: None
) -> list[NotDecodable]:
    """What of the stored events `system` can't read, in the order of the offsets; a run may be up.

    Memory is bounded by what is declared. Nothing of the state is changed. Raises
    `StoredUnavailableError`, `ValueError` (a file of the state is damaged), `JournalRotError` and
    `OSError`.
    """
    old = stored_plan(state)
    if old is None or not has_events(state):
        return []
    plan = make_plan(system)
    with ExitStack() as stack:
        end = _end(state, stack)
        history = stored_history(state, old).adopt(plan, lambda: end.offset)
        faults = _Faults(history)
        readers = {e.name: EventReader(history, e.name) for e in plan.events}
        for read in _records(state.journal, end):
            _look(read, faults, readers)
            progress(read.header.first_offset + read.header.rows, end.offset)
    stored = ((kind, found) for kind, found in faults.found.items() if found.count)
    ordered = sorted(stored, key=lambda item: (item[1].offset, item[0]))
    return [_finding(system, kind, found) for kind, found in ordered]


def _finding(system: System, kind: _Kind, found: _Found) -> NotDecodable:
    event, version, _ = kind
    at = system.events[event].span if event in system.events else system.span
    return NotDecodable(event, version, found.count, found.offset, found.why, found.help, at)


def _end(state: StateDir, stack: ExitStack) -> wire.Durable:
    """Where the journal ends, which is ours until the stack ends, or that of a run."""
    try:
        stack.enter_context(state.lock())
    except StateHeldError as held:
        end = asked_end(state)
        if end is None:
            raise StoredUnavailableError(f"{held}, and its broker does not answer") from None
        return end
    try:
        stack.enter_context(hold_journal(state.journal))
    except JournalHeldError as error:
        raise StoredUnavailableError(str(error)) from None
    return journal_end(state.journal)


def asked_end(state: StateDir) -> wire.Durable | None:
    """What the broker of the run that is up has made durable."""
    sockets = state.sockets()
    if sockets is None:
        return None
    hello = wire.Hello("log", "check", 0, secrets.token_hex(8), "", os.getpid())
    with Client(broker_endpoint(sockets), hello) as client:
        got = client.receive(_ANSWER_MS)
        while got is not None and not isinstance(got[0], wire.Durable):
            got = client.receive(_ANSWER_MS)
    return got[0] if got is not None and isinstance(got[0], wire.Durable) else None


def _records(folder: Path, end: wire.Durable) -> Iterator[Read]:
    """All records up to the end, a stretch at a time. Raises `JournalRotError`."""
    segments = list_segments(folder)
    if not segments:
        return
    reader = JournalReader(folder)
    try:
        yield from reader.read_all(segments[0], 0, end.segment, end.position)
    finally:
        reader.close()


def stored_counts(folder: Path, end: wire.Durable, history: History) -> Counter[tuple[str, int]]:
    """How many events of each type each generation (named by its `begin`) has in the journal.

    Raises `JournalRotError`.
    """
    counts: Counter[tuple[str, int]] = Counter()
    for read in _records(folder, end):
        for batch in read.entry.batches:  # all of a record are of one generation
            counts[batch.event, history.at(read.header.first_offset).begin] += batch.rows
    return counts


def _look(read: Read, faults: _Faults, readers: dict[str, EventReader]) -> None:
    first = read.header.first_offset
    for batch, body in zip(read.entry.batches, read.bodies, strict=True):
        generation = faults.history.at(first)
        static = faults.static.get((batch.event, generation.begin))
        if static is not None:
            _count(static, first, batch.rows)
        elif batch.event in readers:
            version = generation.plan.event(batch.event).version
            _read(batch, body, first, version, faults, readers[batch.event])
        if not batch.places:
            first += batch.rows


def _read(
    batch: wire.Batch,
    body: memoryview,
    first: int,
    version: int,
    faults: _Faults,
    reader: EventReader,
) -> None:
    plan, event = faults.history.plan, batch.event
    try:
        rows = reader.read(body, first)
        rows.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        why = f"a batch is damaged: {str(error).partition('.')[0]}"
        help_ = "it can't be read by any declaration; `flowc log` has it in _rejected"
        faults.add((event, version, "damaged"), why, help_, first, batch.rows)
        return
    for name, why, count in _misfits(plan, plan.event(event), rows):
        help_ = f"widen the type of {name}, or have an upcast set it"
        faults.add((event, version, name), why, help_, first, count)


def _misfits(plan: Plan, event: EventPlan, rows: pa.RecordBatch) -> Iterator[tuple[str, str, int]]:
    """The fields that hold what their type does not have: name, why, and how many."""
    for declared, column in zip(event.fields, rows.columns, strict=False):
        if column.null_count and not declared.type.optional:
            why = f"{declared.name} is null, and is not optional"
            yield declared.name, why, column.null_count
        for enum, values in _enums(plan, declared.type, column):
            members = plan.enums[enum]
            strange = values.filter(pc.invert(pc.is_in(values, pa.array(members, pa.string()))))
            strange = strange.drop_null()
            if len(strange):
                text = f"{declared.name} holds {strange[0].as_py()!r}, which is no {enum}"
                yield declared.name, text, min(len(strange), rows.num_rows)


def _enums(plan: Plan, type_: TypePlan, column: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """All values of enums in a column, by the enum."""
    match type_.kind:
        case "enum":
            yield type_.name, column
        case "list":
            yield from _enums(plan, type_.args[0], column.flatten())
        case "map":
            entries = column.cast(
                pa.list_(pa.struct([column.type.key_field, column.type.item_field]))
            )
            for index, inner in enumerate(type_.args):
                yield from _enums(plan, inner, entries.flatten().field(index))
        case "struct":
            for declared, inner in zip(plan.structs[type_.name], column.flatten(), strict=True):
                yield from _enums(plan, declared.type, inner)
