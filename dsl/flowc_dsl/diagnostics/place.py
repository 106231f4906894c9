"""Where a span is, in lines and columns, for readers that are programs."""

from __future__ import annotations

from collections.abc import Mapping

from flowc_dsl.source import Position, Source, Span


def start_and_end(span: Span, sources: Mapping[str, Source]) -> tuple[Position, Position]:
    """A file that could not be read has no text, and its faults are at its first character."""
    source = sources.get(span.path) or Source(span.path, "")
    length = len(source.text)
    start, end = (min(offset, length) for offset in (span.start, max(span.start, span.end)))
    return source.position(start), source.position(end)
