"""Which declaration the stored events were written with.

Bodies in the journal carry no schema. What an event's fields were is known from where it stands:
a *generation* is a stretch of offsets whose events were all written with one plan. A new one begins
when a plan with other fields, keys or versions is adopted, which happens under the state's lock
and before the broker starts, at the journal's end. So a batch is read with the plan of the last
generation that begins at or before its first offset, and nothing has to be said in it.

The file `schemas.json` of a state holds them. A state without one, of an older flowc, has the one
generation of its `plan.json`.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from flowc_dsl.lifting import Lift, Origin, Stored, Unliftable, plan_lift, shape
from flowc_dsl.plan import EventPlan, Plan
from flowc_engine.codec import CodecError, parse_json, read_value
from flowc_engine.files import write_atomically
from flowc_engine.state import StateDir

PLANS_FILE = "plans.txt"  # since when which plan was in force
_PLANS_MAX = 1_000
_FORMAT = 1
_PLAN_FORMAT_ALONE = 1  # of a `plan.json` from before there was a `schemas.json`


@dataclass(frozen=True, slots=True)
class Generation:
    """Events with offsets from `begin` on were written with `plan`, which has no services here."""

    begin: int
    plan: Plan


@dataclass(frozen=True, slots=True)
class History:
    """The generations of a state in the order of their offsets, the first from 0, and the plan in
    force. The last generation's events are those of that plan."""

    plan: Plan
    generations: tuple[Generation, ...]

    @staticmethod
    def of(plan: Plan) -> History:
        """All events were written with this plan."""
        return History(plan, (Generation(0, _kept(plan)),))

    def at(self, offset: int) -> Generation:
        """The generation of the batch that begins at `offset`."""
        index = bisect_right(self.generations, offset, key=lambda g: g.begin) - 1
        return self.generations[index]

    def stored(self, event: str) -> Iterator[tuple[Generation, Stored]]:
        """The event as each generation has it, oldest first; those that have none are left out."""
        for generation in self.generations:
            found = declared(generation.plan, event)
            if found is not None:
                yield generation, Stored(generation.plan, found)

    @property
    def latest(self) -> History:
        """With the plan that was adopted last as the one in force: that of `plan.json`, unless an
        adoption was cut short."""
        return replace(self, plan=self.generations[-1].plan)

    def current_from(self, event: str) -> int:
        """All batches of the event from this offset on are as the plan in force declares them."""
        begin = self.generations[-1].begin
        now = declared(self.plan, event)
        for generation in reversed(self.generations):
            was = declared(generation.plan, event)
            if was is not None and (now is None or not _same(generation.plan, was, self.plan, now)):
                break
            begin = generation.begin
        return begin

    def adopt(self, plan: Plan, end: Callable[[], int]) -> History:
        """The history when `plan` comes into force at the journal's `end` (its next offset), which
        is asked only where the events differ. Whether all can be lifted is `faults`' to say."""
        kept = self.generations
        if not _continues(kept[-1].plan, plan):
            at = end()
            kept = tuple(g for g in kept if g.begin < at)
            if not kept:
                return History.of(plan)
            if not _continues(kept[-1].plan, plan):
                return History(plan, (*kept, Generation(at, _kept(plan))))
        return History(plan, (*kept[:-1], Generation(kept[-1].begin, _kept(plan))))

    def without(self, absent: Collection[tuple[str, int]]) -> History:
        """The same, where none of these events (by generation, named by its `begin`) is stored."""
        pruned = []
        for generation in self.generations:
            plan, begin = generation.plan, generation.begin
            events = tuple(e for e in plan.events if (e.name, begin) not in absent)
            pruned.append(Generation(begin, replace(plan, events=events)))
        return History(self.plan, tuple(pruned))

    def faults(self) -> list[str]:
        """What of the stored events the plan in force can't read, one text an event and version."""
        partitions = {g.plan.partitions for g in self.generations} - {self.plan.partitions}
        texts = [f"partitions: {was}, now {self.plan.partitions}" for was in sorted(partitions)]
        return list(dict.fromkeys([*texts, *(str(fault) for _, fault in self.unliftable())]))

    def unliftable(self) -> Iterator[tuple[Generation, Unliftable]]:
        """The events of each generation that can't be read as the plan in force declares them."""
        now = {event.name: event for event in self.plan.events}
        for generation in self.generations:
            for event in generation.plan.events:
                old = Stored(generation.plan, event)
                if event.name not in now:
                    if not event.waits:  # else its handler is gone: nobody reads it
                        yield generation, _undeclared(event)
                    continue
                lift = lift_of(old, Stored(self.plan, now[event.name]))
                if isinstance(lift, Unliftable) and event.waits != "after":  # what set it says so
                    yield generation, _joined(event) if event.waits else lift


def _undeclared(event: EventPlan) -> Unliftable:
    why = f"v{event.version} is stored, and it is no longer declared"
    help_ = "declare it again; `deprecated` says that it is on its way out"
    return Unliftable(event.name, event.version, why, help_)


def _joined(event: EventPlan) -> Unliftable:
    why = f"{' & '.join(event.of)} were joined with other fields, and are not lifted in there"
    help_ = "give the handler another name with `as NAME`: it joins what comes from then on"
    return Unliftable(event.name, event.version, why, help_)


def lift_of(old: Stored, new: Stored) -> Lift | Unliftable:
    """How events stored as `old` are read as `new`; constants are of their fields' types."""
    lift = plan_lift(old, new)
    if isinstance(lift, Unliftable):
        return lift
    for origin in lift.origins:
        if origin.source is None:
            try:
                constant(new.plan, origin)
            except CodecError as error:
                name = origin.field.name
                why = f"an upcast of v{lift.version} sets {name}: {error}"
                help_ = f"write a value of the type {origin.field.type.text}"
                return Unliftable(lift.event, lift.version, why, help_, name)
    return lift


def constant(plan: Plan, origin: Origin) -> Any:
    """The constant of a field, as Arrow takes it. Raises `CodecError`."""
    return read_value(plan, origin.field.type, parse_json(origin.value))


def declared(plan: Plan, event: str) -> EventPlan | None:
    """The event as a plan declares it, or None."""
    return next((e for e in plan.events if e.name == event), None)


def _kept(plan: Plan) -> Plan:
    """What of a plan says how its events are stored and read."""
    return replace(plan, services=())


def _continues(was: Plan, now: Plan) -> bool:
    """Whether `now` writes what `was` wrote, and perhaps new events."""
    after = {event.name: event for event in now.events}
    return was.partitions == now.partitions and all(
        event.name in after and _same(was, event, now, after[event.name]) for event in was.events
    )


def _same(was: Plan, old: EventPlan, now: Plan, new: EventPlan) -> bool:
    """Whether two declarations of an event store the same, under the same version."""
    if (old.version, old.key) != (new.version, new.key):
        return False
    before = [(f.name, shape(was, f.type)) for f in old.fields]
    after = [(f.name, shape(now, f.type)) for f in new.fields]
    lift = plan_lift(Stored(was, old), Stored(now, new))
    return before == after and not isinstance(lift, Unliftable)


# ---- the files


def stored_plan(state: StateDir) -> Plan | None:
    """The plan of the last run, or None before the first. Raises `ValueError`."""
    try:
        text = state.plan_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return Plan.from_json(text)
    except ValueError as error:
        raise ValueError(f"{state.plan_file}: {error}; `--fresh` starts over") from None


def stored_history(state: StateDir, plan: Plan) -> History:
    """How what is stored was written; `plan` is the one of `plan.json`.

    Raises `ValueError` for a `schemas.json` that is damaged or gone.
    """
    lost = not state.schemas_file.exists() and has_events(state)
    if lost and _plan_format(state) != _PLAN_FORMAT_ALONE:
        raise ValueError(
            f"{state.schemas_file} is gone: without it, it can't be told how the events of "
            f"{state.path} were written; put it back, or start over with `--fresh`"
        )
    return read_history(state.schemas_file, plan)


def _plan_format(state: StateDir) -> object:
    try:
        return json.loads(state.plan_file.read_text(encoding="utf-8"))["format"]
    except FileNotFoundError:
        return None


def has_events(state: StateDir) -> bool:
    """Whether there is a journal."""
    return any(state.journal.glob("*.seg"))


def note_plan(state: StateDir, plan: Plan) -> None:
    """Remember that this plan comes into force, if another one was. Raises `OSError`."""
    kept = _plans(state.path)
    if not kept or kept[-1][1] != plan.hash:
        kept.append((datetime.now().astimezone().isoformat(timespec="seconds"), plan.hash))
        lines = [f"{since} {known}\n" for since, known in kept[-_PLANS_MAX:]]
        write_atomically(state.path / PLANS_FILE, "".join(lines).encode())


def former_plans(folder: Path, current: str) -> dict[str, str]:
    """The hashes of the plans that were in force on the state in `folder` before `current`, and
    until when, as ISO 8601."""
    kept = _plans(folder)
    until = {plan: end for (_, plan), (end, _) in pairwise(kept)}
    return {plan: end for plan, end in until.items() if plan != current}


def _plans(folder: Path) -> list[tuple[str, str]]:
    """Since when which plan was in force. What is no such line is left out: it serves messages."""
    try:
        text = (folder / PLANS_FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    found = (line.split(" ") for line in text.splitlines())
    return [(words[0], words[1]) for words in found if len(words) == 2]


def write_history(file: Path, history: History) -> None:
    """Make the generations durable. Raises `OSError`."""
    kept = [{"begin": g.begin, "plan": g.plan.to_json()} for g in history.generations]
    head = {"format": _FORMAT, "sum": _sum(kept), "generations": kept}
    data = (json.dumps(head, indent=1) + "\n").encode()
    if not file.exists() or file.read_bytes() != data:
        write_atomically(file, data)


def read_history(file: Path, plan: Plan) -> History:
    """The history of a state whose plan in force is `plan`; without a file, that of one generation.

    Raises `ValueError` for a file that is damaged, or of a later format.
    """
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return History.of(plan)
    return parse_history(text, plan, str(file))


def parse_history(text: str | bytes, plan: Plan, file: str) -> History:
    """The history that `text` is, read from `file` or somewhere else. Raises `ValueError`."""
    try:
        kept = _checked(json.loads(text))
        generations = [Generation(k["begin"], Plan.from_json(k["plan"])) for k in kept]
    except (KeyError, TypeError):
        raise ValueError(f"{file}: damaged; without it old events can't be read") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}; without it old events can't be read") from None
    return History(plan, tuple(generations))


def _checked(head: dict[str, Any]) -> list[dict[str, Any]]:
    if head["format"] != _FORMAT:
        raise ValueError(f"format {head['format']}, this flowc reads {_FORMAT}")
    kept: list[dict[str, Any]] = head["generations"]
    if head["sum"] != _sum(kept) or not kept or kept[0]["begin"] != 0:
        raise ValueError("damaged: it is not what was written")
    return kept


def _sum(kept: object) -> str:
    return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
