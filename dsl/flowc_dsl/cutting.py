"""What of a text can be taken out so that no comment goes with it, or is left alone."""

from __future__ import annotations

from flowc_dsl.source import Source, Span


def cut_from_list(source: Source, before: int, end: int) -> Span | None:
    """An item of a list with the separator in front of it; `before` is where the last one ends."""
    return None if "//" in source.text[before:end] else Span(source.path, before, end)


def cut_again(source: Source, first: Span, again: Span) -> Span | None:
    """What stands in a text twice, word for word, without its second place."""
    text = source.text
    one, other = text[first.start : first.end], text[again.start : again.end]
    if first.path != again.path or one != other or "//" in one or _is_remarked(text, again.start):
        return None
    return with_its_space(text, again)


def with_its_space(text: str, span: Span) -> Span:
    """The span, and its lines if nothing else is on them, or else the space behind it."""
    start = text.rfind("\n", 0, span.start) + 1
    end = text.find("\n", span.end)
    end = len(text) if end < 0 else end + 1
    if text[start : span.start].strip(" \t") or text[span.end : end].strip(" \t\r\n"):
        if not text[span.end : end].strip():  # the last of its line: the space before it goes
            return Span(span.path, len(text[: span.start].rstrip(" \t")), span.end)
        after = len(text) - len(text[span.end :].lstrip(" \t"))
        return Span(span.path, span.start, after)
    return Span(span.path, start, end)


def _is_remarked(text: str, start: int) -> bool:
    """Whether the line of this place, or the line above, has a comment."""
    lines = text[:start].rstrip().rpartition("\n")
    return "//" in lines[2] or "//" in text[start:].partition("\n")[0]
