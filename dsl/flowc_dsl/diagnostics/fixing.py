"""Applies the edits of diagnostics to texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Edit

Applicability = Literal["safe", "unsafe", "display"]


@dataclass(frozen=True, slots=True)
class Fixed:
    """`texts`: the changed ones alone, by path; `fixed`: the diagnostics whose edits they have."""

    texts: Mapping[str, str]
    fixed: tuple[Diagnostic, ...]


def applicability(found: Diagnostic) -> Applicability | None:
    """How far its edits can be trusted, which is that of the least; None if it has none."""
    kinds = {edit.applicability for edit in found.edits}
    order: tuple[Applicability, ...] = ("display", "unsafe", "safe")
    return next((kind for kind in order if kind in kinds), None)


def apply_edits(
    diagnostics: Iterable[Diagnostic],
    texts: Mapping[str, str],
    allowed: frozenset[Applicability] = frozenset({"safe"}),
) -> Fixed:
    """All edits of a diagnostic or none, in the order given.

    A diagnostic whose edits overlap with those before it, or reach outside of `texts`, is left for
    another round, when it has been found again in the new texts.
    """
    taken: dict[str, list[Edit]] = {}
    fixed: list[Diagnostic] = []
    for found in diagnostics:
        if applicability(found) not in allowed:
            continue
        if all(_fits(edit, texts, taken.get(edit.span.path, [])) for edit in found.edits):
            fixed.append(found)
            for edit in found.edits:
                taken.setdefault(edit.span.path, []).append(edit)
    return Fixed({p: _edited(texts[p], edits) for p, edits in taken.items()}, tuple(fixed))


def _fits(edit: Edit, texts: Mapping[str, str], taken: list[Edit]) -> bool:
    start, end = edit.span.start, edit.span.end
    if edit.span.path not in texts or not 0 <= start <= end <= len(texts[edit.span.path]):
        return False
    return all(end < other.span.start or other.span.end < start for other in taken)


def _edited(text: str, edits: Iterable[Edit]) -> str:
    for edit in sorted(edits, key=lambda edit: edit.span, reverse=True):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text
