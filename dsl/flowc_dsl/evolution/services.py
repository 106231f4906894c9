"""Changes of services: which there are, and what they read."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.evolution.change import Affected, Change, Side, Verdict
from flowc_dsl.model import Service
from flowc_dsl.rules.wording import quoted

_FINISH = "let the service finish what waits for it before it goes"


def changed_services(old: Side, new: Side) -> Iterator[Change]:
    """All of them, in the order of the text. None of this breaks a contract; some of it is worth
    knowing before it runs."""
    before, after = old.system.services, new.system.services
    for name, service in before.items():
        if name not in after:
            yield _removed(new, service)
    for name, service in after.items():
        was = before.get(name)
        if was is None:
            yield _added(old, new, service)
        else:
            yield from _subscriptions(old, new, was, service)


def _removed(new: Side, service: Service) -> Change:
    what = f"service `{service.name}` is removed"
    why = "what it has not handled, it never will; its parked events stay in the log"
    return _left(new, service, what, why, list(_reads(service)), None)


def _left(
    new: Side, was: Service, what: str, why: str, events: list[str], now: Service | None
) -> Change:
    """A service that reads events no more: worth knowing where nobody else does."""
    place = now.span if now else None
    unread = [name for name in events if (event := new.system.events.get(name)) is not None
              and not event.exported and not new.graph.readers(name)]  # fmt: skip
    if not unread:
        return Change(Verdict.SAFE, was.name, what, why, old=was.span, new=place)
    return Change(
        Verdict.WATCH, was.name, what, f"nobody is left who reads {quoted(unread)}; {why}",
        affected=tuple(Affected(n, "are emitted in vain") for n in _emitting(new, unread)),
        help=f"{_FINISH}, and stop emitting what nobody reads", code="FLW409",
        old=was.span, new=place,
    )  # fmt: skip


def _emitting(new: Side, events: list[str]) -> list[str]:
    return [f"`{name}` of {who}" for name in events for who in new.graph.emitters(name)]


def _added(old: Side, new: Side, service: Service) -> Change:
    what = f"service `{service.name}` is added"
    past = [n for n in _catching_up(service) if n in old.system.events and n in new.system.events]
    if not past:
        return Change(Verdict.SAFE, service.name, what, new=service.span)
    return Change(
        Verdict.WATCH, service.name, what,
        affected=_itself(new, service, f"first reads all stored {quoted(past)}, and acts on it"),
        help="make sure that it may act on old events, or say `delivery latest`", code="FLW409",
        new=service.span,
    )  # fmt: skip


def _subscriptions(old: Side, new: Side, was: Service, now: Service) -> Iterator[Change]:
    before, after = _reads(was), _reads(now)
    if gone := [name for name in before if name not in after]:
        what = f"service `{now.name}` no longer reads {quoted(gone)}"
        why = "those that it has not handled, it never will"
        yield _left(new, was, what, why, gone, now)
    more = [name for name in after if name not in before]
    if not more:
        return
    what = f"service `{now.name}` now reads {quoted(more)}"
    past = [name for name in more if name in old.system.events]
    if not past:
        yield Change(Verdict.SAFE, now.name, what, old=was.span, new=now.span)
        return
    how = f"{quoted(past)} that is stored before"
    yield Change(
        Verdict.WATCH, now.name, what,
        affected=_itself(new, now, f"goes on from where it is in the log: past the {how}"),
        help="if it needs the past, let a new service read it", code="FLW409",
        old=was.span, new=now.span,
    )  # fmt: skip


def _itself(side: Side, service: Service, how: str) -> tuple[Affected, ...]:
    owner = side.system.owner_of(service) or ""
    return (Affected(service.name, how, service.context or "", owner),)


def _reads(service: Service) -> dict[str, None]:
    return dict.fromkeys(ref.name for h in service.handlers for ref in (*h.triggers, *h.unless))


def _catching_up(service: Service) -> dict[str, None]:
    """What it reads from the start when it is new."""
    handlers = (h for h in service.handlers if h.delivery == "all")
    return dict.fromkeys(ref.name for h in handlers for ref in h.triggers)
