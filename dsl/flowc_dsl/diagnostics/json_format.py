"""The `json` and `json-lines` formats, version 1.0.

Fields may be added; what is there keeps its name and meaning.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label
from flowc_dsl.diagnostics.place import start_and_end
from flowc_dsl.source import Source, Span

FORMAT_VERSION = "1.0"


def render_json(
    diagnostics: Iterable[Diagnostic], sources: Mapping[str, Source], summary: Mapping[str, int]
) -> str:
    """One JSON document, in ASCII, so that any terminal and any pipe can carry it."""
    document = {
        "format_version": FORMAT_VERSION,
        "diagnostics": [diagnostic_json(found, sources) for found in diagnostics],
        "summary": dict(summary),
    }
    return json.dumps(document, indent=2) + "\n"


def render_json_lines(diagnostics: Iterable[Diagnostic], sources: Mapping[str, Source]) -> str:
    """One diagnostic a line, each as in `json`; nothing where there is none."""
    return "".join(f"{json.dumps(diagnostic_json(found, sources))}\n" for found in diagnostics)


def diagnostic_json(found: Diagnostic, sources: Mapping[str, Source]) -> dict[str, Any]:
    return {
        "code": found.code,
        "level": str(found.level),
        "message": found.message,
        **_place(found.primary.span, sources),
        "label": found.primary.text,
        "related": [_label(label, sources) for label in found.related],
        "help": found.help,
        "notes": list(found.notes),
        "witness": list(found.witness),
        "subjects": list(found.subjects),
        "edits": [
            {
                "text": edit.text,
                "applicability": edit.applicability,
                **_place(edit.span, sources),
            }
            for edit in found.edits
        ],
    }


def _label(label: Label, sources: Mapping[str, Source]) -> dict[str, Any]:
    return {"message": label.text, **_place(label.span, sources)}


def _place(span: Span, sources: Mapping[str, Source]) -> dict[str, Any]:
    start, end = start_and_end(span, sources)
    return {
        "path": span.path,
        "start": {"line": start.line, "column": start.column},
        "end": {"line": end.line, "column": end.column},
    }
