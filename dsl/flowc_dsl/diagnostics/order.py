"""The one order and the one dedupe of all reports."""

from __future__ import annotations

from collections.abc import Iterable

from flowc_dsl.diagnostics.diagnostic import Diagnostic


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By place, code and message; a diagnostic that says the same of the same place comes once."""
    by_key = {diagnostic.sort_key(): diagnostic for diagnostic in reversed(list(diagnostics))}
    return tuple(by_key[key] for key in sorted(by_key))
