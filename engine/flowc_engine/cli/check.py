"""`flowc check [PATHS]`: the guidelines over whole systems."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from flowc_dsl.rules.wording import counted
from flowc_engine.cli.checking import CheckedProgram, check_path, check_stdin, without_collector
from flowc_engine.cli.common import ColorChoice, ExitCode, color_option, fail, look_for, today
from flowc_engine.cli.narrowing import Wish, narrow_all
from flowc_engine.cli.reporting import FORMATS, Checked, Format, write_report

if TYPE_CHECKING:
    from flowc_engine.cli.fixing import Fixes
    from flowc_engine.cli.watching import Watcher


def day_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--today`, as the parameter `day`."""
    return click.option(
        "--today",
        "day",
        type=click.DateTime(["%Y-%m-%d"]),
        metavar="YYYY-MM-DD",
        help="Judge the dates of exemptions as of this day.",
    )(command)


@click.command()
@click.argument("paths", nargs=-1)
@click.option(
    "--output-format",
    "output_format",
    type=click.Choice(FORMATS),
    default="full",
    show_default=True,
    help="How findings are written.",
)
@click.option(
    "--select",
    metavar="CODES",
    multiple=True,
    help="Report these codes alone: FLW101, or FLW2 for all that begin so; commas between.",
)
@click.option("--ignore", metavar="CODES", multiple=True, help="Report all but these codes.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Leave out the findings in FILE, not in flow-baseline.json beside the root.",
)
@click.option("--no-baseline", is_flag=True, help="Report what a baseline holds, too.")
@click.option("--log", "with_log", is_flag=True, help="Judge by what the event logs say, too.")
@click.option("--fix", is_flag=True, help="Mend what can be mended safely, then report the rest.")
@click.option("--unsafe-fixes", is_flag=True, help="With --fix: also edits that are guesses.")
@click.option("--diff", is_flag=True, help="With --fix: write nothing, show what would change.")
@click.option("--no-cache", is_flag=True, help="Neither use nor write .flow/cache.")
@click.option("--info", "infos", is_flag=True, help="Show each info, not one line a code.")
@day_option
@color_option
@without_collector()
def command(
    paths: tuple[str, ...],
    output_format: Format,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    baseline: Path | None,
    no_baseline: bool,
    with_log: bool,
    fix: bool,
    unsafe_fixes: bool,
    diff: bool,
    no_cache: bool,
    infos: bool,
    day: datetime | None,
    color: ColorChoice,
) -> None:
    """Check the guidelines over the systems at PATHS.

    \b
    Examples:
      flowc check
      flowc check shop.flow --output-format json
      flowc check --select FLW1,FLW2 --ignore FLW203
      flowc check --fix --diff
      flowc check shop.flow --log
      flowc check --output-format sarif > flowc.sarif

    A path is a main file (one with `system NAME`), a folder that is searched for main files, or `-`
    for a main file on standard input. Without paths the current folder is searched.

    Levels of codes are set in flow.toml: under [levels], FLW201 = "error", "warning", "info" or
    "off". Findings that a baseline holds are counted and not reported; see `flowc baseline --help`.

    --log reads the event log of each system that has run, and adds FLW407, 801 to 804 and 904: what
    can't be read any more, what ran and is not declared, what is declared and never ran, and what
    did not hold. `flowc drift` shows the edges.

    Exit codes: 0 clean, 1 errors or warnings (or, with --diff, something to fix), 2 usage or
    unreadable input, 3 a failure of flowc.
    """
    _agree(paths, baseline, no_baseline=no_baseline, fix=fix, more=unsafe_fixes or diff)
    as_of = day.date() if day else today()
    wish = Wish.of(select, ignore, baseline, use_baseline=not no_baseline)
    watcher = _watcher(with_log=with_log)
    programs = check_all(paths or (".",), as_of, watcher, cached=not (no_cache or fix))
    if fix:
        from flowc_engine.cli.fixing import find_fixes, write_fixes

        fixes = find_fixes(programs, wish, as_of, unsafe=unsafe_fixes)
        if diff:
            _show_fixes(fixes, programs, color)
        write_fixes(fixes)
        _tell(fixes, "fixed")
        if fixes.changed:
            programs = check_all(paths or (".",), as_of, _watcher(with_log=with_log))
    checked = Checked.of(narrow_all(programs, wish))
    write_report(checked, output_format, color, infos=infos)
    sys.exit(checked.exit_code)


def _agree(
    paths: tuple[str, ...], baseline: Path | None, *, no_baseline: bool, fix: bool, more: bool
) -> None:
    """Ends with 2 where options contradict each other."""
    if baseline and no_baseline:
        fail("--baseline and --no-baseline exclude each other")
    if more and not fix:
        fail("--unsafe-fixes and --diff go with --fix")
    if fix and "-" in paths:
        fail("--fix needs files; standard input can't be fixed")


def _watcher(*, with_log: bool) -> Watcher | None:
    if not with_log:
        return None
    from flowc_engine.cli.watching import Watcher

    return Watcher()


def check_all(
    paths: tuple[str, ...], as_of: date, watcher: Watcher | None = None, *, cached: bool = False
) -> list[CheckedProgram]:
    """Every system at the paths, once; a folder is searched for main files. With a `watcher`,
    their logs are asked, too."""
    checked: dict[str, CheckedProgram] = {}
    for path in paths:
        if path == "-":
            data = sys.stdin.buffer.read()
            checked.setdefault("-", check_stdin(data, as_of, cached=cached))
        elif Path(path).is_dir():
            for main in _main_files(Path(path)):
                one = check_path(main, as_of, watcher, cached=cached)
                checked.setdefault(os.path.realpath(main), one)
        else:
            one = check_path(Path(path), as_of, watcher, cached=cached)
            checked.setdefault(os.path.realpath(path), one)
    if watcher is not None:
        watcher.tell()
    return list(checked.values())


def _main_files(folder: Path) -> tuple[Path, ...]:
    from flowc_engine.cli.discover import discover

    found = discover(folder)
    if not (found.mains or found.loose):
        fail(f"no .flow file below {folder}; name a file, or a folder that has one")
    if not found.mains:
        return found.loose  # each will say that it has no `system`
    for path in found.loose:
        look = look_for(sys.stderr)
        click.echo(f"note: {look.show(str(path))} is not checked: nothing imports it", err=True)
    return found.mains


def _show_fixes(fixes: Fixes, programs: list[CheckedProgram], color: ColorChoice) -> NoReturn:
    """What would change, as a patch, and the end."""
    from flowc_engine.cli.common import shown_path
    from flowc_engine.cli.patch import show_patch

    for path, (old, new) in sorted(fixes.changed.items()):
        show_patch(shown_path(Path(path)), old.decode(), new.decode(), "fixed", color)
    _tell(fixes, "would be fixed")
    gravest = max(one.exit_code for one in programs)
    if gravest > ExitCode.FINDINGS:
        sys.exit(gravest)
    sys.exit(ExitCode.FINDINGS if fixes.changed else ExitCode.CLEAN)


def _tell(fixes: Fixes, what: str) -> None:
    """On stderr: how much was fixed, and what was not."""
    look = look_for(sys.stderr)
    codes = ", ".join(f"{code} {count}" for code, count in sorted(fixes.codes.items()))
    files = counted(len(fixes.changed), "file")
    total = counted(fixes.codes.total(), "finding")
    text = f"{total} in {files} {what} ({codes})" if codes else f"nothing {what}"
    click.echo(text, err=True)
    for path, why in sorted(fixes.refused.items()):
        click.echo(f"note: {look.show(path)}: {why}", err=True)
