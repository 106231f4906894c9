"""`flowc diff FILE --against REV|DIR|FILE`: what a change breaks, and for whom."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from flowc_dsl.diagnostics.diagnostic import Level
from flowc_dsl.rules.wording import counted
from flowc_dsl.source import Source, Span
from flowc_engine import limits
from flowc_engine.cli.common import (
    ColorChoice,
    ExitCode,
    color_option,
    fail,
    load_understood,
    look_for,
)
from flowc_engine.cli.reporting import Checked, Format, paint, write_report

if TYPE_CHECKING:
    from flowc_dsl.diagnostics.diagnostic import Diagnostic
    from flowc_dsl.diagnostics.width import Look
    from flowc_dsl.evolution.change import Change
    from flowc_dsl.model import System
    from flowc_engine.cli.checking import CheckedProgram
    from flowc_engine.cli.older import Older

_MARKS: Final = {
    "breaks": ("✗", "x", "31"),
    "needs an upcast": ("↑", "^", "33"),
    "watch": ("!", "!", "36"),
    "safe": ("✓", "+", "32"),
}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--against",
    metavar="REV|DIR|FILE",
    help="What to compare with: a git revision, a folder that has the same file, or a file.",
)
@click.option("--log", "with_log", is_flag=True, help="Decode all that is stored, too (FLW407).")
@click.option("--breaking", is_flag=True, help="Show only what breaks or needs an upcast.")
@click.option("--json", "as_json", is_flag=True, help="The same as --output-format json.")
@click.option(
    "--output-format",
    "output_format",
    type=click.Choice(get_args(Format)),
    default="full",
    show_default=True,
    help="full and json show all changes, the others those that are not safe, as findings.",
)
@color_option
def command(
    file: Path,
    against: str | None,
    output_format: Format,
    color: ColorChoice,
    *,
    with_log: bool,
    breaking: bool,
    as_json: bool,
) -> None:
    """Say what changed in FILE's system, what breaks, and for whom.

    \b
    Examples:
      flowc diff shop.flow --against main
      flowc diff shop.flow --against HEAD~1 --breaking --output-format github
      flowc diff shop.flow --against ../released/
      flowc diff shop.flow --log

    An event is read by today's services as it was stored by yesterday's; what is `external` is
    written by others, and what is `exported` is read by them. A field that no handler `reads` can
    go; a handler that says no `reads` may need all. What is to watch fails by itself for nobody,
    and somebody has to handle it, or know it before it runs.

    --log reads every event that the system has stored as it is declared now, and says which can't
    be read, and why.

    Exit codes: 0 nothing breaks, 1 something does or needs an upcast, 2 usage or unreadable input.
    """
    if against is None and not with_log:
        fail("name what to compare with: --against REV, DIR or FILE; or --log")
    now = load_understood(file)
    stored = _stored(now) if with_log else ()
    if against is None:
        _tell_stored(stored, now, output_format, color, as_json=as_json)
        sys.exit(ExitCode.FINDINGS if stored else ExitCode.CLEAN)
    changes, older, old_sources = _compared(now, file, against)
    kept = tuple(c for c in changes if c.breaks or not breaking)
    both = _Both(now, older, old_sources)
    if as_json or output_format == "json":
        click.echo(_document(kept, changes, both, stored))
    elif output_format == "full":
        _print(kept, changes, look_for(sys.stdout, color), f"{now.path} against {against}")
        if with_log:
            _tell_stored(stored, now, output_format, color, as_json=False)
    else:
        _report(kept, both, output_format, color, stored)
    breaks = any(c.breaks for c in changes) or stored
    sys.exit(ExitCode.FINDINGS if breaks else ExitCode.CLEAN)


def _compared(
    now: CheckedProgram, file: Path, against: str
) -> tuple[tuple[Change, ...], Older, dict[str, Source]]:
    """What changed, and the older text. One that can't be had ends the process."""
    from flowc_dsl.evolution.compare import compare
    from flowc_engine.cli.older import older_version
    from flowc_engine.cli.revisions import OlderError

    try:
        older = older_version(file, against)
    except OlderError as error:
        fail(str(error))
    if older.note:
        click.echo(f"note: {look_for(sys.stderr).show(older.note)}", err=True)
    was, old_sources = _understood(older)
    assert now.compilation is not None
    assert now.compilation.system is not None
    return compare(was, now.compilation.system), older, old_sources


# ---- what is stored


def _stored(now: CheckedProgram) -> tuple[Diagnostic, ...]:
    """What of the system's stored events can't be read; places as seen from the root."""
    from flowc_dsl.rules.stored import NOT_DECODABLE
    from flowc_engine.cli.watching import decoded, state_with_log

    assert now.program is not None
    assert now.compilation is not None
    assert now.compilation.system is not None
    system = now.compilation.system
    state = state_with_log(now.program.root, system)
    if state is None:
        fail(f"{system.name} has not run yet, so nothing is stored; start it with `flowc run`")
    return tuple(NOT_DECODABLE.diagnostic(found) for found in decoded(state, system))


def _tell_stored(
    stored: tuple[Diagnostic, ...],
    now: CheckedProgram,
    output_format: Format,
    color: ColorChoice,
    *,
    as_json: bool,
) -> None:
    form: Format = "json" if as_json else output_format
    if not stored and form == "full":
        click.echo("all that is stored can be read as it is declared now")
        return
    write_report(Checked.of([now.narrowed(stored, 0)]), form, color)


class _Both:
    """The two texts, and their places as they are shown."""

    def __init__(
        self, now: CheckedProgram, older: Older, old_sources: Mapping[str, Source]
    ) -> None:
        from flowc_engine.cli.checking import seen_from_here

        assert now.program is not None
        seen = seen_from_here(now.program.root)
        self.now, self.older = now, older
        self.sources = {**now.report.sources, **old_sources}
        self.seen: Callable[[Span], Span] = lambda s: replace(s, path=seen(s.path))
        self.seen_old: Callable[[Span], Span] = lambda s: replace(s, path=older.seen(s.path))


def _understood(older: Older) -> tuple[System, dict[str, Source]]:
    """The older system, and its files under the paths that are shown. One with errors ends the
    process, and they are shown."""
    from flowc_dsl.compile import compile_program
    from flowc_dsl.diagnostics.full import render_full
    from flowc_dsl.diagnostics.rebase import rebased

    program = older.program
    compiled = compile_program(program.files, program.main)
    errors = [d for d in compiled.diagnostics if d.level == Level.ERROR]
    system = compiled.system
    sources = {
        older.seen(path): Source(older.seen(path), source.text)
        for path, source in compiled.sources.items()
    }
    if errors or system is None:
        shown = [rebased(found, older.seen) for found in errors[: limits.FAULTS_LISTED_MAX]]
        click.echo(render_full(shown, sources, look_for(sys.stderr)), nl=False, err=True)
        path, count = older.seen(program.main), counted(len(errors), "error")
        fail(f"{path} can't be compared with: it has {count}; name a version without")
    return system, sources


# ---- for people


def _print(kept: Iterable[Change], every: tuple[Change, ...], look: Look, title: str) -> None:
    if not every:
        click.echo(f"{look.show(title)}: nothing changed")
        return
    for subject, group in groupby(kept, key=lambda change: change.subject):
        click.echo(paint(look.show(subject), "1", look), color=True)
        for change in group:
            _print_change(change, look)
        click.echo()
    counts = _summary(every)
    parts = [
        f"{counts['breaks']:,} break" if counts["breaks"] != 1 else "1 breaks",
        f"{counts['needs_upcast']:,} need an upcast" if counts["needs_upcast"] != 1
        else "1 needs an upcast",
        f"{counts['watch']:,} to watch",
        f"{counts['safe']:,} safe",
    ]  # fmt: skip
    click.echo(look.show(f"{title}: {counted(len(every), 'change')}: {', '.join(parts)}"))


def _print_change(change: Change, look: Look) -> None:
    from flowc_dsl.evolution.change import STORED

    mark, plain, colour = _MARKS[change.verdict.value]
    mark = mark if look.unicode else plain
    verdict = paint(f"{mark} {change.verdict.value}", colour, look)
    click.echo(f"  {verdict}: {look.show(change.short)}", color=True)
    lines = [change.why, *(str(one) for one in change.affected if one.who != STORED)]
    lines += [f"help: {change.help}"] if change.help else []
    for line in filter(None, lines):
        click.echo(f"      {look.show(line)}")


def _summary(changes: Iterable[Change]) -> dict[str, int]:
    verdicts = [change.verdict.value for change in changes]
    return {
        "breaks": verdicts.count("breaks"),
        "needs_upcast": verdicts.count("needs an upcast"),
        "watch": verdicts.count("watch"),
        "safe": verdicts.count("safe"),
    }


# ---- for machines


def _document(
    kept: Iterable[Change],
    every: tuple[Change, ...],
    both: _Both,
    stored: tuple[Diagnostic, ...],
) -> str:
    value = {
        "format_version": "1.0",
        "against": both.older.label,
        "changes": [_as_json(change, both) for change in kept],
        "stored": [{"code": d.code, "message": d.message, "help": d.help} for d in stored],
        "summary": _summary(every),
    }
    return json.dumps(value, ensure_ascii=False)


def _as_json(change: Change, both: _Both) -> dict[str, Any]:
    place = _place(both.seen(change.new), both) if change.new else {}
    return {
        "verdict": change.verdict.name.lower(),
        "code": change.code or None,
        "subject": change.subject,
        "field": change.part or None,
        "what": change.short,
        "why": change.why or None,
        "affected": [
            {"who": a.who, "how": a.how, "context": a.context or None, "owner": a.owner or None,
             "path": list(a.path)}
            for a in change.affected
        ],
        "help": change.help or None,
        **place,
        "old": _place(both.seen_old(change.old), both) if change.old else None,
    }  # fmt: skip


def _place(span: Span, both: _Both) -> dict[str, Any]:
    source = both.sources[span.path]
    start, end = (source.position(at) for at in (span.start, span.end))
    return {
        "path": span.path,
        "start": {"line": start.line, "column": start.column},
        "end": {"line": end.line, "column": end.column},
    }


def _report(
    kept: tuple[Change, ...],
    both: _Both,
    output_format: Format,
    color: ColorChoice,
    stored: tuple[Diagnostic, ...],
) -> None:
    from flowc_dsl.diagnostics.rebase import rebased
    from flowc_dsl.evolution.compare import diagnostics
    from flowc_engine.cli.checking import seen_from_here

    now = both.now
    assert now.program is not None
    assert now.compilation is not None
    assert now.compilation.system is not None
    here = seen_from_here(now.program.root)
    found = diagnostics(kept, now.compilation.system.span, both.seen, both.seen_old)
    found += tuple(rebased(one, here) for one in stored)
    report = replace(now.report.narrowed(found), sources=both.sources)
    code = ExitCode.FINDINGS if found else ExitCode.CLEAN
    write_report(Checked.of([replace(now, report=report, exit_code=code)]), output_format, color)
