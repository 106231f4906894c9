"""The `github` format: a workflow command a diagnostic, which becomes a note beside the line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Level
from flowc_dsl.diagnostics.place import start_and_end
from flowc_dsl.source import Source

_COMMANDS: Final = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "notice"}
_DATA: Final = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY: Final = str.maketrans(
    {"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"},
)


def render_github(diagnostics: Iterable[Diagnostic], sources: Mapping[str, Source]) -> str:
    """One line a diagnostic, whatever is in its message."""
    return "".join(f"{_command(found, sources)}\n" for found in diagnostics)


def _command(found: Diagnostic, sources: Mapping[str, Source]) -> str:
    start, end = start_and_end(found.primary.span, sources)
    properties: dict[str, str | int] = {"file": found.primary.span.path, "line": start.line}
    if start.line == end.line:  # over several lines GitHub takes no columns
        properties |= {"col": start.column, "endLine": end.line, "endColumn": end.column}
    else:
        properties |= {"endLine": end.line}
    properties["title"] = found.code
    written = ",".join(f"{k}={str(v).translate(_PROPERTY)}" for k, v in properties.items())
    text = "\n".join((found.message, *found.notes, *((found.help,) if found.help else ())))
    return f"::{_COMMANDS[found.level]} {written}::{text.translate(_DATA)}"
