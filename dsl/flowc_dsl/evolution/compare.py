"""All changes between two declarations, and those that are not safe as diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label, Level
from flowc_dsl.evolution.change import STORED, Change, Side, Verdict
from flowc_dsl.evolution.events import changed_events
from flowc_dsl.evolution.services import changed_services
from flowc_dsl.graph import build_graph
from flowc_dsl.model import System
from flowc_dsl.planning import make_plan
from flowc_dsl.source import Span


def side_of(system: System) -> Side:
    """A declaration without errors in its text and names, ready to be compared."""
    return Side(system, make_plan(system), build_graph(system))


def compare(old: System, new: System) -> tuple[Change, ...]:
    """What changed from `old` to `new`: events and commands, then services, in the order of the
    text. Equal declarations give nothing."""
    before, after = side_of(old), side_of(new)
    return (*changed_events(before, after), *changed_services(before, after))


def diagnostics(
    changes: Iterable[Change],
    system: Span,
    seen: Callable[[Span], Span],
    seen_old: Callable[[Span], Span],
) -> tuple[Diagnostic, ...]:
    """The changes that are not safe, as findings. They stand where the new text is; what is only in
    the old one stands at `system`. `seen` and `seen_old` give places of the new and the old text
    the paths that are shown."""

    def placed(change: Change) -> Change:
        old, new = change.old and seen_old(change.old), change.new and seen(change.new)
        return replace(change, old=old, new=new)

    return tuple(
        _diagnostic(placed(change), seen(system))
        for change in changes
        if change.verdict is not Verdict.SAFE
    )


def _diagnostic(change: Change, system: Span) -> Diagnostic:
    who = "; ".join(str(one) for one in change.affected if one.who != STORED)
    reasons = [reason for reason in (change.why, who) if reason]
    return Diagnostic(
        code=change.code,
        level=Level.ERROR if change.breaks else Level.WARNING,
        message=f"{change.alone}: {'; '.join(reasons)}" if reasons else change.alone,
        primary=Label(change.new or system, "here" if change.new else ""),
        related=(Label(change.old, "as it was"),) if change.old else (),
        help=change.help or None,
        subjects=tuple(dict.fromkeys(filter(None, (change.subject, change.part)))),
        witness=next((one.path for one in change.affected if one.path), ()),
    )
