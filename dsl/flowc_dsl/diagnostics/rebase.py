"""Paths are relative to a program's root; a reader elsewhere sees them from where they stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Edit, Label
from flowc_dsl.source import Span


def rebased(found: Diagnostic, path_of: Callable[[str], str]) -> Diagnostic:
    """The same diagnostic with every path replaced by `path_of` it."""

    def span(old: Span) -> Span:
        return Span(path_of(old.path), old.start, old.end)

    def label(old: Label) -> Label:
        return Label(span(old.span), old.text)

    return replace(
        found,
        primary=label(found.primary),
        related=tuple(label(old) for old in found.related),
        edits=tuple(Edit(span(old.span), old.text, old.applicability) for old in found.edits),
    )
