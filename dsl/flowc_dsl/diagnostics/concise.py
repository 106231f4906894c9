"""The `concise` format: one line a diagnostic, `path:line:column: level[code] message`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flowc_dsl.diagnostics.diagnostic import Diagnostic
from flowc_dsl.diagnostics.width import Look
from flowc_dsl.source import Source


def render_concise(
    diagnostics: Iterable[Diagnostic], sources: Mapping[str, Source], look: Look
) -> str:
    return "".join(f"{_line(found, sources, look)}\n" for found in diagnostics)


def _line(found: Diagnostic, sources: Mapping[str, Source], look: Look) -> str:
    span = found.primary.span
    place = look.show(span.path)
    if span.path in sources:
        source = sources[span.path]
        position = source.position(min(span.start, len(source.text)))
        place = f"{place}:{position.line}:{position.column}"
    return f"{place}: {found.level}[{found.code}] {look.show(found.message)}"
