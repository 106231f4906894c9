"""`flowc check --fix`: the edits of findings, applied to whole programs until none is left."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flowc_dsl.diagnostics.diagnostic import Diagnostic
from flowc_dsl.diagnostics.fixing import Applicability, apply_edits
from flowc_engine.cli.checking import CheckedProgram, check_texts
from flowc_engine.cli.common import fail, shown_path
from flowc_engine.cli.narrowing import Wish, wanted
from flowc_engine.files import write_atomically

if TYPE_CHECKING:
    from flowc_dsl.compile import Compilation

ROUNDS_MAX: Final = 10  # an edit can bring out another finding that has one; it may also never end
SYNTAX_CODES: Final = tuple(f"FLW00{n}" for n in range(1, 7))


@dataclass(slots=True)
class Fixes:
    """What was done: old and new bytes by absolute path, and how many findings by code.

    `refused` says for a path why its edits were not taken.
    """

    changed: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)

    def current(self, path: str, data: bytes) -> bytes:
        """The bytes of a file with the fixes so far."""
        return self.changed[path][1] if path in self.changed else data


def find_fixes(
    programs: Iterable[CheckedProgram], wish: Wish, today: date, *, unsafe: bool
) -> Fixes:
    """The fixes of all that would be reported; nothing is written."""
    allowed: frozenset[Applicability] = frozenset({"safe", "unsafe"} if unsafe else {"safe"})
    fixes = Fixes()
    for checked in programs:
        _fix_program(checked, wish, today, allowed, fixes)
    return fixes


def _fix_program(
    checked: CheckedProgram,
    wish: Wish,
    today: date,
    allowed: frozenset[Applicability],
    fixes: Fixes,
) -> None:
    """Rounds of edits in memory. One after which more of the text is broken is not taken."""
    program = checked.program
    if program is None or checked.compilation is None:
        return
    root, main = program.root, program.main
    policy, baseline = wish.policy(root), wish.baseline_of(root)
    entries = baseline.entries if baseline else ()
    paths = {name: os.path.realpath(root / name) for name in program.files}
    files = {name: fixes.current(paths[name], data) for name, data in program.files.items()}
    now = check_texts(files, main, today, checked.path)
    for _ in range(ROUNDS_MAX):
        assert now.compilation is not None
        found, _, _ = wanted(now.report, main, policy, entries)
        result = apply_edits(found, _editable(files, now.compilation), allowed)
        if not result.fixed:
            break
        edited = files | {n: _bytes(text, files[n]) for n, text in result.texts.items()}
        then = check_texts(edited, main, today, checked.path)
        if then.compilation is None or _broken(then) > _broken(now):
            why = "its edits would break the text"
            fixes.refused |= {shown_path(root / name): why for name in result.texts}
            break
        files, now = edited, then
        fixes.codes.update(diagnostic.code for diagnostic in result.fixed)
    for name, data in files.items():
        path, before = paths[name], program.files[name]
        old = fixes.changed[path][0] if path in fixes.changed else before
        if data != old:
            fixes.changed[path] = (old, data)


def _editable(files: dict[str, bytes], compilation: Compilation) -> dict[str, str]:
    """Texts that give back their file's bytes."""
    texts = {path: source.text for path, source in compilation.sources.items() if path in files}
    return {p: text for p, text in texts.items() if _bytes(text, files[p]) == files[p]}


def _bytes(text: str, before: bytes) -> bytes:
    mark = BOM_UTF8 if before.startswith(BOM_UTF8) else b""
    return mark + text.encode("utf-8", "surrogatepass")


def _broken(checked: CheckedProgram) -> int:
    return sum(_is_syntax(found) for found in checked.report.diagnostics)


def _is_syntax(found: Diagnostic) -> bool:
    return found.code in SYNTAX_CODES


def write_fixes(fixes: Fixes) -> None:
    """Writes each file whole or not at all. One that changed meanwhile, or that can't be written,
    ends the process with 2."""
    for path, (old, new) in fixes.changed.items():
        target = Path(path)
        try:
            if target.read_bytes() != old:
                fail(f"{shown_path(target)} changed while it was being fixed; check again")
            write_atomically(target, new)
        except OSError as error:
            fail(f"can't write {shown_path(target)}: {(error.strerror or str(error)).lower()}")
