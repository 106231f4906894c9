"""A program that is edited: each report costs what changed, and the rules.

For editors, and for whoever checks the same program again and again. What is kept is, by file,
text -> tree -> events and services (`lower.memo` says when it holds); names, graph and rules are
over the whole system, and run again whenever any text changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from flowc_dsl.check import Report, check_system
from flowc_dsl.compile import Compilation, compile_program
from flowc_dsl.diagnostics.diagnostic import Diagnostic
from flowc_dsl.lower.memo import Memo
from flowc_dsl.thresholds import DEFAULTS, Thresholds


class Session:
    """The files of one program as they are now; `main` is the path of its main file.

    `report` is what a fresh check of the same files on the same day would say, exactly. `faults`
    are those of it that the text and the names have: they are there in a third of the time, so an
    editor shows them first.
    """

    def __init__(
        self,
        main: str,
        files: Mapping[str, str | bytes] | None = None,
        memo: Memo | None = None,
    ) -> None:
        self.main = main
        self._files = dict(files or {})
        self._memo = memo if memo is not None else Memo()
        self._compilation: Compilation | None = None
        self._report: tuple[tuple[date, Thresholds], Report] | None = None

    def update(self, path: str, text: str | bytes | None) -> None:
        """The file is this now; None takes it away."""
        if text is None:
            self._memo.files.pop(path, None)
            changed = self._files.pop(path, None) is not None
        else:
            changed = self._files.get(path) != text
            self._files[path] = text
        if changed:
            self._compilation = self._report = None

    def faults(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the text, the files and the names."""
        return self._compiled().diagnostics

    def _compiled(self) -> Compilation:
        if self._compilation is None:
            self._compilation = compile_program(self._files, self.main, self._memo)
        return self._compilation

    def report(self, today: date, thresholds: Thresholds = DEFAULTS) -> Report:
        """What is found in the files; the same object as long as nothing changes."""
        asked = (today, thresholds)
        if self._report is None or self._report[0] != asked:
            compilation = self._compiled()
            report = check_system(
                compilation.system,
                today,
                before=compilation.diagnostics,
                sources=compilation.sources,
                thresholds=thresholds,
            )
            self._report = (asked, report)
        return self._report[1]
