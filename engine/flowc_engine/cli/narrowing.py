"""What of the findings is reported: levels, codes that were asked for, and a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flowc_dsl.check import Report
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Level
from flowc_dsl.diagnostics.policy import Policy
from flowc_dsl.source import Source
from flowc_engine.cli.checking import CheckedProgram
from flowc_engine.cli.common import fail, shown_path

if TYPE_CHECKING:
    from flowc_dsl.baseline_matching import Entry

BASELINE_FILE = "flow-baseline.json"  # as `baseline.FILE_NAME`, whose import a check can do without
BASELINE_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Baseline:
    """`source` has the text, under its path as seen from the current folder."""

    source: Source
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for. `baseline` is a file named; `use_baseline` is whether to use any."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    baseline: Path | None = None
    use_baseline: bool = True

    @classmethod
    def of(
        cls,
        select: Iterable[str] = (),
        ignore: Iterable[str] = (),
        baseline: Path | None = None,
        *,
        use_baseline: bool = True,
    ) -> Wish:
        """Options as they were given; codes that don't exist end the process with 2."""
        return cls(
            _prefixes("--select", select), _prefixes("--ignore", ignore), baseline, use_baseline
        )

    def policy(self, root: Path | None) -> Policy:
        """With the levels of the root's `flow.toml`; a broken one ends the process with 2."""
        return Policy(levels_of(root) if root else {}, self.select, self.ignore)

    def baseline_of(self, root: Path) -> Baseline | None:
        """The baseline of a root, if there is one; a broken one ends the process with 2."""
        if not self.use_baseline:
            return None
        path = self.baseline or root / BASELINE_FILE
        return read_baseline(path) if self.baseline or path.exists() else None


def _prefixes(option: str, written: Iterable[str]) -> tuple[str, ...]:
    given = tuple(written)
    if not given:
        return ()
    from flowc_dsl.codes import UnknownCodeError, is_fixed, known_codes, prefixes

    try:
        found = prefixes(given)
    except UnknownCodeError as error:
        fail(f"{option}: {error}")
    if option == "--ignore":
        for prefix in found:
            if all(is_fixed(code) for code in known_codes() if code.startswith(prefix)):
                fail(f"--ignore: {prefix} can't be ignored: what is wrong with text, names or "
                     "exemptions is always reported")  # fmt: skip
    return found


def levels_of(root: Path) -> dict[str, Level | None]:
    """The levels that the `flow.toml` of a root sets; a broken one ends the process with 2."""
    from flowc_engine.loader import ROOT_FILE

    if not (root / ROOT_FILE).is_file():
        return {}
    from flowc_engine.config import ConfigError, load_config

    try:
        return load_config(root).levels
    except ConfigError as error:
        line = f":{error.line}" if error.line else ""
        fail(f"{shown_path(error.path)}{line}: {error.message}")


def read_baseline(path: Path, *, merge: bool = False) -> Baseline:
    """The baseline in a file. One that can't be read or used ends the process with 2.

    With `merge`, one that a merge left in conflict has the entries of both sides.
    """
    from flowc_dsl.baseline import BaselineError, is_in_conflict, merged, parse_baseline

    shown = shown_path(path)
    try:
        with path.open("rb") as file:
            data = file.read(BASELINE_BYTES_MAX + 1)
        if len(data) > BASELINE_BYTES_MAX:
            fail(f"{shown} has more than {BASELINE_BYTES_MAX:,} bytes")
        text = data.decode("utf-8")
        if is_in_conflict(text):
            if merge:
                return Baseline(Source(shown, text), merged(text))
            fail(f"{shown}: a merge left its conflict markers in it; "
                 "`flowc baseline` joins both sides, and takes out what is gone")  # fmt: skip
        return Baseline(Source(shown, text), parse_baseline(text))
    except OSError as error:
        fail(f"can't read {shown}: {(error.strerror or str(error)).lower()}")
    except UnicodeDecodeError:
        fail(f"{shown} is not UTF-8")
    except BaselineError as error:
        fail(f"{shown} is no baseline: {error}")


def wanted(
    report: Report, main: str, policy: Policy, entries: Iterable[Entry]
) -> tuple[tuple[Diagnostic, ...], tuple[Entry, ...], int]:
    """Of a report as seen from the root: what is to be reported, the entries of the baseline that
    no longer occur, and how many findings the baseline keeps out."""
    leveled = replace(policy, select=(), ignore=()).apply(report.diagnostics)
    own = tuple(entries)
    if not own:
        return policy.apply(leveled), (), 0
    from flowc_dsl.baseline import compare

    compared = compare(leveled, main, own)
    gone = compared.gone if report.judged else ()  # of broken text, nothing is known to be gone
    return policy.apply(compared.new), gone, len(compared.kept)


def narrow_all(checked: Iterable[CheckedProgram], wish: Wish) -> list[CheckedProgram]:
    """Each program with what of its findings is to be reported."""
    by_root: dict[Path | None, list[CheckedProgram]] = {}
    for one in checked:
        by_root.setdefault(one.program.root if one.program else None, []).append(one)
    if wish.baseline and len([root for root in by_root if root]) > 1:
        fail("--baseline: a baseline is of one folder, and these systems are of several")
    return [one for root, group in by_root.items() for one in _narrow_group(root, group, wish)]


def _narrow_group(
    root: Path | None, group: list[CheckedProgram], wish: Wish
) -> Iterator[CheckedProgram]:
    """Programs of one root. Entries that are gone are told once, with the first of them."""
    policy = wish.policy(root)
    if root is None:  # what can't be read has nothing else
        yield from group
        return
    baseline = wish.baseline_of(root)
    entries = _own_entries(baseline, root, group) if baseline else ()
    missing = missing_mains(root, entries, _mains(group))
    gone = [e for e in entries if e.main in missing]
    narrowed: list[CheckedProgram] = []
    for one in group:
        if one.program is None or one.at_root is None:
            narrowed.append(one)
            continue
        found, absent, held = wanted(one.at_root, one.program.main, policy, entries)
        gone += absent
        narrowed.append(one.narrowed(found, held))
    if baseline and gone:
        narrowed[0] = _with_gone(narrowed[0], gone, baseline, root, policy)
    yield from narrowed


def _own_entries(baseline: Baseline, root: Path, group: list[CheckedProgram]) -> tuple[Entry, ...]:
    from flowc_dsl.baseline import adopted

    mains = _mains(group)
    return adopted(baseline.entries, mains, missing_mains(root, baseline.entries, mains))


def missing_mains(root: Path, entries: Iterable[Entry], mains: set[str]) -> set[str]:
    """The main files of entries that are neither checked nor there any more."""
    named = {entry.main for entry in entries} - mains
    return {main for main in named if not (root / main).exists()}


def _mains(group: Iterable[CheckedProgram]) -> set[str]:
    return {one.program.main for one in group if one.program}


def _with_gone(
    checked: CheckedProgram, gone: list[Entry], baseline: Baseline, root: Path, policy: Policy
) -> CheckedProgram:
    from flowc_dsl.baseline import gone_entries

    shown = shown_path(root)
    command = "flowc baseline" if shown == "." else f"flowc baseline {shown}"
    found = policy.apply([gone_entries(sorted(gone), baseline.source, command)])
    report = checked.report.narrowed(
        (*checked.report.diagnostics, *found), checked.report.summary.baselined
    )
    sources = {**report.sources, baseline.source.path: baseline.source}
    return replace(checked, report=replace(report, sources=sources))
