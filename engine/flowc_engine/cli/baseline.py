"""`flowc baseline [PATHS]`: what a system may have wrong for now, which may only become less."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowc_dsl.baseline import (
    BaselineError,
    adopted,
    can_hold,
    compare,
    entry_of,
    grown,
    parse_baseline,
    render_baseline,
)
from flowc_dsl.baseline_matching import Entry
from flowc_dsl.rules.wording import counted
from flowc_engine.cli.check import check_all, day_option
from flowc_engine.cli.common import ColorChoice, ExitCode, color_option, fail, look_for, today
from flowc_engine.cli.common import shown_path as shown
from flowc_engine.cli.narrowing import BASELINE_FILE, levels_of, missing_mains, read_baseline
from flowc_engine.files import write_atomically

if TYPE_CHECKING:
    from flowc_engine.cli.checking import CheckedProgram


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one baseline: what it holds now, what went, what is new and not in it, what can't be."""

    path: Path
    entries: tuple[Entry, ...]
    gone: int
    new: tuple[Entry, ...]
    unfit: int


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--grow", is_flag=True, help="Also add findings that a baseline does not hold yet.")
@click.option(
    "--against",
    metavar="FILE",
    help="Write nothing; report what the baseline has and the earlier one in FILE (or -) had not.",
)
@day_option
@color_option
def command(
    paths: tuple[str, ...],
    grow: bool,
    against: str | None,
    day: datetime | None,
    color: ColorChoice,
) -> None:
    """Write down what is wrong with the systems at PATHS today, for `flowc check` to leave out.

    \b
    Examples:
      flowc baseline
      flowc baseline services/shop.flow
      git show main:flow-baseline.json | flowc baseline --against -

    The findings go into flow-baseline.json beside the root (the folder with flow.toml, else that of
    the main file), one by one. Commit it. A baseline that is there already only shrinks: what no
    longer occurs goes, and nothing is added without --grow. What has moved to another file, or has
    become less, is not new. Where a merge left a conflict in the file, both sides are joined first.
    Faults of text, names and exemptions can't be in it.

    Exit codes: 0 written (or, with --against, not grown), 1 there are findings that are not in it,
    2 usage or unreadable input, 3 a failure of flowc.
    """
    if against is not None:
        if grow:
            fail("--grow and --against exclude each other")
        _report_growth(paths, against, color)
    programs = check_all(paths or (".",), day.date() if day else today())
    _refuse_unjudged(programs)
    by_root: dict[Path, list[CheckedProgram]] = {}
    for one in programs:
        assert one.program is not None
        by_root.setdefault(one.program.root, []).append(one)
    outcomes = [_update(root, group, grow=grow) for root, group in sorted(by_root.items())]
    for outcome in outcomes:
        _tell(outcome)
    left = any(outcome.new or outcome.unfit for outcome in outcomes)
    sys.exit(ExitCode.FINDINGS if left else ExitCode.CLEAN)


def _refuse_unjudged(programs: Iterable[CheckedProgram]) -> None:
    """What the rules could not judge has no findings yet, and would have an empty baseline."""
    for one in programs:
        if one.program is None or one.at_root is None or not one.at_root.judged:
            code = max(one.exit_code, ExitCode.FINDINGS)
            path = look_for(sys.stderr).show(one.path)
            fail(f"{path} can't be judged yet; `flowc check {path}` says why", code)


def _update(root: Path, programs: list[CheckedProgram], *, grow: bool) -> Outcome:
    from flowc_dsl.diagnostics.policy import Policy

    path = root / BASELINE_FILE
    exists = path.exists()
    before = read_baseline(path, merge=True).entries if exists else ()
    policy = Policy(levels_of(root))
    mains = {one.program.main for one in programs if one.program}
    before = adopted(before, mains, missing_mains(root, before, mains))
    others = [e for e in before if e.main not in mains]
    entries = [e for e in others if (root / e.main).exists()]
    gone, unfit = len(others) - len(entries), 0
    new: list[Entry] = []
    for one in programs:
        assert one.program is not None
        assert one.at_root is not None
        compared = compare(policy.apply(one.at_root.diagnostics), one.program.main, before)
        entries += compared.kept
        gone += len(compared.gone)
        new += [entry_of(d, one.program.main) for d in compared.new if can_hold(d)]
        unfit += sum(d.level != "info" and not can_hold(d) for d in compared.new)
    if grow or not exists:
        entries, new = [*entries, *new], []
    text = render_baseline(entries).encode()
    if entries or exists:
        try:
            write_atomically(path, text)
        except OSError as error:
            fail(f"can't write {shown(path)}: {(error.strerror or str(error)).lower()}")
    return Outcome(path, tuple(entries), gone, tuple(new), unfit)


def _tell(outcome: Outcome) -> None:
    look = look_for(sys.stderr)
    went = f", {outcome.gone:,} gone" if outcome.gone else ""
    held = counted(len(outcome.entries), "finding")
    click.echo(f"{look.show(shown(outcome.path))}: {held}{went}", err=True)
    if outcome.new:
        codes = Counter(entry.code for entry in outcome.new)
        listed = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()))
        what = counted(len(outcome.new), "new finding")
        hint = "`flowc check` shows them, --grow adds them"
        click.echo(f"{what} not added ({listed}); {hint}", err=True)
    if outcome.unfit:
        what = counted(outcome.unfit, "finding")
        why = "faults of text, names and exemptions have to be mended"
        click.echo(f"{what} can't be in a baseline: {why}", err=True)


def _report_growth(paths: tuple[str, ...], against: str, color: ColorChoice) -> None:
    """FLW903 for each entry that the earlier baseline has not, and the end."""
    from flowc_dsl.diagnostics.full import render_full

    earlier = _earlier(against)
    look = look_for(sys.stdout, color)
    count = 0
    for path in _baselines(paths):
        source = read_baseline(path).source
        found = grown(source, earlier)
        count += len(found)
        click.echo(render_full(found, {source.path: source}, look), nl=False, color=True)
    text = f"the baseline grew by {counted(count, 'finding')}" if count else "no baseline grew"
    click.echo(text, err=True)
    sys.exit(ExitCode.FINDINGS if count else ExitCode.CLEAN)


def _earlier(against: str) -> tuple[Entry, ...]:
    if against != "-":
        return read_baseline(Path(against)).entries
    try:
        return parse_baseline(sys.stdin.buffer.read().decode("utf-8"))
    except UnicodeDecodeError:
        fail("standard input is not UTF-8")
    except BaselineError as error:
        fail(f"standard input is no baseline: {error}")


def _baselines(paths: tuple[str, ...]) -> list[Path]:
    """The one baseline at the paths: of a folder, of a main file's root, or the file itself."""
    from flowc_engine.loader import find_root

    found = set()
    for path in map(Path, paths or (".",)):
        if path.suffix == ".json":
            found.add(path)
        else:
            root = find_root(path / "main.flow" if path.is_dir() else path)
            found.add(root / BASELINE_FILE)
    if len(found) > 1:
        fail("--against compares one baseline; name one folder or file")
    return [path for path in found if path.exists()]  # one that is not there has not grown
