"""Infos in short: one line a code, so that what is merely worth knowing hides no finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from flowc_dsl.diagnostics.concise import render_concise
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Level
from flowc_dsl.diagnostics.width import Look
from flowc_dsl.source import Source


def without_infos(found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The errors and warnings, in the order given."""
    return tuple(diagnostic for diagnostic in found if diagnostic.level != Level.INFO)


def digest(found: Iterable[Diagnostic], sources: Mapping[str, Source], look: Look) -> str:
    """A line for each code of the infos: the first one in full, and how many more there are."""
    groups: dict[str, list[Diagnostic]] = {}
    for diagnostic in found:
        if diagnostic.level == Level.INFO:
            groups.setdefault(diagnostic.code, []).append(diagnostic)
    shown = [_first(group) for _, group in sorted(groups.items())]
    return render_concise(shown, sources, look)


def _first(group: list[Diagnostic]) -> Diagnostic:
    first, more = group[0], len(group) - 1
    if not more:
        return first
    return replace(first, message=f"{first.message}, and {more:,} more (--info)")
