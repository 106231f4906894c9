"""All rules over one system: the findings, and the counts that a summary shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import TYPE_CHECKING, Final

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Level
from flowc_dsl.diagnostics.order import in_order
from flowc_dsl.fixes import with_fixes
from flowc_dsl.graph import FlowGraph, build_graph
from flowc_dsl.model import System
from flowc_dsl.rules.code import code_not_judged
from flowc_dsl.rules.hygiene import apply_exemptions, empty_laws, not_judged
from flowc_dsl.rules.registry import checked_rules
from flowc_dsl.source import Source
from flowc_dsl.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from flowc_dsl.drift.observed import Observed
    from flowc_dsl.pysource.facts import Code

# Faults that leave out a declaration: broken text, a second declaration, a file that is not there.
INCOMPLETE: Final = frozenset(
    f"FLW{number:03}" for number in (1, 2, 3, 4, 5, 6, 10, 20, 21)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts; `events` are events and commands, `edges` as `FlowGraph.edge_count`,
    `baselined` findings that a baseline keeps out of the others."""

    services: int = 0
    events: int = 0
    handlers: int = 0
    edges: int = 0
    errors: int = 0
    warnings: int = 0
    infos: int = 0
    baselined: int = 0

    def __add__(self, other: Summary) -> Summary:
        return Summary(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found, in the one order of all reports."""

    diagnostics: tuple[Diagnostic, ...]
    summary: Summary
    sources: Mapping[str, Source] = field(default_factory=dict)
    system: str | None = None
    judged: bool = False  # whether the rules were run

    @property
    def has_errors(self) -> bool:
        return self.summary.errors > 0

    @property
    def has_findings(self) -> bool:
        """Errors or warnings; what is merely worth knowing is no finding."""
        return self.summary.errors + self.summary.warnings > 0

    def narrowed(self, diagnostics: Iterable[Diagnostic], baselined: int = 0) -> Report:
        """The same report with these diagnostics alone; `baselined` of the others count as such."""
        kept = in_order(diagnostics)
        summary = replace(self.summary, **_levels(kept), baselined=baselined)
        return replace(self, diagnostics=kept, summary=summary)


def check_system(
    system: System | None,
    today: date,
    *,
    before: Iterable[Diagnostic] = (),
    sources: Mapping[str, Source] | None = None,
    thresholds: Thresholds = DEFAULTS,
    observed: Observed | None = None,
    code: Code | None = None,
) -> Report:
    """Judges a system by all rules; those about its services' code need the `code`.

    `before` are the diagnostics of the text and the names. Where a part of the text is not in the
    model (`INCOMPLETE`), the rules are not run: what is missing from the model would be taken for
    missing from the system. `today` decides which exemptions have expired, `thresholds` where
    matters of taste begin. `observed` is what a log has seen of the system, if one was read.
    """
    found = list(before)
    graph = build_graph(system, thresholds, code) if system is not None else None
    judged = graph is not None and not any(d.code in INCOMPLETE for d in found)
    if graph is not None and judged:
        known = [*found, *judge(graph, today, observed)]
        found = list(with_fixes(known, graph, sources or {}))
    return Report(
        diagnostics=in_order(found),
        summary=_summary(graph, found),
        sources=dict(sources or {}) | _python_sources(code, found),
        system=system.name if system is not None else None,
        judged=judged,
    )


def judge(graph: FlowGraph, today: date, observed: Observed | None = None) -> list[Diagnostic]:
    """The findings of the rules after exemptions, in no particular order."""
    findings = [found for checked in checked_rules() for found in checked.run(graph)]
    if observed is not None:
        from flowc_dsl.drift.findings import judge_log  # noqa: PLC0415  # lazy: few checks ask it

        findings += judge_log(graph, observed)
    system = graph.system
    return [
        *apply_exemptions(system, findings, today, with_log=observed is not None),
        *empty_laws(system),
        *not_judged(system),
        *code_not_judged(graph),
    ]


def _python_sources(code: Code | None, found: Iterable[Diagnostic]) -> dict[str, Source]:
    """The Python files that diagnostics point at; the others would only cost their lines."""
    if code is None:
        return {}
    paths = {label.span.path for d in found for label in (d.primary, *d.related)}
    shown = {path: code.source(path) for path in sorted(paths)}
    return {path: source for path, source in shown.items() if source is not None}


def _summary(graph: FlowGraph | None, found: Iterable[Diagnostic]) -> Summary:
    counts = _levels(in_order(found))
    if graph is None:
        return Summary(**counts)
    return Summary(
        services=len(graph.system.services),
        events=len(graph.system.events),
        handlers=len(graph.handlers),
        edges=graph.edge_count,
        **counts,
    )


def _levels(found: Iterable[Diagnostic]) -> dict[str, int]:
    levels = [diagnostic.level for diagnostic in found]
    return {
        "errors": levels.count(Level.ERROR),
        "warnings": levels.count(Level.WARNING),
        "infos": levels.count(Level.INFO),
    }
