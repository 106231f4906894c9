"""Pass 4: events and services, file by file; what is kept of a file is not lowered again."""

from __future__ import annotations

from collections.abc import Iterable

from flowc_dsl.lower.events import lower_event
from flowc_dsl.lower.memo import KeptFile, Lowered
from flowc_dsl.lower.services import lower_service
from flowc_dsl.lower.work import BUILT_IN, Work, items_of
from flowc_dsl.model import Event, Service, TypeRef
from flowc_dsl.syntax import parse
from flowc_dsl.syntax import tree as t


def lower_items(work: Work) -> None:
    """All events, commands and services."""
    for tree in work.each_tree():
        kept = work.memo.files.get(tree.source.path)
        if kept is not None and kept.tree is not tree:
            kept = None  # the file was another one then
        lowered = kept.lowered.get(work.broken) if kept else None
        if lowered is None or not lowered.holds(work.declared):
            lowered = _lower(work, tree, kept)
        work.events.update(lowered.events)
        work.services.update(lowered.services)


def _lower(work: Work, tree: t.Tree, kept: KeptFile | None) -> Lowered:
    if kept is not None and not kept.whole:
        kept.tree, kept.whole = parse(tree.source), True
        tree = work.trees[tree.source.path] = kept.tree
    told = work.told
    events: dict[str, Event] = {}
    services: dict[str, Service] = {}
    others = 0  # declared elsewhere too, and there first
    for context, item in items_of(tree):
        if not isinstance(item, (t.Event, t.Service)):
            continue
        if not work.owns(tree, item.name):
            others += 1
        elif isinstance(item, t.Event):
            events[item.name.text] = lower_event(work, tree, context, item)
        else:
            services[item.name.text] = lower_service(work, tree, context, item)
    kinds = {n: work.declared[n].kind for n in _type_names(events.values()) if n in work.declared}
    lowered = Lowered(events, services, kinds)
    # What an upcast sets is held against the members and fields of types, wherever those are.
    leans = any(upcast.sets for event in events.values() for upcast in event.upcasts)
    if kept is not None and not others and not leans and work.told == told:
        kept.lowered[work.broken] = lowered
    return lowered


def _type_names(events: Iterable[Event]) -> set[str]:
    names: set[str] = set()
    pending: list[TypeRef] = [field.type for event in events for field in event.fields]
    while pending:
        ref = pending.pop()
        names.add(ref.name)
        if ref.args:
            pending += ref.args
    return names - BUILT_IN
