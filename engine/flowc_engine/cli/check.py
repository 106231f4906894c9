"""`flowc check [PATHS]`: the guidelines over whole systems."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import click

from flowc_dsl.check import Summary
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Level
from flowc_dsl.diagnostics.order import in_order
from flowc_dsl.diagnostics.width import Look
from flowc_dsl.rules.wording import counted
from flowc_dsl.source import Source
from flowc_engine.cli.checking import CheckedProgram, check_path, check_stdin
from flowc_engine.cli.common import ColorChoice, color_option, fail, look_for, today

Format = Literal["full", "concise", "json"]


@click.command()
@click.argument("paths", nargs=-1)
@click.option(
    "--output-format",
    "output_format",
    type=click.Choice(["full", "concise", "json"]),
    default="full",
    show_default=True,
    help="How findings are written.",
)
@click.option(
    "--today",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Judge the dates of exemptions as of this day.",
)
@color_option
def command(
    paths: tuple[str, ...], output_format: Format, day: datetime | None, color: ColorChoice
) -> None:
    """Check the guidelines over the systems at PATHS.

    \b
    Examples:
      flowc check
      flowc check shop.flow --output-format json

    A path is a main file (one with `system NAME`), a folder that is searched for main files, or `-`
    for a main file on standard input. Without paths the current folder is searched.

    Exit codes: 0 clean, 1 errors or warnings, 2 usage or unreadable input, 3 a failure of flowc.
    """
    as_of = day.date() if day else today()
    checked = _check_all(paths or (".",), as_of)
    sources = {path: source for one in checked for path, source in one.report.sources.items()}
    found = in_order(d for one in checked for d in one.report.diagnostics)
    _write(checked, found, sources, _summed(checked, found), output_format, color)
    sys.exit(max(one.exit_code for one in checked))


def _check_all(paths: tuple[str, ...], as_of: date) -> list[CheckedProgram]:
    checked: dict[str, CheckedProgram] = {}
    for path in paths:
        if path == "-":
            data = sys.stdin.buffer.read()
            checked.setdefault("-", check_stdin(data, as_of))
        elif Path(path).is_dir():
            for main in _main_files(Path(path)):
                checked.setdefault(os.path.realpath(main), check_path(main, as_of))
        else:
            checked.setdefault(os.path.realpath(path), check_path(Path(path), as_of))
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


def _summed(checked: list[CheckedProgram], found: tuple[Diagnostic, ...]) -> Summary:
    """Counts of all systems; a diagnostic of a file that two of them import counts once."""
    levels = [diagnostic.level for diagnostic in found]
    total = sum((one.report.summary for one in checked), Summary())
    return replace(
        total,
        errors=levels.count(Level.ERROR),
        warnings=levels.count(Level.WARNING),
        infos=levels.count(Level.INFO),
    )


def _write(
    checked: list[CheckedProgram],
    found: tuple[Diagnostic, ...],
    sources: dict[str, Source],
    summary: Summary,
    output_format: Format,
    color: ColorChoice,
) -> None:
    look = look_for(sys.stdout, color)
    if output_format == "json":
        from flowc_dsl.diagnostics.json_format import render_json

        click.echo(render_json(found, sources, asdict(summary)), nl=False)
        return
    if output_format == "concise":
        from flowc_dsl.diagnostics.concise import render_concise

        click.echo(render_concise(found, sources, look), nl=False)
        click.echo(_closing(checked, summary, look_for(sys.stderr, color)), err=True, color=True)
        return
    from flowc_dsl.diagnostics.full import render_full

    click.echo(render_full(found, sources, look), nl=False, color=True)
    click.echo(_closing(checked, summary, look), color=True)


def _closing(checked: list[CheckedProgram], summary: Summary, look: Look) -> str:
    """The last line: what was looked at, and how it went."""
    name = checked[0].path if len(checked) == 1 else counted(len(checked), "system")
    sizes = ", ".join(
        counted(count, noun)
        for count, noun in (
            (summary.services, "service"),
            (summary.events, "event"),
            (summary.handlers, "handler"),
            (summary.edges, "edge"),
        )
    )
    if not summary.errors + summary.warnings:
        line = f"✓ {name}: {sizes}, no findings"
        return _paint(look.show(line), "32", look)
    faults = [(summary.errors, "error"), (summary.warnings, "warning")]
    counts = ", ".join(counted(count, noun) for count, noun in faults if count)
    skipped = "; the rules wait until the text is understood"
    read = [one for one in checked if one.compilation is not None]
    waits = skipped if any(not one.report.judged for one in read) else ""
    return _paint(look.show(f"{name}: {sizes}: {counts}{waits}"), "1", look)


def _paint(text: str, color: str, look: Look) -> str:
    return f"\x1b[{color}m{text}\x1b[0m" if look.color else text
