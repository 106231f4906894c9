"""Whether a plan fits the state that an earlier plan left behind.

The journal's bodies carry no schema: what an event's fields are, and which partition its key gives,
must stay as they were when it was written.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.plan import EventPlan, FieldPlan, Plan, TypePlan
from flowc_engine.files import write_atomically
from flowc_engine.state import StateDir


class PlanChangedError(Exception):
    """The state holds events of another shape than the plan's; `changes` are one a line."""

    def __init__(self, state: StateDir, changes: list[str]) -> None:
        listed = "\n".join(f"  {change}" for change in changes)
        super().__init__(
            f"{state.path} holds events that were written with another declaration:\n{listed}\n"
            "declare a new event beside the old one, or start over with `--fresh` "
            "(it deletes the journal and the log)"
        )
        self.changes = changes


def adopt_plan(state: StateDir, plan: Plan) -> None:
    """Make `plan` the one in force. The state's lock must be held.

    Raises `PlanChangedError` where the state's events would be misread, `ValueError` for a
    `plan.json` that is damaged.
    """
    old = stored_plan(state)
    if old is not None and has_events(state):
        changes = list(changed(old, plan))
        if changes:
            raise PlanChangedError(state, changes)
    write_atomically(state.plan_file, plan.to_json().encode())


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


def has_events(state: StateDir) -> bool:
    """Whether there is a journal."""
    return any(state.journal.glob("*.seg"))


def changed(old: Plan, new: Plan) -> Iterator[str]:
    """What of the stored events would be misread, each in a few words."""
    if old.partitions != new.partitions:
        yield f"partitions: {old.partitions}, now {new.partitions}"
    now = {e.name: e for e in new.events}
    for event in old.events:
        if event.name not in now:
            yield f"event {event.name}: no longer declared"
        else:
            yield from _changed_event(old, new, event, now[event.name])


def _changed_event(old: Plan, new: Plan, was: EventPlan, now: EventPlan) -> Iterator[str]:
    if was.key != now.key:
        yield f"event {was.name}: key {was.key or 'none'}, now {now.key or 'none'}"
    before, after = _shapes(old, was.fields), _shapes(new, now.fields)
    for name in before.keys() - after.keys():
        yield f"event {was.name}: field {name} is gone"
    for name, shape in after.items():
        if name not in before:
            yield f"event {was.name}: field {name} is new"
        elif before[name] != shape:
            yield f"event {was.name}: field {name} was {before[name]}, now {shape}"
    if before == after and list(before) != list(after):
        yield f"event {was.name}: its fields are in another order"


def _shapes(plan: Plan, fields: tuple[FieldPlan, ...]) -> dict[str, str]:
    return {f.name: type_text(plan, f.type, expand=True) for f in fields}


def type_text(plan: Plan, type_plan: TypePlan, *, expand: bool = False) -> str:
    """The type as it is written; with `expand`, a struct as its fields, and an enum as a string
    (its members are no part of how it is stored)."""
    optional = "?" if type_plan.optional else ""
    args = ", ".join(type_text(plan, a, expand=expand) for a in type_plan.args)
    match type_plan.kind:
        case "decimal":
            text = f"decimal({type_plan.precision},{type_plan.scale})"
        case "struct" if expand:
            inner = _shapes(plan, plan.structs[type_plan.name])
            text = "{" + ", ".join(f"{n}: {t}" for n, t in inner.items()) + "}"
        case "struct" | "enum":
            text = "enum" if expand else type_plan.name
        case kind:
            text = f"{kind}<{args}>" if args else kind
    return text + optional
