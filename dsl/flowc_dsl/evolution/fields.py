"""Changed fields of one event: who wrote what is read, and who reads what is written."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.evolution.change import OF, OUTSIDE, Affected, Change, Side, Verdict
from flowc_dsl.evolution.ranges import Range, Typed, compare_range
from flowc_dsl.graph import Use
from flowc_dsl.lifting import misfit
from flowc_dsl.model import Event, Field, Upcast
from flowc_dsl.plan import EventPlan, FieldPlan
from flowc_dsl.rules.contract import named_fields
from flowc_dsl.rules.wording import quoted


def changed_fields(old: Side, new: Side, was: Event, now: Event) -> Iterator[Change]:
    """Each field that was added, removed, renamed or is of another type. What that means for
    stored events is not judged here."""
    before = {f.name: f for f in was.fields}
    after = {f.name: f for f in now.fields}
    renamed = _renames(was, now)
    for name, field in before.items():
        if name not in after:
            target = renamed.get(name)
            yield _removed(old, new, was, now, field, target if target in after else None)
    gone_to = set(renamed.values())
    for name, field in after.items():
        if name in before:
            yield from _retyped(old, new, now, before[name], field)
        elif name not in gone_to:
            yield _added(now, field)


def _renames(was: Event, now: Event) -> dict[str, str]:
    """Old names to new ones, by the upcasts between the two versions."""
    names = {field.name: field.name for field in was.fields}
    for upcast in upcasts_between(was, now):
        step = {source.name: target.name for source, target in upcast.renames}
        names = {first: step.get(name, name) for first, name in names.items()}
    return {first: last for first, last in names.items() if first != last}


def upcasts_between(was: Event, now: Event) -> list[Upcast]:
    """Those that what is stored as `was` goes through."""
    return [u for u in now.upcasts if was.version <= u.from_version < now.version]


def _removed(
    old: Side, new: Side, was: Event, now: Event, field: Field, renamed: str | None
) -> Change:
    name = field.name
    what = f"field `{name}`{OF} is " + (f"renamed to `{renamed}`" if renamed else "removed")
    affected = tuple(readers_of(old, new, now.name, name))
    if was.exported or now.exported:
        affected += (Affected(OUTSIDE, "may read it: the event is `exported`"),)
    if now.external:
        affected += (Affected(OUTSIDE, "still sends it, and what has it is refused"),)
    if not affected:
        read = bool(new.graph.triggers.get(now.name))
        why = "no handler that reads the event `reads` it" if read else "nobody reads the event"
        return Change(Verdict.SAFE, now.name, what, why, name, old=field.span, new=now.span)
    help_ = (
        f"keep `{name}` as `@deprecated` until nobody reads it; a handler that says "
        "`reads` is no longer taken to need all"
    )
    return Change(
        Verdict.BREAKS, now.name, what, "", name, affected, help_, "FLW401", field.span, now.span
    )


def readers_of(old: Side, new: Side, event: str, field: str) -> Iterator[Affected]:
    """The services that need a field: a handler that says `reads` needs what it names, one that
    does not may need all. A service that is new was written without the field."""
    before = old.graph.readers(event)
    seen = set()
    for use in new.graph.triggers.get(event, ()):
        if use.service.name not in before:
            continue
        reads = use.handler.reads
        named = {ref.name for _, ref in named_fields(use.handler)}
        if reads is not None and field not in named:
            continue
        if use.service.name in seen:
            continue
        seen.add(use.service.name)
        how = f"reads it in `{use.node}`" if field in named else (
            f"may read it in `{use.node}`, which says no `reads`"
        )  # fmt: skip
        yield service_affected(new, use, how)


def service_affected(side: Side, use: Use, how: str) -> Affected:
    """A service, with its team."""
    service = use.service
    owner = side.system.owner_of(service) or ""
    path = (use.ref.name, str(use.node))
    return Affected(service.name, how, service.context or "", owner, path)


def _added(now: Event, field: Field) -> Change:
    name, optional = field.name, field.type.optional
    what = f"{'optional ' if optional else ''}field `{name}`{OF} is added"
    if optional or not now.external:
        return Change(Verdict.SAFE, now.name, what, "", name, new=field.span)
    return Change(
        Verdict.BREAKS,
        now.name,
        what,
        "whoever sends the event from outside does not send it yet",
        name,
        (Affected(OUTSIDE, f"sends `{now.name}` without it"),),
        f"make it optional, `{name}: {field.type.name}?`, until all senders have it",
        "FLW402",
        new=field.span,
    )


def _retyped(old: Side, new: Side, now: Event, was_field: Field, field: Field) -> Iterator[Change]:
    name = field.name
    was_type = _plan_field(old.plan.event(now.name), name).type
    now_type = _plan_field(new.plan.event(now.name), name).type
    narrower = misfit(old.plan, was_type, new.plan, now_type)
    range_ = compare_range(Typed(old.plan, was_type), Typed(new.plan, now_type))
    if narrower is None and range_ == Range():
        return
    texts = (was_type.text, now_type.text)
    what = f"field `{name}`{OF} {_kind(range_, narrower, *texts)}"
    readers = tuple(readers_of(old, new, now.name, name))
    outside = tuple(_outside(now, range_, narrower=narrower is not None))
    lost = bool(readers) and (range_.other or bool(range_.gone))
    affected = (*(readers if lost or range_.more else ()), *outside)
    if lost or outside:
        code = "FLW402" if now.external and narrower and not lost else "FLW401"
        help_ = f"add a field beside `{name}`, and drop it when nobody uses it any more"
        verdict = Verdict.BREAKS
    elif affected:
        verdict, code = Verdict.WATCH, "FLW409"
        help_ = "let those who read it handle that first, and then emit it"
    else:
        verdict, code, help_ = Verdict.SAFE, "", ""
    yield Change(
        verdict, now.name, what, "", name, affected, help_, code, was_field.span, field.span
    )


def _outside(now: Event, range_: Range, *, narrower: bool) -> Iterator[Affected]:
    if now.exported and (range_.more or range_.other):
        yield Affected(OUTSIDE, "may get what it did not get before")
    if now.exported and range_.gone:
        yield Affected(OUTSIDE, "may read what is gone: the event is `exported`")
    if now.external and narrower:
        yield Affected(OUTSIDE, "may send what is refused now")
    elif now.external and range_.gone:
        yield Affected(OUTSIDE, f"still sends {quoted(range_.gone)}, and what has it is refused")


def _kind(range_: Range, narrower: str | None, was: str, now: str) -> str:
    """A predicate: how the type differs, and in what."""
    if range_.other:
        return f"is another type: it {narrower or 'is read as another one'}"
    less, more = narrower is not None or bool(range_.gone), bool(range_.more or range_.added)
    word = "another range" if less and more else "narrower" if less else "wider"
    parts = [narrower] if narrower else [f"was {was}, now {now}"] if was != now else []
    parts += [f"has no {quoted(range_.gone)} any more"] if range_.gone else []
    parts += [f"may hold {_and(range_.more)}"] if range_.more else []
    parts += [f"has {quoted(range_.added)} too"] if range_.added and not narrower else []
    return f"is {word}: it {', and '.join(parts)}"


def _and(parts: tuple[str, ...]) -> str:
    return " and ".join(parts)


def _plan_field(event: EventPlan, name: str) -> FieldPlan:
    return next(field for field in event.fields if field.name == name)
