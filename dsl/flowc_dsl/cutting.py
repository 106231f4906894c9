"""What of a text can be taken out so that no comment goes with it, or is left alone."""

from __future__ import annotations

from typing import Final

from flowc_dsl.source import Source, Span

LINE_CHARS_MAX: Final = 2_000
"""A longer line is not looked through: a text may be one line, with a hundred thousand words."""


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
    start = text.rfind("\n", max(0, span.start - LINE_CHARS_MAX), span.start) + 1
    end = text.find("\n", span.end, span.end + LINE_CHARS_MAX)
    end = len(text) if end < 0 else end + 1
    before, after = _skip_back(text, span.start, " \t"), _skip(text, span.end, " \t")
    alone = before <= start and _skip(text, after, "\r\n") >= min(end, len(text))
    if alone and (start == 0 or text[start - 1] == "\n"):
        return Span(span.path, start, end)
    if after == len(text) or text[after] in "\r\n":  # the last of its line: the space before goes
        return Span(span.path, before, span.end)
    return Span(span.path, span.start, after)


def _is_remarked(text: str, start: int) -> bool:
    """Whether the line of this place, or the line above, has a comment; a line that is too long to
    be looked through for each of its words may have one."""
    above = _skip_back(text, start, " \t\r\n")
    first = max(0, above - LINE_CHARS_MAX)
    begin = text.rfind("\n", first, above) + 1
    end = text.find("\n", start, start + LINE_CHARS_MAX)
    if (not begin and first) or (end < 0 and start + LINE_CHARS_MAX < len(text)):
        return True
    return "//" in text[begin:above] or "//" in text[start : end if end >= 0 else len(text)]


def _skip(text: str, at: int, chars: str) -> int:
    while at < len(text) and text[at] in chars:
        at += 1
    return at


def _skip_back(text: str, at: int, chars: str) -> int:
    while at and text[at - 1] in chars:
        at -= 1
    return at
