"""What the commands share: exit codes, how text reaches the terminal, a program that is checked."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import date, datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, TextIO

import click

from flowc_dsl.diagnostics.width import WIDTH_DEFAULT, Look

if TYPE_CHECKING:
    from flowc_engine.cli.checking import CheckedProgram

ColorChoice = Literal["auto", "always", "never"]


class ExitCode(IntEnum):
    CLEAN = 0
    FINDINGS = 1
    USAGE = 2
    FAILURE = 3


color_option = click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colour the output; `auto` on a terminal, unless NO_COLOR is set.",
)


def look_for(stream: TextIO, color: ColorChoice = "auto") -> Look:
    """What may be written to the stream: colour, characters outside ASCII, and how wide."""
    terminal = stream.isatty()
    colored = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    if color != "auto":
        colored = color == "always"
    width = shutil.get_terminal_size().columns - 8 if terminal else WIDTH_DEFAULT
    return Look(color=colored, unicode=_takes_unicode(stream), width=width, wrap=terminal)


def _takes_unicode(stream: TextIO) -> bool:
    try:
        "✓…".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def today() -> date:
    """The day it is here; the compiler has no clock."""
    return datetime.now().astimezone().date()


def fail(message: str, code: ExitCode = ExitCode.USAGE) -> NoReturn:
    """One line on stderr, and the exit code."""
    look = look_for(sys.stderr)
    click.echo(f"error: {look.show(message)}", err=True)
    sys.exit(code)


def place_of(error: BaseException) -> str:
    """The file and line where it was raised."""
    from traceback import extract_tb

    frames = extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"


def shown_path(path: Path) -> str:
    """The path as seen from the current folder, where it is below it."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
    return str(path) if relative.startswith("../../") else Path(relative).as_posix()


def load_understood(file: Path) -> CheckedProgram:
    """The program of FILE, whose text and names have no errors; what the rules find does not
    matter. What is wrong ends the process, as in `load_checked`."""
    from flowc_engine.cli.checking import check_path

    checked = check_path(file, today())
    compilation = checked.compilation
    errors = compilation is None or any(d.level == "error" for d in compilation.diagnostics)
    if errors or compilation is None or compilation.system is None:
        load_checked(file)
        fail(f"{shown_path(file)} names no system")
    return checked


def load_checked(path: str | Path) -> CheckedProgram:
    """The program of a main file, for commands that need one without errors.

    Errors are written to stderr in full, and the process ends with exit code 1 (2 where the file
    can't be read, 3 where the checker failed). Warnings do not stop a command and are not shown.
    """
    from flowc_dsl.diagnostics.diagnostic import Level
    from flowc_dsl.diagnostics.full import render_full
    from flowc_engine.cli.checking import check_path

    checked = check_path(Path(path), today())
    if checked.exit_code in {ExitCode.USAGE, ExitCode.FAILURE} or checked.report.has_errors:
        errors = [d for d in checked.report.diagnostics if d.level == Level.ERROR]
        text = render_full(errors, checked.report.sources, look_for(sys.stderr))
        click.echo(text, nl=False, err=True)
        sys.exit(max(checked.exit_code, ExitCode.FINDINGS))
    return checked
