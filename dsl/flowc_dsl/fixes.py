"""Edits that would mend findings, where that takes more than the finding itself knows.

An edit is safe if a program that could run before runs the same afterwards, and if it is the only
way to mend the finding that keeps what was written. So a slip of one known name is mended safely,
and an event that is emitted and declared nowhere is declared. `exported` is safe: it says who
reads, and changes nothing that is done. `external` is not: it lets sources emit the event, and a
service that was to emit it may be what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from flowc_dsl.cutting import with_its_space
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Edit
from flowc_dsl.graph import FlowGraph
from flowc_dsl.model import Event, System, TypeRef
from flowc_dsl.rules.contract import named_fields
from flowc_dsl.source import Source, Span

if TYPE_CHECKING:
    from flowc_dsl.declaring import Places

_SCOPE_FOR: Final = {"FLW201": "exported", "FLW202": "external"}
_KEYWORD_BEFORE: Final = re.compile(r"\b(event|command)\s+\Z")
_SCOPE_BEFORE: Final = re.compile(r"\b(internal|external|exported)\s+\Z")
_ALLOW_BEFORE: Final = re.compile(r"\ballow\s+\Z")
_VERSION_AFTER: Final = re.compile(r"\s+v[0-9]+(?![A-Za-z0-9_])")
_REST_OF_ALLOW: Final = re.compile(
    r'(\s+because\s*"(?:[^"\\\n]|\\.)*")?(\s*until\s+\d{4}-\d\d-\d\d)?'
    r"(?=(?:\s|//[^\n]*\n)*(?:allow\b|forbid\b|require\b|limit\b|}))"
)
_WORD_CHARS_MAX: Final = 200  # that a keyword may be away from its name


def with_fixes(
    diagnostics: Iterable[Diagnostic], graph: FlowGraph, sources: Mapping[str, Source]
) -> Iterator[Diagnostic]:
    """The diagnostics, with edits where they have none and one is known."""
    diagnostics = list(diagnostics)
    unknown = {found.primary.span for found in diagnostics if found.code == "FLW207"}
    misnamed = {e.span for e in graph.system.exemptions if e.subject.span in unknown}
    places: Places | None = None
    for found in diagnostics:
        source = sources.get(found.primary.span.path)
        if found.code == "FLW207" and source is not None and _is_event_name(found, graph):
            if places is None:
                from flowc_dsl.declaring import Places  # noqa: PLC0415  # lazy: for faults alone

                places = Places(graph, sources)
            yield _unknown_event(found, graph, places)
        elif found.edits or source is None or found.primary.span in misnamed:
            yield found  # an exemption of a name that is unknown is not idle yet
        else:
            edits = tuple(_edits(found, graph, sources, source))
            yield replace(found, edits=edits) if edits else found


def _is_event_name(found: Diagnostic, graph: FlowGraph) -> bool:
    """Whether the name stands where an event is emitted or read."""
    tables = (graph.emits, graph.triggers, graph.watches)
    uses = (use for name in found.subjects for table in tables for use in table.get(name, ()))
    return any(use.ref.span == found.primary.span for use in uses)


def _unknown_event(found: Diagnostic, graph: FlowGraph, places: Places) -> Diagnostic:
    """It is declared, unless it is nearly a name that is known. One that is a slip of such a name,
    and is both emitted and read, may be an event of its own: what it is is a guess."""
    (name,) = found.subjects
    own = name in graph.emits and (name in graph.triggers or name in graph.watches)
    if own and all(edit.applicability == "unsafe" for edit in found.edits):
        edit = None if found.primary.text else places.declaration(name)
        if edit is not None:
            help_ = f"declare it: it is emitted and read as `{name}`"
            return replace(found, edits=(edit,), help=help_)
    if found.edits:
        guesses = tuple(replace(edit, applicability="unsafe") for edit in found.edits)
        doubtful = own or any(_is_next_fault(name, edit.text, graph) for edit in found.edits)
        return replace(found, edits=guesses) if doubtful else found
    other = bool(found.primary.text)  # it is declared, as something else
    edit = None if other else places.declaration(name)
    return replace(found, edits=(edit,)) if edit else found


def _is_next_fault(name: str, meant: str, graph: FlowGraph) -> bool:
    """Whether the name would be a fault as `meant`, too, which speaks against it: `meant` has the
    one emitter or handler that it may have, or none, or not the key or the fields that are named.
    """
    event = graph.system.events.get(meant)
    if event is None:
        return False
    emitted = event.external or bool(graph.emits.get(meant))
    if event.kind == "event" and name in graph.emits and emitted:
        return True
    if event.kind == "command" and name in graph.triggers and graph.triggers.get(meant):
        return True
    if name not in graph.emits and not emitted:
        return True
    fields = {field.name for field in event.fields}
    handlers = [use.handler for use in graph.triggers.get(name, ())]
    keys = {ref.name for h in handlers for ref in (h.by, h.ordered_by) if ref is not None}
    named = {ref.name for handler in handlers for _, ref in named_fields(handler)}
    return not named <= fields or not keys <= ({event.key.name} if event.key else set())


def _edits(
    found: Diagnostic, graph: FlowGraph, sources: Mapping[str, Source], source: Source
) -> Iterator[Edit]:
    system = graph.system
    if found.code in {"FLW901", "FLW902"}:
        span = _whole_exemption(found, system, source)
        if span is not None:
            safe = found.code == "FLW902"  # an expired one says why it was right once
            yield Edit(with_its_space(source.text, span), "", "safe" if safe else "unsafe")
    elif found.code in _SCOPE_FOR:
        event = _event_at(found, system)
        at = _before_keyword(event, source) if event else None
        if event is not None and at is not None:
            how = _trust_in_scope(found.code, event, system)
            yield Edit(Span(source.path, at, at), f"{_SCOPE_FOR[found.code]} ", how)
    elif found.code == "FLW509":
        yield from _key_that_is_asked(found, graph, sources)


def _trust_in_scope(code: str, event: Event, system: System) -> Literal["safe", "unsafe"]:
    """What would tell the outside about a person is not told unasked."""
    return "safe" if code == "FLW201" and not _is_personal(event, system) else "unsafe"


def _is_personal(event: Event, system: System) -> bool:
    """Whether a field of it, or of a type in it, is `@pii`."""
    pending, seen = list(event.fields), set[str]()
    types: list[TypeRef] = []
    while pending or types:
        if pending:
            field = pending.pop()
            if field.pii:
                return True
            types.append(field.type)
            continue
        ref = types.pop()
        types += ref.args
        if ref.name in system.types and ref.name not in seen:
            seen.add(ref.name)
            pending += system.types[ref.name].fields
    return False


def _whole_exemption(found: Diagnostic, system: System, source: Source) -> Span | None:
    """All of `allow … until …`, if nothing but space stands between its words."""
    span = found.primary.span
    if all(span != exemption.span for exemption in system.exemptions):
        return None
    allow = _ALLOW_BEFORE.search(_before(source, span.start))
    rest = _REST_OF_ALLOW.match(source.text, span.end)
    if allow is None or rest is None:
        return None
    return Span(span.path, span.start - len(allow[0]), rest.end())


def _event_at(found: Diagnostic, system: System) -> Event | None:
    """The event that the finding points at."""
    events = (system.events[name] for name in found.subjects if name in system.events)
    return next((event for event in events if event.span == found.primary.span), None)


def _before_keyword(event: Event, source: Source) -> int | None:
    """Where a scope could stand: before `event` or `command`, if there is none yet."""
    keyword = _KEYWORD_BEFORE.search(_before(source, event.span.start))
    if event.scope != "plain" or keyword is None:
        return None
    at = event.span.start - len(keyword[0])
    return None if _SCOPE_BEFORE.search(_before(source, at)) else at


def _key_that_is_asked(
    found: Diagnostic, graph: FlowGraph, sources: Mapping[str, Source]
) -> Iterator[Edit]:
    """`key FIELD` behind the name of the event, if all that ask for an order of it agree."""
    event = next((graph.system.events[n] for n in found.subjects if n in graph.system.events), None)
    source = sources.get(event.span.path) if event else None
    if event is None or event.key is not None or source is None:
        return
    handlers = [use.handler for use in graph.triggers.get(event.name, ())]
    asked = {ref.name for h in handlers for ref in (h.by, h.ordered_by) if ref is not None}
    if len(asked) == 1:
        version = _VERSION_AFTER.match(source.text, event.span.end)
        at = version.end() if version else event.span.end
        yield Edit(Span(source.path, at, at), f" key {asked.pop()}", "safe")


def _before(source: Source, offset: int) -> str:
    return source.text[max(0, offset - _WORD_CHARS_MAX) : offset]
