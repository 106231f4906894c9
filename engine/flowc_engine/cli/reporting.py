"""Writes what a check found, in the format that was asked for."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal, get_args

import click

from flowc_dsl.check import Summary
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Level
from flowc_dsl.diagnostics.order import in_order
from flowc_dsl.diagnostics.width import Look
from flowc_dsl.rules.wording import counted
from flowc_dsl.source import Source
from flowc_engine.cli.checking import CheckedProgram
from flowc_engine.cli.common import ColorChoice, ExitCode, look_for

Format = Literal["full", "concise", "json", "json-lines", "github", "sarif"]
FORMATS: Final[tuple[str, ...]] = get_args(Format)


@dataclass(frozen=True, slots=True)
class Checked:
    """Systems that were checked together: their findings, once each, in the one order."""

    programs: Sequence[CheckedProgram]
    found: tuple[Diagnostic, ...]
    sources: Mapping[str, Source]
    summary: Summary

    @classmethod
    def of(cls, programs: Sequence[CheckedProgram]) -> Checked:
        """Of at least one program."""
        found = in_order(d for one in programs for d in one.report.diagnostics)
        sources = {path: source for one in programs for path, source in one.report.sources.items()}
        return cls(programs, found, sources, _summed(programs, found))

    @property
    def exit_code(self) -> ExitCode:
        """The gravest of all."""
        return max(one.exit_code for one in self.programs)


def _summed(programs: Sequence[CheckedProgram], found: tuple[Diagnostic, ...]) -> Summary:
    """Counts of all systems; a diagnostic of a file that two of them import counts once."""
    levels = [diagnostic.level for diagnostic in found]
    total = sum((one.report.summary for one in programs), Summary())
    return replace(
        total,
        errors=levels.count(Level.ERROR),
        warnings=levels.count(Level.WARNING),
        infos=levels.count(Level.INFO),
    )


def write_report(
    checked: Checked, output_format: Format, color: ColorChoice, *, infos: bool = False
) -> None:
    """Findings on stdout; the closing line too in `full`, else on stderr, or in the document.

    Unless `infos` asks for each, those that a person reads come in one line a code.
    """
    look = look_for(sys.stdout, color)
    if output_format in {"json", "sarif"}:
        click.echo(_document(checked, output_format), nl=False)
        return
    if output_format == "full":
        from flowc_dsl.diagnostics.digest import digest, without_infos
        from flowc_dsl.diagnostics.full import render_full

        found = checked.found if infos else without_infos(checked.found)
        click.echo(render_full(found, checked.sources, look), nl=False, color=True)
        if not infos:
            click.echo(digest(checked.found, checked.sources, look), nl=False, color=True)
        click.echo(_closing(checked, look), color=True)
    else:
        click.echo(_lines(checked, output_format, look, infos=infos), nl=False, color=True)
        click.echo(_closing(checked, look_for(sys.stderr, color)), err=True, color=True)
    hint = _fixable(checked.found)
    if hint:
        click.echo(hint, err=True)


def _document(checked: Checked, output_format: Format) -> str:
    if output_format == "json":
        from flowc_dsl.diagnostics.json_format import render_json

        return render_json(checked.found, checked.sources, asdict(checked.summary))
    from importlib.metadata import version

    from flowc_dsl.diagnostics.sarif import render_sarif
    from flowc_engine.cli.explain import documents

    succeeded = checked.exit_code <= ExitCode.FINDINGS
    return render_sarif(
        checked.found, checked.sources, documents(), version("flowc"), succeeded=succeeded
    )


def _lines(checked: Checked, output_format: Format, look: Look, *, infos: bool) -> str:
    if output_format == "github":
        from flowc_dsl.diagnostics.github import render_github

        return render_github(checked.found, checked.sources)
    if output_format == "json-lines":
        from flowc_dsl.diagnostics.json_format import render_json_lines

        return render_json_lines(checked.found, checked.sources)
    from flowc_dsl.diagnostics.concise import render_concise
    from flowc_dsl.diagnostics.digest import digest, without_infos

    if infos:
        return render_concise(checked.found, checked.sources, look)
    findings = render_concise(without_infos(checked.found), checked.sources, look)
    return findings + digest(checked.found, checked.sources, look)


def _closing(checked: Checked, look: Look) -> str:
    """The last line: what was looked at, and how it went."""
    programs, summary = checked.programs, checked.summary
    name = programs[0].path if len(programs) == 1 else counted(len(programs), "system")
    sizes = ", ".join(
        counted(count, noun)
        for count, noun in (
            (summary.services, "service"),
            (summary.events, "event"),
            (summary.handlers, "handler"),
            (summary.edges, "edge"),
        )
    )
    held = f", {summary.baselined:,} in the baseline" if summary.baselined else ""
    if not summary.errors + summary.warnings:
        new = "new " if held else ""
        return paint(look.show(f"✓ {name}: {sizes}, no {new}findings{held}"), "32", look)
    faults = [(summary.errors, "error"), (summary.warnings, "warning")]
    counts = ", ".join(counted(count, noun) for count, noun in faults if count)
    skipped = "; the rules wait until the text is understood"
    read = [one for one in programs if one.exit_code <= ExitCode.FINDINGS]
    waits = skipped if any(not one.report.judged for one in read) else ""
    return paint(look.show(f"{name}: {sizes}: {counts}{held}{waits}"), "1", look)


def paint(text: str, color: str, look: Look) -> str:
    """In a colour of ANSI, by its number, where colours are wanted."""
    return f"\x1b[{color}m{text}\x1b[0m" if look.color else text


def _fixable(found: Sequence[Diagnostic]) -> str:
    """What `--fix` would mend, if anything."""
    if not any(diagnostic.edits for diagnostic in found):
        return ""
    from flowc_dsl.diagnostics.fixing import applicability

    kinds = [applicability(diagnostic) for diagnostic in found]
    safe, unsafe = kinds.count("safe"), kinds.count("unsafe")
    parts = [f"{counted(safe, 'finding')} can be fixed with `--fix`"] if safe else []
    if unsafe:
        more = "more " if safe else ""
        what = counted(unsafe, f"{more}finding")
        parts.append(f"{what} with `--fix --unsafe-fixes`" if safe else
                     f"{what} can be fixed with `--fix --unsafe-fixes`")  # fmt: skip
    return ", ".join(parts)
