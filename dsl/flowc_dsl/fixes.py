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
_EXEMPTION: Final = re.compile(r"allow\b")


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
    span = found.primary.span
    if found.code == "FLW902" and any(span == allow.span for allow in system.exemptions):
        if _EXEMPTION.match(source.text, span.start):
            yield Edit(_with_its_line(source.text, span), "", "safe")
    elif found.code in _SCOPE_FOR:
        at = _before_keyword(found, system, source)
        if at is not None:
            yield Edit(Span(span.path, at, at), f"{_SCOPE_FOR[found.code]} ", "unsafe")


def _before_keyword(found: Diagnostic, system: System, source: Source) -> int | None:
    """Where a scope could stand: before `event` or `command`, if there is none yet."""
    event = next((system.events[n] for n in found.subjects if n in system.events), None)
    if event is None or event.scope != "plain" or event.span != found.primary.span:
        return None
    before = source.text[: event.span.start]
    keyword = _KEYWORD_BEFORE.search(before)
    if keyword is None or _SCOPE_BEFORE.search(before[: keyword.start()]):
        return None
    return keyword.start()


def _with_its_line(text: str, span: Span) -> Span:
    """The span, and the rest of its lines if nothing else is on them."""
    start = text.rfind("\n", 0, span.start) + 1
    end = text.find("\n", span.end)
    end = len(text) if end < 0 else end + 1
    if text[start : span.start].strip(" \t") or text[span.end : end].strip(" \t\r\n"):
        while span.end < len(text) and text[span.end] in " \t":
            span = Span(span.path, span.start, span.end + 1)
        return span
    return Span(span.path, start, end)
