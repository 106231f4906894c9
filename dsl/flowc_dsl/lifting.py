"""How events that were stored in an older version become events of the version declared now.

`plan_lift` decides it for one event type from the stored fields, the declared fields and the
upcast blocks between the two versions, and from nothing else: not from the versions that were
ever run between them. A field keeps its value under its name until a block renames it or sets it.
At the end every declared field has one of three origins: a stored field of its name (then the type
may have become wider), a constant, or nothing, which is null.

What a lift is applied to, is the caller's: Arrow batches, SQL, or rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

from flowc_dsl.plan import EventPlan, FieldPlan, Plan, TypePlan

NOTHING = "null"


class Stored(NamedTuple):
    """An event type as a plan has it; the plan knows its structs and enums."""

    plan: Plan
    event: EventPlan

    def __str__(self) -> str:
        return f"event {self.event.name}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a declared field has its values from: the stored field `source`, or, if that is None,
    the constant `value` (JSON)."""

    field: FieldPlan
    source: str | None
    value: str = NOTHING


@dataclass(frozen=True, slots=True)
class Lift:
    """`origins` in the order of the declared fields."""

    event: str
    version: int  # of what is stored
    origins: tuple[Origin, ...]


@dataclass(frozen=True, slots=True)
class Unliftable:
    """Why stored events of a version can't become what is declared; `help` is what to write.

    `about`: a version that has other fields or is later than what is declared, a step of an upcast
    that can't be done, one field, or the key.
    """

    event: str
    version: int
    why: str
    help: str
    field: str | None = None
    about: Literal["version", "step", "field", "key"] = "field"

    def __str__(self) -> str:
        return f"event {self.event}: {self.why}; {self.help}"


def plan_lift(old: Stored, new: Stored) -> Lift | Unliftable:
    """How events stored as `old` are read as `new`."""
    fault = version_fault(old, new)
    if fault is not None:
        return fault
    lift, faults = lift_parts(old, new)
    return next(iter(faults), lift)


def version_fault(old: Stored, new: Stored) -> Unliftable | None:
    """Why the versions alone keep what is stored from being read."""
    event, version = new.event, old.event.version
    if version > event.version:
        why = f"v{version} is stored, and v{event.version} is declared"
        help_ = f"declare v{version} or a later one"
        return Unliftable(event.name, version, why, help_, None, "version")
    if version == event.version and (changes := list(_changes(old, new))):
        why = f"v{version} is stored with other fields ({'; '.join(changes)})"
        help_ = f"declare it as v{version + 1}, with {_advice(old, new)}"
        return Unliftable(event.name, version, why, help_, None, "version")
    return None


def lift_parts(old: Stored, new: Stored) -> tuple[Lift, tuple[Unliftable, ...]]:
    """The fields that can be lifted, and each fault that keeps the others from it: steps, fields in
    the order of the declaration, the key. Without faults the lift is whole.

    Versions are not compared: an event whose fields changed under its version is taken as if it
    had the next one, with an upcast without steps.
    """
    faults: list[Unliftable] = []
    carried = _carry(old, new, faults)
    undone = {target for target, origin in carried.items() if origin is None}
    origins = []
    for field in new.event.fields:
        if field.name in undone:
            continue
        found = _settle(old, new, field, carried.get(field.name) or Origin(field, None))
        if isinstance(found, Unliftable):
            faults.append(found)
        else:
            origins.append(found)
    lift = Lift(new.event.name, old.event.version, tuple(origins))
    if new.event.key is None or new.event.key not in undone:
        faults += _keyed(old, new, lift, faults)
    return lift, tuple(faults)


def _carry(old: Stored, new: Stored, faults: list[Unliftable]) -> dict[str, Origin | None]:
    """The fields after all blocks, by name. Within a block all happens at once. What a step that
    can't be done would have made is None, and its fault goes to `faults`."""
    bag: dict[str, Origin | None] = {f.name: Origin(f, f.name) for f in old.event.fields}
    for upcast in new.event.upcasts:
        if not old.event.version <= upcast.from_version < new.event.version:
            continue
        for source, target in upcast.renames:
            if source not in bag:
                number = upcast.from_version
                why = f"`upcast v{number}` renames {source}, and v{old.event.version} has none"
                help_ = f"rename one of {', '.join(sorted(bag)) or 'nothing'}, or set {target}"
                version = old.event.version
                faults.append(Unliftable(new.event.name, version, why, help_, source, "step"))
        moved = {target: bag.get(source) for source, target in upcast.renames}
        gone = {source for source, _ in upcast.renames}
        kept = {name: origin for name, origin in bag.items() if name not in gone}
        made = {name: _constant(new, name, value) for name, value in upcast.sets}
        bag = {**kept, **moved, **made}
    return bag


def _constant(new: Stored, name: str, value: str) -> Origin:
    fields = {field.name: field for field in new.event.fields}
    return Origin(fields.get(name, FieldPlan(name, TypePlan("string"))), None, value)


def _settle(old: Stored, new: Stored, field: FieldPlan, origin: Origin) -> Origin | Unliftable:
    """The origin of a declared field, if its values fit."""
    version = old.event.version

    def refuse(why: str, help_: str) -> Unliftable:
        return Unliftable(new.event.name, version, why, help_, field.name)

    if origin.source is None:
        if origin.value == NOTHING and not field.type.optional:
            why = f"v{version} has no {field.name}, which is not optional"
            return refuse(why, f"write {_advice(old, new, field.name)}")
        return Origin(field, None, origin.value)
    why_not = misfit(old.plan, origin.field.type, new.plan, field.type)
    if why_not is not None:
        named = field.name if origin.source == field.name else f"{field.name} ({origin.source})"
        help_ = f"keep what it was, or give old events one value: `{_block(old, new)}`"
        return refuse(f"{named} of v{version} {why_not}", help_)
    return Origin(field, origin.source)


def _keyed(old: Stored, new: Stored, lift: Lift, faults: list[Unliftable]) -> Iterator[Unliftable]:
    """Order and partitions hang on the key: it has to be the same value. A key that kept its name
    and has a fault of its own already has no second one."""
    was, now = old.event.key, new.event.key
    by_name = {origin.field.name: origin for origin in lift.origins}
    same = was == now
    if was is not None and now is not None:
        origin = by_name.get(now)
        before = {field.name: field.type for field in old.event.fields}.get(was)
        same = (
            origin is not None
            and origin.source == was
            and before is not None
            and before.kind == origin.field.type.kind
            and before.scale == origin.field.type.scale
        )
    if same or (was == now and any(fault.field == now for fault in faults)):
        return
    why = f"the key of v{lift.version} was {was or 'none'}, and now is {now or 'none'}"
    help_ = "order hangs on it: keep it, rename it in an upcast, or declare a new event beside"
    yield Unliftable(lift.event, lift.version, why, help_, now, "key")


def _advice(old: Stored, new: Stored, about: str | None = None) -> str:
    """The upcast block to write. That a field went on under another name is a guess, and is said
    as one: of the field `about`, or of all."""
    guesses = _guesses(old, new)
    asked = {about: guesses[about]} if about in guesses else guesses if about is None else {}
    if not asked:
        return f"`{_block(old, new)}`"
    became = " and ".join(f"`{was}` became `{now}`" for now, was in asked.items())
    block = f"`{_block(old, new, renames=asked)}`"
    sets = "  ".join(f"{name} = …" for name in asked)
    return f"{block} if {became}, else `{sets}`"


def _bag(old: Stored, new: Stored) -> dict[str, Origin]:
    return {name: origin for name, origin in _carry(old, new, []).items() if origin is not None}


def _guesses(old: Stored, new: Stored) -> dict[str, str]:
    """Fields that nothing gives a value, and the one field of their type that is not there any
    more: perhaps it was renamed."""
    bag = _bag(old, new)
    fields = {field.name: field for field in new.event.fields}
    missing = [f for name, f in fields.items() if name not in bag and not f.type.optional]
    left = [o.field for name, o in bag.items() if name not in fields and o.source is not None]
    found = {}
    for field in missing:
        twins = [f.name for f in left if f.type == field.type]
        if len(twins) == 1 == sum(f.type == field.type for f in missing):
            found[field.name] = twins[0]
    return found


def _block(old: Stored, new: Stored, *, renames: Mapping[str, str] = MappingProxyType({})) -> str:
    """The upcast block that would do, with `…` for values that only its author knows. `renames` are
    new names to old ones."""
    version = old.event.version
    bag = _bag(old, new)
    steps = []
    for name, field in ((field.name, field) for field in new.event.fields):
        origin = bag.get(name)
        if name in renames:
            steps.append(f"rename {renames[name]} to {name}")
        elif (origin is None and not field.type.optional) or (
            origin is not None
            and origin.source is not None
            and misfit(old.plan, origin.field.type, new.plan, field.type) is not None
        ):
            steps.append(f"{name} = {NOTHING if field.type.optional else '…'}")
    return f"upcast v{version} {{ {'  '.join(steps)} }}" if steps else f"upcast v{version} {{ }}"


def _changes(old: Stored, new: Stored) -> list[str]:
    """How the fields of one version differ; their order is no difference, and neither are members
    of an enum that were added."""
    before = {field.name: field.type for field in old.event.fields}
    after = {field.name: field.type for field in new.event.fields}
    changes = [f"{name} is gone" for name in before if name not in after]
    for name, type_ in after.items():
        if name not in before:
            changes.append(f"{name} is new")
        elif (why := _difference(old.plan, before[name], new.plan, type_)) is not None:
            changes.append(f"{name} {why}")
    return changes


def _difference(old: Plan, was: TypePlan, new: Plan, now: TypePlan) -> str | None:
    """How a type differs from an earlier one in what is stored, or None."""
    if shape(old, was) != shape(new, now):
        before, after = shape(old, was), shape(new, now)
        return f"was {was.text}, now {now.text}" if was != now else f"was {before}, now {after}"
    return misfit(old, was, new, now)


def shape(plan: Plan, type_: TypePlan) -> str:
    """The type as it is stored: a struct as its fields, an enum without its members."""
    args = ", ".join(shape(plan, arg) for arg in type_.args)
    match type_.kind:
        case "struct":
            inner = (f"{f.name}: {shape(plan, f.type)}" for f in plan.structs[type_.name])
            text = "{" + ", ".join(inner) + "}"
        case "decimal":
            text = f"decimal({type_.precision},{type_.scale})"
        case kind:
            text = f"{kind}<{args}>" if args else kind
    return f"{text}?" if type_.optional else text


def misfit(old: Plan, was: TypePlan, new: Plan, now: TypePlan) -> str | None:
    """Why values of the type `was` are not all of the type `now`, or None. Wider are: `float` than
    `int` (which rounds beyond 2^53), a decimal with at least as many digits before and behind its
    point, an optional, an enum or a struct with more in it, and lists and maps of wider ones."""
    if was.optional and not now.optional:
        return "was optional, and is not any more"
    if was.kind != now.kind:
        wider = (was.kind, now.kind) == ("int", "float")
        return None if wider else f"was {was.text}, now {now.text}, which is no wider type"
    match now.kind:
        case "decimal":
            before, after = was.precision - was.scale, now.precision - now.scale
            fits = now.scale >= was.scale and after >= before
            return None if fits else f"was {was.text}, now {now.text}, which has fewer digits"
        case "enum":
            gone = [m for m in old.enums[was.name] if m not in new.enums[now.name]]
            lost = f"is {now.text}, which has no {', '.join(gone)} any more"
            return lost if gone else None
        case "struct":
            return _misfit_struct(old, was, new, now)
        case "map" if was.args[0].kind != now.args[0].kind:
            return f"was {was.text}, now {now.text}, which is no wider type"
    found = (misfit(old, a, new, b) for a, b in zip(was.args, now.args, strict=True))
    return next((f"holds what {why}" for why in found if why is not None), None)


def _misfit_struct(old: Plan, was: TypePlan, new: Plan, now: TypePlan) -> str | None:
    before = {field.name: field.type for field in old.structs[was.name]}
    after = {field.name: field.type for field in new.structs[now.name]}
    if before.keys().isdisjoint(after):
        return f"was {was.text}, now {now.text}, which has none of its fields"
    demanded = [n for n, type_ in after.items() if n not in before and not type_.optional]
    whys = []
    if demanded:
        plural = len(demanded) > 1
        names = f"fields {', '.join(demanded)} are" if plural else f"field {demanded[0]} is"
        whys.append(f"whose new {names} not optional")
    for name, type_ in after.items():
        if name in before and (why := misfit(old, before[name], new, type_)) is not None:
            whys.append(f"whose field {name} {why}")
    return f"is {now.text}, {', and '.join(whys)}" if whys else None
