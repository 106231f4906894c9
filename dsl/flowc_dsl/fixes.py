"""Edits that would mend findings of the rules.

An edit is safe if the system means the same afterwards. One that declares what may have been
forgotten (`external`, `exported`) takes a finding away by changing what the system says, and that
it was meant is a guess: it is unsafe, however likely.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Edit
from flowc_dsl.model import System
from flowc_dsl.source import Source, Span

_SCOPE_FOR: Final = {"FLW201": "exported", "FLW202": "external"}
_KEYWORD_BEFORE: Final = re.compile(r"\b(event|command)\s+\Z")
_SCOPE_BEFORE: Final = re.compile(r"\b(internal|external|exported)\s+\Z")
_ALLOW_BEFORE: Final = re.compile(r"\ballow\s+\Z")
_REST_OF_ALLOW: Final = re.compile(
    r'(\s+because\s*"(?:[^"\\\n]|\\.)*")?(\s*until\s+\d{4}-\d\d-\d\d)?'
    r"(?=(?:\s|//[^\n]*\n)*(?:allow\b|forbid\b|require\b|limit\b|}))"
)
_WORD_CHARS_MAX: Final = 200  # that a keyword may be away from its name


def with_fixes(
    diagnostics: Iterable[Diagnostic], system: System, sources: Mapping[str, Source]
) -> Iterator[Diagnostic]:
    """The diagnostics, with edits where they have none and one is known."""
    for found in diagnostics:
        source = sources.get(found.primary.span.path)
        if found.edits or source is None:
            yield found
            continue
        edits = tuple(_edits(found, system, source))
        yield replace(found, edits=edits) if edits else found


def _edits(found: Diagnostic, system: System, source: Source) -> Iterator[Edit]:
    if found.code == "FLW902":
        span = _useless_exemption(found, system, source)
        if span is not None:
            yield Edit(_with_its_line(source.text, span), "", "safe")
    elif found.code in _SCOPE_FOR:
        at = _before_keyword(found, system, source)
        if at is not None:
            yield Edit(Span(source.path, at, at), f"{_SCOPE_FOR[found.code]} ", "unsafe")


def _useless_exemption(found: Diagnostic, system: System, source: Source) -> Span | None:
    """All of `allow … until …`, if nothing but space stands between its words."""
    span = found.primary.span
    if all(span != exemption.span for exemption in system.exemptions):
        return None
    allow = _ALLOW_BEFORE.search(_before(source, span.start))
    rest = _REST_OF_ALLOW.match(source.text, span.end)
    if allow is None or rest is None:
        return None
    return Span(span.path, span.start - len(allow[0]), rest.end())


def _before_keyword(found: Diagnostic, system: System, source: Source) -> int | None:
    """Where a scope could stand: before `event` or `command`, if there is none yet."""
    event = next((system.events[n] for n in found.subjects if n in system.events), None)
    if event is None or event.scope != "plain" or event.span != found.primary.span:
        return None
    keyword = _KEYWORD_BEFORE.search(_before(source, event.span.start))
    if keyword is None:
        return None
    at = event.span.start - len(keyword[0])
    return None if _SCOPE_BEFORE.search(_before(source, at)) else at


def _before(source: Source, offset: int) -> str:
    return source.text[max(0, offset - _WORD_CHARS_MAX) : offset]


def _with_its_line(text: str, span: Span) -> Span:
    """The span, and the rest of its lines if nothing else is on them."""
    start = text.rfind("\n", 0, span.start) + 1
    end = text.find("\n", span.end)
    end = len(text) if end < 0 else end + 1
    if text[start : span.start].strip(" \t") or text[span.end : end].strip(" \t\r\n"):
        after = len(text) - len(text[span.end :].lstrip(" \t"))
        return Span(span.path, span.start, after)
    return Span(span.path, start, end)
