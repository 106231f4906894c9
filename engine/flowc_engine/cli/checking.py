"""A main file, loaded, compiled and judged: a report in any case, never an exception."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from flowc_dsl.check import Report, Summary, check_system
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label, Level
from flowc_dsl.diagnostics.rebase import rebased
from flowc_dsl.rules.registry import INTERNAL_FAILURE, UNREADABLE
from flowc_dsl.source import Source, Span
from flowc_dsl.thresholds import DEFAULTS, Thresholds
from flowc_engine.cli.common import ExitCode, place_of, shown_path

if TYPE_CHECKING:
    from flowc_dsl.compile import Compilation
    from flowc_dsl.drift.observed import Observed
    from flowc_dsl.model import System
    from flowc_dsl.plan import Plan
    from flowc_dsl.pysource.facts import Code
    from flowc_engine.loader import LoadedProgram

    Observe = Callable[[Path, System], Observed | None]

STDIN = "<stdin>"


@dataclass(frozen=True, slots=True)
class CheckedProgram:
    """`report` names paths as seen from the current folder; `compilation` and
    `at_root`, which is the same report, as seen from the root."""

    path: str
    report: Report
    exit_code: ExitCode
    program: LoadedProgram | None = None
    compilation: Compilation | None = None
    at_root: Report | None = None

    @property
    def plan(self) -> Plan:
        """What the engine runs. Only of a program without errors, as `load_checked` gives it."""
        assert self.compilation is not None
        assert not self.report.has_errors
        return self.compilation.plan()

    def narrowed(self, diagnostics: Iterable[Diagnostic], baselined: int) -> CheckedProgram:
        """The same program with these diagnostics alone, whose paths are as seen from the root."""
        assert self.program is not None
        assert self.at_root is not None
        at_root = self.at_root.narrowed(diagnostics, baselined)
        report = _rebased(at_root, seen_from_here(self.program.root))
        return replace(self, report=report, exit_code=_exit_code(report), at_root=at_root)


def check_path(path: Path, today: date, observe: Observe | None = None) -> CheckedProgram:
    """Checks the program whose main file is `path`; with `observe`, also by what its log says."""
    from flowc_engine.loader import load

    return _check(shown_path(path), lambda: load(path), today, observe)


def check_stdin(text: bytes, today: date) -> CheckedProgram:
    """Checks a main file that is not on disk; its imports are sought from the current folder."""
    from flowc_engine.loader import load_text

    return _check(STDIN, lambda: load_text(text, Path(STDIN)), today)


def _check(
    shown: str,
    load: Callable[[], LoadedProgram],
    today: date,
    observe: Observe | None = None,
) -> CheckedProgram:
    try:
        program = load()
    except OSError as error:
        return _unreadable(shown, error)
    look = (lambda system: observe(program.root, system)) if observe else None
    checked = check_texts(program.files, program.main, today, shown, program.root, look)
    seen = seen_from_here(program.root)
    report = _rebased(checked.report, seen)
    return replace(checked, program=program, report=report, at_root=checked.report)


def check_texts(
    files: Mapping[str, str | bytes],
    main: str,
    today: date,
    shown: str,
    root: Path,
    look: Callable[[System], Observed | None] | None = None,
) -> CheckedProgram:
    """Checks a program that is in memory, with the thresholds and the Python source of its
    services below the root; paths stay as they are. `look` asks its log."""
    from flowc_dsl.compile import compile_program

    try:
        compilation = compile_program(files, main)
        system = compilation.system
        sound = system is not None and not any(
            found.level == Level.ERROR for found in compilation.diagnostics
        )
        observed = look(system) if look is not None and system is not None and sound else None
        report = check_system(
            system,
            today,
            before=compilation.diagnostics,
            sources=compilation.sources,
            thresholds=_thresholds(root),
            code=_code(system, root),
            observed=observed,
        )
    except Exception as error:  # noqa: BLE001  # a fault of ours is a diagnostic too
        return _failed(shown, main, error)
    return CheckedProgram(shown, report, _exit_code(report), compilation=compilation)


def _thresholds(root: Path) -> Thresholds:
    """Those of the root's `flow.toml`. A broken one is told by the commands that depend on it."""
    from flowc_engine.loader import ROOT_FILE

    if not (root / ROOT_FILE).is_file():
        return DEFAULTS
    from flowc_engine.config import ConfigError, load_config

    try:
        return load_config(root).thresholds
    except ConfigError:
        return DEFAULTS


def _code(system: System | None, root: Path) -> Code | None:
    """The Python source of the services, if any of it is there."""
    runs = [service.run for service in system.services.values()] if system is not None else []
    if system is None or not any(run is not None and run.kind == "python" for run in runs):
        return None
    from flowc_dsl.pysource.read import read_code
    from flowc_engine.pythonfiles import PythonFiles

    return read_code(system, PythonFiles(root))


def _exit_code(report: Report) -> ExitCode:
    if any(found.code == INTERNAL_FAILURE.code for found in report.diagnostics):
        return ExitCode.FAILURE
    return ExitCode.FINDINGS if report.has_findings else ExitCode.CLEAN


def _rebased(report: Report, seen: Callable[[str], str]) -> Report:
    sources = {seen(path): Source(seen(path), s.text) for path, s in report.sources.items()}
    diagnostics = tuple(rebased(found, seen) for found in report.diagnostics)
    return replace(report, diagnostics=diagnostics, sources=sources)


def seen_from_here(root: Path) -> Callable[[str], str]:
    """From paths as seen from a root to those as seen from the current folder."""
    prefix = shown_path(root)
    if prefix == ".":
        return lambda path: path
    return lambda path: os.path.normpath(f"{prefix}/{path}")


def _unreadable(shown: str, error: OSError) -> CheckedProgram:
    from flowc_dsl.syntax.faults import TooLarge
    from flowc_engine.loader import FileTooLargeError

    reason = (error.strerror or type(error).__name__).lower()
    path = shown_path(Path(os.fsdecode(error.filename))) if error.filename else shown
    if isinstance(error, FileTooLargeError):
        return _only(shown, TooLarge(path).diagnostic(), ExitCode.USAGE)
    found = Diagnostic(
        code=UNREADABLE.code,
        level=UNREADABLE.level,
        message=f"can't read `{path}`: {reason}",
        primary=Label(Span(path, 0, 0)),
        help="name a file that exists and that you may read",
        subjects=(path,),
    )
    return _only(shown, found, ExitCode.USAGE)


def _failed(shown: str, main: str, error: Exception) -> CheckedProgram:
    fault = f"{type(error).__name__} at {place_of(error)}"
    found = Diagnostic(
        code=INTERNAL_FAILURE.code,
        level=INTERNAL_FAILURE.level,
        message=f"flowc failed while it checked `{main}`: {fault}",
        primary=Label(Span(shown, 0, 0)),
        notes=(str(error)[:500],) if str(error) else (),
        help="this is a fault of flowc: please report it with the text and this message",
        subjects=(shown,),
    )
    return _only(shown, found, ExitCode.FAILURE)


def _only(shown: str, found: Diagnostic, code: ExitCode) -> CheckedProgram:
    return CheckedProgram(shown, Report((found,), Summary(errors=1)), code)
