"""Pass 4: events and commands, their keys, versions and upcasts."""

from __future__ import annotations

from typing import Literal, cast

from flowc_dsl import limits
from flowc_dsl.lower.clauses import once
from flowc_dsl.lower.faults import BadKey, BadVersion, OutOfBounds, Repeated, UnknownName
from flowc_dsl.lower.literals import duration_ms, literal, per_second
from flowc_dsl.lower.types import fields
from flowc_dsl.lower.work import SCALAR_NAMES, Work, ref
from flowc_dsl.model import Event, Field, Literal_, Ref, Upcast
from flowc_dsl.source import Span
from flowc_dsl.syntax import tree as t


def lower_events(work: Work) -> None:
    """All events and commands."""
    for tree, context, item in work.each_item():
        if isinstance(item, t.Event) and work.owns(tree, item.name):
            work.events[item.name.text] = _event(work, tree, context, item)


def _event(work: Work, tree: t.Tree, context: t.Context | None, item: t.Event) -> Event:
    name = item.name.text
    owner = f"{item.kind.text} `{name}`"
    clauses = once(work, tree, item.clauses, owner)
    version, key = clauses.get(t.Version), clauses.get(t.Key)
    retain, rate = clauses.get(t.Retain), clauses.get(t.Rate)
    found = fields(work, tree, item.body, owner, of_event=True)
    number = _version(work, tree, version) if version else 1
    event = Event(
        name=name,
        span=tree.span(item.name),
        kind=cast("Literal['event', 'command']", item.kind.text),
        scope=cast(
            "Literal['internal', 'external', 'exported']",
            item.scope.text if item.scope else "plain",
        ),
        version=number,
        key=ref(tree, key.name) if key and key.name.text else None,
        retain_ms=duration_ms(work, tree, retain.duration) if retain else None,
        rate_per_s=per_second(work, tree, rate.frequency) if rate else None,
        deprecated=t.Deprecated in clauses,
        fields=found,
        upcasts=_upcasts(work, tree, item, number, found),
        context=context.name.text if context and context.name.text else None,
        doc=tree.doc(item),
    )
    _check_key(work, event)
    return event


def _version(work: Work, tree: t.Tree, node: t.Version) -> int:
    digits = node.text[1:]
    value = int(digits) if digits.isdigit() and len(digits) <= 9 else 0
    if not 1 <= value <= limits.VERSION_MAX and node.text:
        high = f"v{limits.VERSION_MAX}"
        work.report(OutOfBounds(tree.span(node), "version", node.text[:40], "v1", high))
        return 1
    return max(value, 1)


def _check_key(work: Work, event: Event) -> None:
    key = event.key
    if key is None:
        return
    by_name = {field.name: field for field in event.fields}
    field = by_name.get(key.name)
    if field is None:
        if not work.broken:
            why, near = "it has no such field", work.nearest(key.name, by_name)
            work.report(BadKey(key.span, event.name, key.name, why, near))
        return
    if field.type.name not in SCALAR_NAMES and field.type.name not in work.enums:
        if field.type.name in ("list", "map") or field.type.name in work.types:
            why = f"it is a `{field.type.name}`"
            work.report(BadKey(key.span, event.name, key.name, why, None, field.span))
    elif field.type.optional:
        why = "it is optional, and what has no key has no order"
        work.report(BadKey(key.span, event.name, key.name, why, None, field.span))


def _upcasts(
    work: Work, tree: t.Tree, item: t.Event, version: int, found: tuple[Field, ...]
) -> tuple[Upcast, ...]:
    upcasts: dict[int, Upcast] = {}
    for node in item.body:
        if not isinstance(node, t.Upcast):
            continue
        number, span = _version(work, tree, node.version), tree.span(node.version)
        if number in upcasts:
            what, owner = f"`upcast v{number}`", f"event `{item.name.text}`"
            work.report(Repeated(span, what, owner, upcasts[number].span))
            continue
        if number >= version:
            message = f"`upcast v{number}` in version {version} of `{item.name.text}`"
            hint = f"an upcast lifts an older version; declare `v{number + 1}`, or remove it"
            work.report(BadVersion(span, message, hint))
        names = [field.name for field in found] if number == version - 1 else None
        upcasts[number] = _upcast(work, tree, node, number, names, item.name.text)
    return tuple(sorted(upcasts.values(), key=lambda upcast: upcast.from_version))


def _upcast(
    work: Work, tree: t.Tree, node: t.Upcast, number: int, names: list[str] | None, event: str
) -> Upcast:
    """`names` are the fields of the version that it lifts to, where that is this one."""
    sets: list[tuple[Ref, Literal_]] = []
    renames: list[tuple[Ref, Ref]] = []
    made: dict[str, Span] = {}
    for step in node.steps:
        if isinstance(step, t.UpcastSet):
            target = ref(tree, step.name)
            sets.append((target, literal(work, tree, step.value)))
        elif isinstance(step, t.UpcastRename):
            target = ref(tree, step.new)
            renames.append((ref(tree, step.old), target))
        else:
            continue
        if target.name in made:
            what, owner = f"`{target.name}`", f"`upcast v{number}`"
            work.report(Repeated(target.span, what, owner, made[target.name]))
        made.setdefault(target.name, target.span)
        if names is not None and target.name and target.name not in names and not work.broken:
            near = work.nearest(target.name, names)
            where = f" in `{event}`"
            work.report(UnknownName(target.span, target.name, "field", near, where=where))
    return Upcast(number, tuple(sets), tuple(renames), tree.span(node.version))
