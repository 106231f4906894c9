"""`flowc check --fix`: the edits of findings, applied to whole programs until none is left."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from flowc_dsl.diagnostics.diagnostic import Diagnostic
from flowc_dsl.diagnostics.fixing import Applicability, Fixed, apply_edits
from flowc_engine.cli.checking import CheckedProgram, check_texts
from flowc_engine.cli.common import fail, shown_path
from flowc_engine.cli.narrowing import Wish, wanted
from flowc_engine.files import write_atomically

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
    """Rounds of edits in memory, until there is none to make."""
    program = checked.program
    if program is None or checked.compilation is None:
        return
    root, main = program.root, program.main
    policy, baseline = wish.policy(root), wish.baseline_of(root)
    entries = baseline.entries if baseline else ()
    paths = {name: os.path.realpath(root / name) for name in program.files}
    files = {name: fixes.current(paths[name], data) for name, data in program.files.items()}
    barred: set[tuple[str, str, str]] = set()
    texts = Texts(files, main, root, check_texts(files, main, today, checked.path, root))
    for _ in range(ROUNDS_MAX):
        found, _, _ = wanted(texts.checked.report, main, policy, entries)
        taken = texts.mended([d for d in found if _said(d) not in barred], allowed, today)
        if taken is None:
            break
        texts, fixed, refused = taken
        fixes.codes.update(diagnostic.code for diagnostic in fixed)
        why = "an edit would leave its text as broken as it is"
        fixes.refused |= {shown_path(root / d.primary.span.path): why for d in refused}
        barred |= {_said(diagnostic) for diagnostic in refused}
        if not fixed:
            break
    files = texts.files
    for name, data in files.items():
        path, before = paths[name], program.files[name]
        old = fixes.changed[path][0] if path in fixes.changed else before
        if data != old:
            fixes.changed[path] = (old, data)


@dataclass(frozen=True, slots=True)
class Texts:
    """A program in memory, as far as it is fixed."""

    files: dict[str, bytes]
    main: str
    root: Path
    checked: CheckedProgram

    def mended(
        self, found: Sequence[Diagnostic], allowed: frozenset[Applicability], today: date
    ) -> tuple[Texts, Sequence[Diagnostic], Sequence[Diagnostic]] | None:
        """One round of edits, the diagnostics that it mended, and those that it must not.

        All at once, or, where those together don't do, the first that does alone. None if there is
        nothing to apply.
        """
        given = self._editable()
        result = apply_edits(found, given, allowed)
        if not result.fixed:
            return None
        then = self._edited(result, today)
        if then is not None:
            return then, result.fixed, ()
        refused: list[Diagnostic] = []
        for one in result.fixed if len(result.fixed) > 1 else ():
            then = self._edited(apply_edits([one], given, allowed), today)
            if then is not None:
                return then, (one,), refused
            refused.append(one)
        return self, (), result.fixed

    def _editable(self) -> dict[str, str]:
        """Texts that give back their file's bytes."""
        assert self.checked.compilation is not None
        texts = {p: source.text for p, source in self.checked.compilation.sources.items()}
        before = self.files
        return {p: t for p, t in texts.items() if p in before and _bytes(t, before[p]) == before[p]}

    def _edited(self, result: Fixed, today: date) -> Texts | None:
        """None where the text would be more broken, or as broken after its faults were mended."""
        files = self.files | {p: _bytes(text, self.files[p]) for p, text in result.texts.items()}
        then = check_texts(files, self.main, today, self.checked.path, self.root)
        mends_text = any(found.code in SYNTAX_CODES for found in result.fixed)
        if then.compilation is None or _broken(then) > _broken(self.checked) - mends_text:
            return None
        return Texts(files, self.main, self.root, then)


def _bytes(text: str, before: bytes) -> bytes:
    mark = BOM_UTF8 if before.startswith(BOM_UTF8) else b""
    return mark + text.encode("utf-8", "surrogatepass")


def _broken(checked: CheckedProgram) -> int:
    return sum(found.code in SYNTAX_CODES for found in checked.report.diagnostics)


def _said(found: Diagnostic) -> tuple[str, str, str]:
    """What it is recognised by after edits before it."""
    return found.code, found.primary.span.path, found.message


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
