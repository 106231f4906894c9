"""Checking texts in tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from flowc_dsl.check import Report, check_system
from flowc_dsl.compile import compile_program
from flowc_dsl.diagnostics.diagnostic import Diagnostic
from flowc_dsl.pysource.read import read_code

TODAY = date(2026, 1, 15)


def check_text(text: str | Mapping[str, str], today: date = TODAY) -> Report:
    """The report on one text, or on texts by path of which `main.flow` is the main file, and those
    in `.py` the source of its services."""
    files = {"main.flow": text} if isinstance(text, str) else dict(text)
    compiled = compile_program(files, "main.flow")
    python = {path: t.encode() for path, t in files.items() if path.endswith(".py")}
    code = read_code(compiled.system, python.get) if compiled.system and python else None
    return check_system(
        compiled.system, today, before=compiled.diagnostics, sources=compiled.sources, code=code
    )


def findings(text: str | Mapping[str, str], today: date = TODAY) -> list[Diagnostic]:
    """Errors and warnings."""
    return [d for d in check_text(text, today).diagnostics if d.level != "info"]


def codes(text: str | Mapping[str, str], today: date = TODAY) -> list[str]:
    """The codes of errors and warnings, sorted."""
    return sorted(d.code for d in findings(text, today))
