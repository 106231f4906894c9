"""`flowc check --fix`: the edits of findings, applied to whole programs until none is left."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from flowc_dsl.check import Report
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Level
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
    texts = Texts(files, main, root, check_texts(files, main, today, checked.path, root))
    done = fixed_texts(texts, allowed, today, lambda it: wanted(it, main, policy, entries)[0])
    fixes.codes.update(found.code for found in done.fixed)
    why = "an edit was left out: it would bring another error"
    fixes.refused |= {shown_path(root / d.primary.span.path): why for d in done.refused}
    for name, data in done.texts.files.items():
        path, before = paths[name], program.files[name]
        old = fixes.changed[path][0] if path in fixes.changed else before
        if data != old:
            fixes.changed[path] = (old, data)


@dataclass(frozen=True, slots=True)
class Done:
    """A program after its fixes, what they mended, and what was left out."""

    texts: Texts
    fixed: tuple[Diagnostic, ...] = ()
    refused: tuple[Diagnostic, ...] = ()


def fixed_texts(
    texts: Texts,
    allowed: frozenset[Applicability],
    today: date,
    choose: Callable[[Report], Iterable[Diagnostic]] = lambda report: report.diagnostics,
) -> Done:
    """Rounds of edits, until there is none to make; `choose` says which findings count."""
    done = Done(texts)
    barred: set[tuple[str, str, str]] = set()
    for _ in range(ROUNDS_MAX):
        found = choose(done.texts.checked.report)
        taken = done.texts.mended([d for d in found if _said(d) not in barred], allowed, today)
        if taken is None:
            break
        texts, fixed, refused = taken
        done = Done(texts, (*done.fixed, *fixed), (*done.refused, *refused))
        barred |= {_said(diagnostic) for diagnostic in refused}
        if not fixed:
            break
    return done


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

        None if there is nothing to apply.
        """
        given = self._editable()
        result = apply_edits(found, given, allowed)
        if not result.fixed:
            return None
        search = _Search(self, given, allowed, today)
        search.add(result.fixed)
        if search.then is None:
            return self, (), search.refused
        return search.then, search.taken, search.refused

    def _editable(self) -> dict[str, str]:
        """Texts that give back their file's bytes."""
        assert self.checked.compilation is not None
        texts = {p: source.text for p, source in self.checked.compilation.sources.items()}
        before = self.files
        return {p: t for p, t in texts.items() if p in before and _bytes(t, before[p]) == before[p]}

    def edited(self, result: Fixed, today: date, *, only_safe: bool) -> Texts | None:
        """None where the text would be more broken, or as broken after its faults were mended, or
        where what is safe would bring an error; who asks for guesses will see what they bring."""
        files = dict(self.files)
        for path, text in result.texts.items():
            old = self.files[path]
            files[path] = _bytes(_laid_out(text, old), old)
        then = check_texts(files, self.main, today, self.checked.path, self.root)
        mends_text = any(found.code in SYNTAX_CODES for found in result.fixed)
        if then.compilation is None or _broken(then) > _broken(self.checked) - mends_text:
            return None
        judged = self.checked.report.judged and only_safe
        if judged and _errors(then) - _errors(self.checked):
            return None
        return Texts(files, self.main, self.root, then)


@dataclass(slots=True)
class _Search:
    """As many diagnostics as can be mended together: halves of halves, where all of them can't."""

    texts: Texts
    given: dict[str, str]
    allowed: frozenset[Applicability]
    today: date
    taken: tuple[Diagnostic, ...] = ()
    refused: tuple[Diagnostic, ...] = ()
    then: Texts | None = None

    def add(self, found: Sequence[Diagnostic]) -> None:
        """Takes what of them can be taken on top of what is."""
        result = apply_edits([*self.taken, *found], self.given, self.allowed)
        then = self.texts.edited(result, self.today, only_safe=self.allowed == {"safe"})
        if then is not None:
            self.taken, self.then = result.fixed, then
        elif len(found) == 1:
            self.refused += tuple(found)
        else:
            self.add(found[: len(found) // 2])
            self.add(found[len(found) // 2 :])


def _laid_out(text: str, old: bytes) -> str:
    """As `flowc fmt` has it, if the file was so before."""
    from flowc_dsl.format.formatter import kept_format

    return kept_format(old.removeprefix(BOM_UTF8).decode(errors="replace"), text)


def _errors(checked: CheckedProgram) -> Counter[tuple[str, str, str]]:
    found = checked.report.diagnostics
    return Counter(_said(diagnostic) for diagnostic in found if diagnostic.level == Level.ERROR)


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
