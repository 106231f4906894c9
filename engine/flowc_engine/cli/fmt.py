"""`flowc fmt [PATHS]`: one canonical layout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from errno import EINVAL
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowc_dsl.limits import FILE_BYTES_MAX
from flowc_engine.cli.common import ColorChoice, ExitCode, color_option, fail, look_for

if TYPE_CHECKING:
    from flowc_dsl.source import Source
    from flowc_dsl.syntax.faults import Fault

STDIN = "-"
STDIN_NAME = "<stdin>"


class Outcome(Enum):
    """What became of one file."""

    SAME = "left unchanged"
    CHANGED = "reformatted"
    WRONG = "not touched"


@dataclass(frozen=True, slots=True)
class Mode:
    """`check` and `diff` write no file."""

    check: bool
    diff: bool
    color: ColorChoice


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--check", is_flag=True, help="Write nothing; list the files that would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@color_option
def command(paths: tuple[str, ...], check: bool, diff: bool, color: ColorChoice) -> None:
    """Give the .flow files at PATHS their canonical layout.

    \b
    Examples:
      flowc fmt
      flowc fmt --check services shop.flow
      flowc fmt - < shop.flow

    A path is a file, a folder that is searched for .flow files, or `-`: standard input to standard
    output. Without paths the current folder is searched. A file with syntax errors is not touched.

    Exit codes: 0 done (or nothing to do), 1 files would change (with --check or --diff), 2 a file
    has syntax errors or can't be read.
    """
    mode = Mode(check, diff, color)
    outcomes = [
        _format_stdin(mode) if path == STDIN else _format_file(Path(path), mode)
        for path in _files(paths or (".",))
    ]
    if paths != (STDIN,):
        _tell(outcomes, mode)
    if Outcome.WRONG in outcomes:
        sys.exit(ExitCode.USAGE)
    if Outcome.CHANGED in outcomes and (check or diff):
        sys.exit(ExitCode.FINDINGS)


def _files(paths: Sequence[str]) -> list[str]:
    """The files meant, each once, in the order named."""
    from flowc_engine.cli.discover import flow_files

    found: dict[str, None] = {}
    for path in paths:
        if path == STDIN or not Path(path).is_dir():
            found[path] = None
            continue
        below = sorted(str(file) for file in flow_files(Path(path)))
        if not below:
            fail(f"no .flow file below {path}; name a file, or a folder that has one")
        found |= dict.fromkeys(below)
    return list(found)


def _format_file(path: Path, mode: Mode) -> Outcome:
    try:
        data = _read(path)
    except OSError as error:
        return _wrong(f"can't read {path}: {(error.strerror or str(error)).lower()}", mode)
    new = _formatted(str(path), data, mode)
    if new is None:
        return Outcome.WRONG
    if new == data:
        return Outcome.SAME
    if mode.check or mode.diff:
        _show(str(path), data, new, mode)
        return Outcome.CHANGED
    from flowc_engine.files import write_atomically

    try:
        write_atomically(path, new)
    except OSError as error:
        return _wrong(f"can't write {path}: {(error.strerror or str(error)).lower()}", mode)
    return Outcome.CHANGED


def _read(path: Path) -> bytes:
    """The file's bytes, or the first of them if it is larger than any program may be."""
    if path.exists() and not path.is_file():
        raise OSError(EINVAL, "it is no regular file")
    with path.open("rb") as file:
        return file.read(FILE_BYTES_MAX + 1)


def _format_stdin(mode: Mode) -> Outcome:
    data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
    new = _formatted(STDIN_NAME, data, mode)
    if new is None:
        return Outcome.WRONG
    if mode.check or mode.diff:
        if new != data:
            _show(STDIN_NAME, data, new, mode)
    else:
        sys.stdout.buffer.write(new)
        sys.stdout.buffer.flush()
    return Outcome.SAME if new == data else Outcome.CHANGED


def _formatted(path: str, data: bytes, mode: Mode) -> bytes | None:
    """The canonical text; None if it has faults, which are written to stderr."""
    from flowc_dsl.format.formatter import BrokenTextError, format_text
    from flowc_dsl.lower.imports import decode

    source, fault = decode(path, data)
    faults: Sequence[Fault] = (fault,) if fault else ()
    if not faults:
        try:
            return format_text(source.text, path).encode()
        except BrokenTextError as error:
            faults = error.tree.faults
        except AssertionError as error:
            fail(
                f"flowc failed while it formatted {path}: {error}; the file is as it was, "
                "please report it with this message",
                ExitCode.FAILURE,
            )
    _show_faults(source, faults, mode)
    return None


def _show_faults(source: Source, faults: Sequence[Fault], mode: Mode) -> None:
    from flowc_dsl.diagnostics.full import render_full

    found = [fault.diagnostic() for fault in faults]
    text = render_full(found, {source.path: source}, look_for(sys.stderr, mode.color))
    click.echo(text, nl=False, err=True, color=True)


def _show(path: str, old: bytes, new: bytes, mode: Mode) -> None:
    """A file that would change: its name, or how."""
    if not mode.diff:
        click.echo(look_for(sys.stdout, mode.color).show(path))
        return
    from flowc_engine.cli.patch import show_patch

    show_patch(path, old.decode(), new.decode(), "formatted", mode.color)


def _wrong(message: str, mode: Mode) -> Outcome:
    look = look_for(sys.stderr, mode.color)
    click.echo(f"error: {look.show(message)}", err=True)
    return Outcome.WRONG


def _tell(outcomes: Sequence[Outcome], mode: Mode) -> None:
    """One line on stderr: how many files of each outcome."""
    parts = []
    for outcome in (Outcome.CHANGED, Outcome.SAME, Outcome.WRONG):
        count = outcomes.count(outcome)
        if count:
            words = outcome.value
            if outcome is Outcome.CHANGED and (mode.check or mode.diff):
                words = "would be reformatted"
            parts.append(f"{count} file{'' if count == 1 else 's'} {words}")
    click.echo(", ".join(parts), err=True)
