"""The driver: files in, a `Compilation` out. Pure, and never raises for what the files hold.

text -> tree -> model -> (rules, elsewhere) -> plan
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label, Level
from flowc_dsl.diagnostics.order import in_order
from flowc_dsl.lower.faults import TooMany
from flowc_dsl.lower.imports import imports_of, resolve_import
from flowc_dsl.lower.memo import Memo
from flowc_dsl.lower.passes import PASSES
from flowc_dsl.lower.work import Work
from flowc_dsl.model import System
from flowc_dsl.source import Source, Span
from flowc_dsl.syntax.tree import Tree

if TYPE_CHECKING:
    from flowc_dsl.plan import Plan

__all__ = ["Compilation", "ProgramError", "compile_program", "imports_of", "resolve_import"]


class ProgramError(Exception):
    """A plan was asked of a program with errors. `diagnostics` are the errors."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        plural = "s" if len(diagnostics) > 1 else ""
        message = f"{len(diagnostics)} error{plural}, the first: {diagnostics[0].message}"
        super().__init__(message)
        self.diagnostics = diagnostics


@dataclass(frozen=True)
class Compilation:
    """One program; everything is computed when it is first asked for, and once.

    `files` are texts (or bytes) by path from the project's root, `/`-separated; `main` is the
    path of the main file. A file that is imported and not there is a diagnostic. What `memo` keeps
    of files that are the same is not computed again, and it takes in what is.
    """

    files: Mapping[str, str | bytes]
    main: str
    memo: Memo = field(default_factory=Memo, compare=False, repr=False)

    @cached_property
    def _work(self) -> tuple[Work, tuple[Diagnostic, ...]]:
        work = Work(self.files, self.main, self.memo)
        failures: list[Diagnostic] = []
        for name, run in PASSES:
            try:
                run(work)
            except Exception as error:  # noqa: BLE001  # a bug of ours must not look like a crash
                failures.append(_failure(name, work.file or self.main, error))
                break
        return work, tuple(failures)

    @property
    def sources(self) -> dict[str, Source]:
        """The files of the program that were there, the main file first."""
        return self._work[0].sources

    @property
    def trees(self) -> dict[str, Tree]:
        """The tree of each file, the main file's first."""
        return self._work[0].trees

    @cached_property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The faults of text, files, names and types, in the one order of all reports."""
        work, failures = self._work
        faults = list(work.faults)
        if work.dropped:
            faults.append(TooMany(Span(self.main, 0, 0), work.dropped))
        return in_order([*(fault.diagnostic() for fault in faults), *failures])

    @cached_property
    def system(self) -> System | None:
        """What could be understood; None without a system's name, or after a failure of ours."""
        work, failures = self._work
        if work.system is None or failures:
            return None
        return System(
            name=work.system.name,
            span=work.system.span,
            files=tuple(work.trees),
            types=work.types,
            enums=work.enums,
            events=work.events,
            libraries=work.libraries,
            contexts=work.contexts,
            services=work.services,
            laws=tuple(work.laws),
            exemptions=tuple(work.exemptions),
            expects=tuple(work.expects),
            scenarios=tuple(work.scenarios),
            tests=tuple(work.tests),
        )

    def plan(self) -> Plan:
        """Raises `ProgramError` if there are errors; the rules have to be asked separately."""
        from flowc_dsl.planning import make_plan  # noqa: PLC0415  # lazy: a check needs no plan

        errors = tuple(d for d in self.diagnostics if d.level == Level.ERROR)
        if errors:
            raise ProgramError(errors)
        assert self.system is not None
        return make_plan(self.system)


def compile_program(
    files: Mapping[str, str | bytes], main: str, memo: Memo | None = None
) -> Compilation:
    """The compilation of a program; nothing is computed yet."""
    return Compilation(files, main, memo if memo is not None else Memo())


def _failure(name: str, path: str, error: Exception) -> Diagnostic:
    return Diagnostic(
        "FLW999",
        Level.ERROR,
        f"internal error while {name} of `{path}`: {type(error).__name__}: {error}",
        Label(Span(path, 0, 0)),
        help="the fault is not in your text; please report it with the files",
    )
