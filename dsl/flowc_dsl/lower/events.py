"""Events and commands, their keys, versions and upcasts."""

from __future__ import annotations

from typing import Literal, cast

from flowc_dsl.lower.clauses import once
from flowc_dsl.lower.faults import BadKey
from flowc_dsl.lower.literals import duration_ms, per_second, version
from flowc_dsl.lower.types import fields
from flowc_dsl.lower.upcasts import Target, lower_upcasts
from flowc_dsl.lower.work import SCALAR_NAMES, Work, ref
from flowc_dsl.model import Event
from flowc_dsl.syntax import tree as t


def lower_event(work: Work, tree: t.Tree, context: t.Context | None, item: t.Event) -> Event:
    """One event or command."""
    name = item.name.text
    owner = f"{item.kind.text} `{name}`"
    clauses = once(work, tree, item.clauses, owner)
    clause, key = clauses.get(t.Version), clauses.get(t.Key)
    retain, rate = clauses.get(t.Retain), clauses.get(t.Rate)
    found = fields(work, tree, item.body, owner, of_event=True)
    number = (version(work, tree, clause) or 1) if clause else 1
    named = key.name.text if key else None
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
        upcasts=lower_upcasts(
            work, tree, item, Target(name, number, named, {f.name: f for f in found})
        ),
        context=context.name.text if context and context.name.text else None,
        doc=tree.doc(item),
    )
    _check_key(work, event)
    return event


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
