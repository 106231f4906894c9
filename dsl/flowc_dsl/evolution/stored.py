"""What a change means for events that are stored: whether they can be read, and what is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from flowc_dsl.evolution.change import OF, OUTSIDE, STORED, Affected, Change, Side, Verdict
from flowc_dsl.evolution.fields import service_affected, upcasts_between
from flowc_dsl.graph import Use
from flowc_dsl.lifting import Lift, Stored, Unliftable, lift_parts, version_fault
from flowc_dsl.model import Event, Field
from flowc_dsl.plan import EventPlan
from flowc_dsl.rules.wording import quoted
from flowc_dsl.source import Span

_UNREAD = (Affected(STORED, "can't be read as they are declared now"),)


def with_stored(
    old: Side, new: Side, was: Event, now: Event, fields: list[Change]
) -> Iterator[Change]:
    """The changes of fields, of which those that stop stored events from being read say so; and
    the version, the key and what an upcast loses."""
    before = Stored(old.plan, old.plan.event(was.name))
    after = Stored(new.plan, new.plan.event(now.name))
    outdated = version_fault(before, after)
    if outdated is not None:
        yield _of_version(outdated, was, now)
    if was.version > now.version:
        yield from fields
        return
    lift, faults = lift_parts(before, after)
    stopped = {f.field: f for f in faults if f.about == "field" and f.field is not None}
    for change in fields:
        fault = stopped.get(change.part)
        if fault is None or change.verdict is not Verdict.SAFE:
            yield change
        else:
            yield _of_field(stopped.pop(change.part), was, now, change)
    for fault in faults:
        match fault.about:
            case "field" if fault.field in stopped:
                yield _of_field(fault, was, now, None)
            case "step":
                yield _of_step(fault, was, now)
            case "key":
                yield _of_key(old, new, was, now)
            case _:
                pass
    yield from _lost(was, now, before.event, lift, {f.field for f in faults})
    if not faults and was.version < now.version:
        what = f"v{was.version} becomes v{now.version}"
        yield Change(Verdict.SAFE, now.name, what, "stored events are lifted", new=now.span)


def _of_version(fault: Unliftable, was: Event, now: Event) -> Change:
    what = (
        f"the fields of `{now.name}` changed, and it is still v{now.version}"
        if was.version == now.version
        else f"`{now.name}` goes back from v{was.version} to v{now.version}"
    )
    return Change(
        Verdict.LIFT, now.name, what, f"stored events can't be read: {fault.why}",
        affected=_UNREAD, help=fault.help, code="FLW403", old=was.span, new=now.span,
    )  # fmt: skip


def _of_field(fault: Unliftable, was: Event, now: Event, change: Change | None) -> Change:
    """`change` is that of the field, where it is safe but for what is stored."""
    name = fault.field or ""
    code = "FLW401" if name in {f.name for f in was.fields} else "FLW402"
    if change is not None:
        return replace(
            change, verdict=Verdict.LIFT, why=fault.why, affected=_UNREAD, help=fault.help,
            code=code,
        )  # fmt: skip
    return Change(
        Verdict.LIFT, now.name, f"field `{name}`{OF} can't be read from stored events",
        fault.why, name, _UNREAD, fault.help, code,
        old=_span(was.fields, name), new=_span(now.fields, name) or now.span,
    )  # fmt: skip


def _of_step(fault: Unliftable, was: Event, now: Event) -> Change:
    steps = [
        source.span
        for upcast in upcasts_between(was, now)
        for source, _ in upcast.renames
        if source.name == fault.field
    ]
    return Change(
        Verdict.LIFT, now.name, f"a rename of `{fault.field}`{OF} can't be done", fault.why,
        fault.field or "", _UNREAD, fault.help, "FLW403",
        old=was.span, new=steps[0] if steps else now.span,
    )  # fmt: skip


def _span(fields: tuple[Field, ...], name: str) -> Span | None:
    return next((field.span for field in fields if field.name == name), None)


# ---- the key


def _of_key(old: Side, new: Side, was: Event, now: Event) -> Change:
    before, after = (f"`{e.key.name}`" if e.key else None for e in (was, now))
    if before is None:
        what, why = f"`{now.name}` had no key, and has {after}", "stored events have no order by it"
    elif after is None:
        what = f"`{now.name}` had the key {before}, and has none"
        why = f"events of one {before} are no longer handled in order"
    else:
        what = f"the key of `{now.name}` was {before}, and is {after}"
        why = f"stored events lie in the partitions of their {before}, new ones in those of {after}"
    affected = tuple(_who_hangs_on_key(old, new, now.name))
    if was.external or now.external:
        affected += (Affected(OUTSIDE, "sends it with the old key"),)
    if was.exported or now.exported:
        affected += (Affected(OUTSIDE, "may rely on its order"),)
    return Change(
        Verdict.BREAKS, now.name, what, f"{why}: order per key, joins and state by partition "
        "don't hold across the change", now.key.name if now.key else "", (*affected, *_UNREAD),
        "keep the key, rename it in an upcast, or declare a new event beside", "FLW401",
        old=was.key.span if was.key else was.span, new=now.key.span if now.key else now.span,
    )  # fmt: skip


def _who_hangs_on_key(old: Side, new: Side, event: str) -> Iterator[Affected]:
    """Each service that reads the event, with what of it hangs on the key most."""
    before = old.graph.readers(event)
    found: dict[str, tuple[int, Use, str]] = {}
    for use in new.graph.triggers.get(event, ()):
        if use.service.name in before:
            weight, how = _hold_on_key(use)
            if use.service.name not in found or found[use.service.name][0] < weight:
                found[use.service.name] = weight, use, how
    for _, use, how in found.values():
        yield service_affected(new, use, how)


def _hold_on_key(use: Use) -> tuple[int, str]:
    handler, service = use.handler, use.service
    if handler.kind == "join" and handler.by is not None:
        return 4, f"joins by `{handler.by.name}` in `{use.node}`"
    if handler.ordered_by is not None:
        return 3, f"is ordered by `{handler.ordered_by.name}` in `{use.node}`"
    if any(store.per_partition for store in service.stores):
        return 2, f"has a store per partition, and reads it in `{use.node}`"
    if service.replicas_max > 1:
        return 1, f"shares its partitions among replicas, and reads it in `{use.node}`"
    return 0, f"reads it in order per key in `{use.node}`"


# ---- what an upcast loses


def _lost(
    was: Event, now: Event, stored: EventPlan, lift: Lift, faulty: set[str | None]
) -> Iterator[Change]:
    """Values that are stored and that no field of today gets, though one could."""
    carried = {origin.source for origin in lift.origins} | faulty
    constants = {o.field.name: o for o in lift.origins if o.source is None}
    gone = [field for field in was.fields if field.name not in carried]
    for field in gone:
        if any(field.name == f.name for f in now.fields):
            origin = constants.get(field.name)
            how = "makes it anew" if origin is None else f"sets it to {origin.value}"
            yield _loss(
                was,
                now,
                field.name,
                f"stored values of field `{field.name}`{OF} are lost",
                f"v{was.version} has `{field.name}`, and an upcast {how}",
                "remove that step, or rename the old values to a field of their own",
                field,
            )
    types = {field.name: field.type for field in stored.fields}
    left = [f for f in gone if all(f.name != field.name for field in now.fields)]
    for name, origin in constants.items():
        twins = [f for f in left if types[f.name] == origin.field.type]
        if twins and name not in types and not origin.field.type.optional:
            renames = " or ".join(f"`rename {f.name} to {name}`" for f in twins)
            yield _loss(was, now, name, f"field `{name}`{OF} gets a constant, {origin.value}",
                        f"nothing carries on {quoted(f.name for f in twins)} of v{was.version}, "
                        "of the same type",
                        f"if it was renamed, write {renames}", twins[0])  # fmt: skip


def _loss(
    was: Event, now: Event, name: str, what: str, why: str, help_: str, field: Field
) -> Change:
    steps = [
        target.span
        for upcast in upcasts_between(was, now)
        for target in (*(t for t, _ in upcast.sets), *(t for _, t in upcast.renames))
        if target.name == name
    ]
    return Change(
        Verdict.WATCH, now.name, what, why, name, (Affected(STORED, "lose it"),), help_, "FLW408",
        old=field.span, new=steps[-1] if steps else _span(now.fields, name) or now.span,
    )  # fmt: skip
