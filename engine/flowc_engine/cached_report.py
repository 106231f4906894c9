"""A report as bytes for the cache, and back.

The services' Python files are no part of the key: which of them a check asks for is known only
behind it. The entry says what was asked for and what was there, and holds while that is so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flowc_dsl.check import Report, Summary
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Edit, Label, Level
from flowc_dsl.pysource.read import Files, Unread
from flowc_dsl.source import Source, Span
from flowc_engine.cache import digest


def encode_report(report: Report, python: Mapping[str, bytes | Unread | None]) -> bytes:
    """Without the sources' texts, which the files have. `python`: what was asked for."""
    value = {
        "python": {path: _told(data) for path, data in python.items()},
        "diagnostics": [_packed(found) for found in report.diagnostics],
        "summary": asdict(report.summary),
        "sources": list(report.sources),
        "system": report.system,
        "judged": report.judged,
    }
    return json.dumps(value, separators=(",", ":")).encode()


def decode_report(data: bytes, files: Mapping[str, bytes], python: Files) -> Report | None:
    """What `encode_report` was given, for the same files; None for anything else."""
    try:
        value = json.loads(data)
        known = dict(files)
        for path, told in value["python"].items():
            found = python(path)
            if _told(found) != told:
                return None
            if isinstance(found, bytes):
                known[path] = found
        return Report(
            tuple(_unpacked(found) for found in value["diagnostics"]),
            Summary(**value["summary"]),
            {path: Source(path, known[path].decode("utf-8-sig")) for path in value["sources"]},
            value["system"],
            value["judged"],
        )
    except (ValueError, LookupError, TypeError):
        return None


def _told(data: bytes | Unread | None) -> str | None:
    """What tells a file from any other, from one that can't be read, and from none."""
    if data is None:
        return None
    return f"unread: {data.reason}" if isinstance(data, Unread) else digest(data).hex()


def _packed(found: Diagnostic) -> list[Any]:
    return [
        found.code,
        found.level,
        found.message,
        _label(found.primary),
        [_label(label) for label in found.related],
        found.notes,
        found.help,
        found.subjects,
        found.witness,
        [[*_label(Label(edit.span, edit.text)), edit.applicability] for edit in found.edits],
    ]


def _label(label: Label) -> list[Any]:
    return [label.span.path, label.span.start, label.span.end, label.text]


def _unpacked(value: list[Any]) -> Diagnostic:
    code, level, message, primary, related, notes, help_, subjects, witness, edits = value
    return Diagnostic(
        code,
        Level(level),
        message,
        _labelled(*primary),
        tuple(_labelled(*label) for label in related),
        tuple(notes),
        help_,
        tuple(subjects),
        tuple(witness),
        tuple(Edit(Span(path, start, end), text, how) for path, start, end, text, how in edits),
    )


def _labelled(path: str, start: int, end: int, text: str) -> Label:
    return Label(Span(path, start, end), text)
