"""The `sarif` format: the Static Analysis Results Interchange Format, version 2.1.0."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, Final, Protocol

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Edit, Label, Level
from flowc_dsl.diagnostics.fixing import applicability
from flowc_dsl.diagnostics.place import start_and_end
from flowc_dsl.source import Source, Span

VERSION: Final = "2.1.0"
SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
FINGERPRINT: Final = "flowcFinding/v1"
_IN_URI: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")
_LEVELS: Final = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}


class Document(Protocol):
    """What is known of a code: `text` is its document in Markdown, `summary` its first sentence."""

    @property
    def name(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def text(self) -> str: ...


def render_sarif(
    diagnostics: Iterable[Diagnostic],
    sources: Mapping[str, Source],
    documents: Mapping[str, Document],
    version: str,
    *,
    succeeded: bool = True,
) -> str:
    """One log with one run, in ASCII.

    `documents` say what the codes mean, by code; `version` is flowc's own; `succeeded` says whether
    all that was to be read could be judged.
    """
    found = list(diagnostics)
    codes = sorted({diagnostic.code for diagnostic in found})
    seen: Counter[str] = Counter()
    run = {
        "tool": {
            "driver": {
                "name": "flowc",
                "version": version,
                "rules": [_rule(code, documents.get(code)) for code in codes],
            }
        },
        "invocations": [{"executionSuccessful": succeeded}],
        "columnKind": "unicodeCodePoints",
        "results": [_result(diagnostic, sources, codes, seen) for diagnostic in found],
    }
    return json.dumps({"$schema": SCHEMA, "version": VERSION, "runs": [run]}, indent=2) + "\n"


def _rule(code: str, document: Document | None) -> dict[str, Any]:
    if document is None:
        return {"id": code, "help": {"text": f"flowc explain {code}"}}
    what = document.text.partition("## What it does\n")[2].partition("\n## ")[0]
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in document.name.split("-")),
        "shortDescription": {"text": document.summary},
        "fullDescription": {"text": " ".join(what.split())},
        "defaultConfiguration": {"level": _LEVELS[Level(document.level)]},
        "help": {"text": f"flowc explain {code}", "markdown": document.text},
    }


def _result(
    found: Diagnostic, sources: Mapping[str, Source], codes: Sequence[str], seen: Counter[str]
) -> dict[str, Any]:
    text = "\n".join((found.message, *found.notes, *((found.help,) if found.help else ())))
    result: dict[str, Any] = {
        "ruleId": found.code,
        "ruleIndex": codes.index(found.code),
        "level": _LEVELS[found.level],
        "message": {"text": text},
        "locations": [_location(found.primary, sources)],
        "partialFingerprints": {FINGERPRINT: _fingerprint(found, seen)},
    }
    if found.related:
        result["relatedLocations"] = [
            {"id": number, **_location(label, sources)}
            for number, label in enumerate(found.related, 1)
        ]
    properties = {"subjects": list(found.subjects), "witness": list(found.witness)}
    if any(properties.values()):
        result["properties"] = {name: value for name, value in properties.items() if value}
    if found.edits:
        result["fixes"] = [_fix(found, sources)]
    return result


def _fingerprint(found: Diagnostic, seen: Counter[str]) -> str:
    """The same while lines move; findings that say the same of one file are numbered."""
    text = f"{found.code}\0{found.primary.span.path}\0{found.message}"
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    seen[digest] += 1
    return f"{digest}:{seen[digest]}"


def _location(label: Label, sources: Mapping[str, Source]) -> dict[str, Any]:
    place = {
        "physicalLocation": {
            "artifactLocation": _artifact(label.span.path),
            "region": _region(label.span, sources) | _snippet(label.span, sources),
        }
    }
    return place | ({"message": {"text": label.text}} if label.text else {})


def _artifact(path: str) -> dict[str, str]:
    """A path from here is relative to whatever the reader calls the root of the sources."""
    if PurePosixPath(path).is_absolute():
        return {"uri": f"file://{_quoted(path)}"}
    return {"uri": _quoted(path), "uriBaseId": "%SRCROOT%"}


def _quoted(path: str) -> str:
    data = path.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if byte in _IN_URI else f"%{byte:02X}" for byte in data)


def _region(span: Span, sources: Mapping[str, Source]) -> dict[str, int]:
    start, end = start_and_end(span, sources)
    return {
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    }


def _snippet(span: Span, sources: Mapping[str, Source]) -> dict[str, Any]:
    """The text itself, for a reader who has not the file."""
    source = sources.get(span.path)
    text = source.text[span.start : span.end] if source else ""
    return {"snippet": {"text": text}} if text else {}


def _fix(found: Diagnostic, sources: Mapping[str, Source]) -> dict[str, Any]:
    by_path: dict[str, list[Edit]] = {}
    for edit in found.edits:
        by_path.setdefault(edit.span.path, []).append(edit)
    changes = [
        {
            "artifactLocation": _artifact(path),
            "replacements": [
                {
                    "deletedRegion": _region(edit.span, sources),
                    "insertedContent": {"text": edit.text},
                }
                for edit in edits
            ],
        }
        for path, edits in by_path.items()
    ]
    return {
        "description": {"text": found.help or found.message},
        "artifactChanges": changes,
        "properties": {"applicability": applicability(found)},
    }
