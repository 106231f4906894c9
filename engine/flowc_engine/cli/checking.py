"""A main file, loaded, compiled and judged: a report in any case, never an exception."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
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
from flowc_engine import limits
from flowc_engine.cli.common import ExitCode, place_of, shown_path
from flowc_engine.inputs import Inputs

if TYPE_CHECKING:
    from flowc_dsl.compile import Compilation
    from flowc_dsl.drift.observed import Observed
    from flowc_dsl.lower.memo import Memo
    from flowc_dsl.model import System
    from flowc_dsl.plan import Plan
    from flowc_dsl.pysource.facts import Code
    from flowc_engine.loader import LoadedProgram
    from flowc_engine.pythonfiles import PythonFiles

    Observe = Callable[[Path, System], Observed | None]
    Look = Callable[[System], Observed | None]

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


@contextmanager
def without_collector() -> Iterator[None]:
    """A check makes a million objects and no rings of them: to look for rings takes a third of its
    time, and finds nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()  # else the first look after this one is at all of it, at the process's end
            gc.enable()


def check_path(
    path: Path, today: date, observe: Observe | None = None, *, cached: bool = False
) -> CheckedProgram:
    """Checks the program whose main file is `path`; with `observe`, also by what its log says.

    Only if not `cached` there is a compilation for sure.
    """
    from flowc_engine.loader import load

    return _check(shown_path(path), lambda: load(path), today, observe, cached=cached)


def check_stdin(text: bytes, today: date, *, cached: bool = False) -> CheckedProgram:
    """Checks a main file that is not on disk; its imports are sought from the current folder."""
    from flowc_engine.loader import load_text

    return _check(STDIN, lambda: load_text(text, Path(STDIN)), today, cached=cached)


def _check(
    shown: str,
    load: Callable[[], LoadedProgram],
    today: date,
    observe: Observe | None = None,
    *,
    cached: bool = False,
) -> CheckedProgram:
    try:
        program = load()
    except OSError as error:
        return _unreadable(shown, error)
    inputs = Inputs(program.files, program.main, today, _thresholds(program.root))
    root = program.root
    if observe is not None:  # a log is no value that a key could be of
        checked = check_inputs(inputs, shown, root, look=lambda system: observe(root, system))
    elif cached and sum(map(len, program.files.values())) >= limits.CACHE_FROM_BYTES:
        checked = _check_cached(program, inputs, shown)
    else:
        checked = check_inputs(inputs, shown, root)
    seen = seen_from_here(root)
    report = _rebased(checked.report, seen)
    return replace(checked, program=program, report=report, at_root=checked.report)


def _check_cached(program: LoadedProgram, inputs: Inputs, shown: str) -> CheckedProgram:
    """As `check_inputs`, with what earlier checks of the program left."""
    from flowc_engine.cache import Cache, code_key, key_of
    from flowc_engine.cached_report import decode_report, encode_report
    from flowc_engine.pythonfiles import PythonFiles

    cache, key, root = Cache.of(program.root, program.main), key_of(inputs), program.root
    data = cache.read("report", key)
    report = decode_report(data, program.files, PythonFiles(root)) if data is not None else None
    if report is not None:
        return CheckedProgram(shown, report, _exit_code(report))
    from flowc_engine.cached_files import CachedFiles

    files, python = CachedFiles(cache.read("files", code_key())), PythonFiles(root)
    memo = files.memo(program.files)
    checked = check_inputs(inputs, shown, root, memo, python=python)
    if checked.exit_code == ExitCode.FAILURE:
        return check_inputs(inputs, shown, root)
    cache.write("report", key, encode_report(checked.report, python.given))
    if any(kept.whole for kept in memo.files.values()):
        cache.write("files", code_key(), files.encoded(memo))
    return checked


def check_texts(
    files: Mapping[str, str | bytes], main: str, today: date, shown: str, root: Path
) -> CheckedProgram:
    """Checks a program that is in memory, with the thresholds and the Python source of its
    services below the root; paths stay as they are."""
    return check_inputs(Inputs(files, main, today, _thresholds(root)), shown, root)


def check_inputs(
    inputs: Inputs,
    shown: str,
    root: Path,
    memo: Memo | None = None,
    look: Look | None = None,
    python: PythonFiles | None = None,
) -> CheckedProgram:
    """Checks a program that is in memory, with the Python source of its services below the root;
    paths stay as they are. `look` asks its log; `python` notes which files were asked for."""
    from flowc_dsl.compile import compile_program

    try:
        compilation = compile_program(inputs.files, inputs.main, memo)
        system = compilation.system
        sound = system is not None and not any(
            found.level == Level.ERROR for found in compilation.diagnostics
        )
        observed = look(system) if look is not None and system is not None and sound else None
        report = check_system(
            system,
            inputs.today,
            before=compilation.diagnostics,
            sources=compilation.sources,
            thresholds=inputs.thresholds,
            code=_code(system, root, python),
            observed=observed,
        )
    except Exception as error:  # noqa: BLE001  # a fault of ours is a diagnostic too
        return _failed(shown, inputs.main, error)
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


def _code(system: System | None, root: Path, python: PythonFiles | None) -> Code | None:
    """The Python source of the services, if any of it is there."""
    runs = [service.run for service in system.services.values()] if system is not None else []
    if system is None or not any(run is not None and run.kind == "python" for run in runs):
        return None
    from flowc_dsl.pysource.read import read_code
    from flowc_engine.pythonfiles import PythonFiles

    return read_code(system, python or PythonFiles(root))


def _exit_code(report: Report) -> ExitCode:
    if any(found.code == INTERNAL_FAILURE.code for found in report.diagnostics):
        return ExitCode.FAILURE
    return ExitCode.FINDINGS if report.has_findings else ExitCode.CLEAN


def _rebased(report: Report, seen: Callable[[str], str]) -> Report:
    if seen is _as_it_is:
        return report
    sources = {seen(path): Source(seen(path), s.text) for path, s in report.sources.items()}
    diagnostics = tuple(rebased(found, seen) for found in report.diagnostics)
    return replace(report, diagnostics=diagnostics, sources=sources)


def _as_it_is(path: str) -> str:
    return path


def seen_from_here(root: Path) -> Callable[[str], str]:
    """From paths as seen from a root to those as seen from the current folder."""
    prefix = shown_path(root)
    if prefix == ".":
        return _as_it_is
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
