"""`flowc types FILE`: the event classes as a Python module."""

from __future__ import annotations

from pathlib import Path

import click

from flowc_engine.cli.common import ExitCode, fail, load_checked, shown_path


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the module; without it, stdout.",
)  # fmt: skip
@click.option(
    "--check", is_flag=True, help="Write nothing; exit with 1 if the output is not current."
)
def command(file: Path, output: Path | None, check: bool) -> None:
    """Write the event classes of the system in FILE as a Python module.

    \b
    Examples:
      flowc types shop.flow -o services/shop_events.py
      flowc types shop.flow -o services/shop_events.py --check

    Service code imports its events from it, so that type checkers and editors know their fields.
    Exit codes: 0 written (or current), 1 errors in FILE (or not current), 2 unreadable.
    """
    from flowc_engine.typegen import types_module

    if check and output is None:
        fail("--check needs --output: the module that is to be current")
    checked = load_checked(file)
    text = types_module(checked.plan, file.name)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        if check:
            _check(output, file, text)
        else:
            output.write_text(text, encoding="utf-8")
            click.echo(f"wrote {shown_path(output)}", err=True)
    except OSError as error:
        fail(f"{shown_path(output)}: {error.strerror or error}")


def _check(output: Path, file: Path, text: str) -> None:
    try:
        current = output.read_text(encoding="utf-8") == text
    except FileNotFoundError:
        current = False
    if not current:
        hint = f"run `flowc types {shown_path(file)} -o {shown_path(output)}`"
        fail(f"{shown_path(output)} is not what {file.name} declares; {hint}", ExitCode.FINDINGS)
