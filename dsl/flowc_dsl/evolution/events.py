"""Changes of events and commands: which there are, whose they are, and how stored ones are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flowc_dsl.evolution.change import OUTSIDE, STORED, Affected, Change, Side, Verdict
from flowc_dsl.evolution.fields import changed_fields, service_affected
from flowc_dsl.evolution.stored import with_stored
from flowc_dsl.model import Event
from flowc_dsl.rules.wording import duration, quoted

_ARTICLE: Final = {"event": "an event", "command": "a command"}
_SCOPES: Final = {"plain": "neither `external` nor `exported`"}


def changed_events(old: Side, new: Side) -> Iterator[Change]:
    """All changes of events and commands, in the order of the text."""
    before, after = old.system.events, new.system.events
    for name, event in before.items():
        if name not in after:
            yield _removed(new, event)
    for name, event in after.items():
        was = before.get(name)
        if was is None:
            yield Change(Verdict.SAFE, name, f"{event.kind} `{name}` is added", new=event.span)
        else:
            yield from _changed(old, new, was, event)


def _removed(new: Side, event: Event) -> Change:
    what = f"{event.kind} `{event.name}` is removed"
    affected = []
    if event.external:
        affected.append(Affected(OUTSIDE, "still sends it"))
    if event.exported:
        affected.append(Affected(OUTSIDE, "may read it"))
    affected += _each_reader(new, event.name, "still reads it")
    affected.append(Affected(STORED, "can't be read: nothing says any more what they are"))
    return Change(
        Verdict.BREAKS, event.name, what, "a run over what is stored is refused",
        affected=tuple(affected), old=event.span, code="FLW401",
        help=f"keep `{event.name}` as `deprecated` until nobody needs it",
    )  # fmt: skip


def _changed(old: Side, new: Side, was: Event, now: Event) -> Iterator[Change]:
    yield from _kind(was, now)
    yield from _scope(was, now)
    fields = list(changed_fields(old, new, was, now))
    yield from with_stored(old, new, was, now, fields)
    yield from _retention(new, was, now)
    yield from _emitters(old, new, now)


def _kind(was: Event, now: Event) -> Iterator[Change]:
    if was.kind != now.kind:
        yield Change(
            Verdict.SAFE, now.name, f"{was.kind} `{now.name}` is now {_ARTICLE[now.kind]}",
            "a command has one handler and many senders, an event one emitter and many readers",
            old=was.span, new=now.span,
        )  # fmt: skip


def _scope(was: Event, now: Event) -> Iterator[Change]:
    if was.scope == now.scope:
        return
    shown = _SCOPES.get(now.scope, f"`{now.scope}`")
    what = f"`{now.name}` was {_SCOPES.get(was.scope, f'`{was.scope}`')}, and is {shown}"
    affected = []
    if was.external:
        affected.append(Affected(OUTSIDE, "may not send it any more"))
    if was.exported:
        affected.append(Affected(OUTSIDE, "may read it, and is not promised it any more"))
    if not affected:
        yield Change(Verdict.SAFE, now.name, what, old=was.span, new=now.span)
        return
    yield Change(
        Verdict.BREAKS, now.name, what, affected=tuple(affected), code="FLW401",
        help=f"keep it `{was.scope}` until nobody outside needs it", old=was.span, new=now.span,
    )  # fmt: skip


def _retention(new: Side, was: Event, now: Event) -> Iterator[Change]:
    if was.retain_ms == now.retain_ms:
        return
    before, after = (duration(e.retain_ms) if e.retain_ms else "for ever" for e in (was, now))
    what = f"`{now.name}` was kept {before}, and is kept {after}"
    if now.retain_ms is None or (was.retain_ms or float("inf")) <= now.retain_ms:
        yield Change(Verdict.SAFE, now.name, what, old=was.span, new=now.span)
        return
    readers = _each_reader(new, now.name, "sees less of the past when it replays")
    yield Change(
        Verdict.WATCH, now.name, what, "what is older is promised to nobody any more",
        affected=readers, help="export what is still needed before it goes", code="FLW409",
        old=was.span, new=now.span,
    )  # fmt: skip


def _emitters(old: Side, new: Side, now: Event) -> Iterator[Change]:
    before, after = old.graph.emitters(now.name), new.graph.emitters(now.name)
    if not before or not after or set(before) == set(after):
        return
    what = f"`{now.name}` is emitted by {quoted(sorted(after))}, and was by "
    what += quoted(sorted(before))
    if set(after) <= set(before):
        yield Change(Verdict.SAFE, now.name, what, new=now.span)
        return
    yield Change(
        Verdict.WATCH, now.name, what, "there is no order across emitters",
        affected=_each_reader(new, now.name, "may get events of both in any order"),
        help="let the old one finish what it has before the new one starts", code="FLW409",
        new=now.span,
    )  # fmt: skip


def _each_reader(side: Side, event: str, how: str) -> tuple[Affected, ...]:
    """The services that read the event, each once, by its first handler."""
    uses = {use.service.name: use for use in reversed(side.graph.triggers.get(event, ()))}
    return tuple(service_affected(side, use, how) for use in reversed(uses.values()))
