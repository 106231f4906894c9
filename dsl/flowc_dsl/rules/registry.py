"""What a rule is, and the rules of the families in the order of their codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from flowc_dsl.diagnostics.diagnostic import LABELS_MAX, Diagnostic, Edit, Label, Level
from flowc_dsl.graph import FlowGraph
from flowc_dsl.record import Record
from flowc_dsl.source import Span


class Report(Record):
    """The prose of one finding; the rule adds its code, and its level where none is given."""

    message: str
    at: Span
    label: str = ""
    related: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None
    subjects: tuple[str, ...] = ()
    witness: tuple[str, ...] = ()
    level: Level | None = None
    edits: tuple[Edit, ...] = ()  # those that need no text; `fixes` adds the others


class Finding(Protocol):
    """A fault as data. `report` words it, late."""

    def report(self) -> Report: ...


Check = Callable[[FlowGraph], Iterator[Finding]]


Needs = Literal["text", "older text", "log"]


class Rule(Record):
    """`needs`: what it judges by. What needs an older text is `flowc diff`'s to find; what needs a
    log is not judged where none is read."""

    code: str
    name: str
    level: Level
    summary: str
    needs: Needs = "text"

    def diagnostic(self, finding: Finding) -> Diagnostic:
        report = finding.report()
        return Diagnostic(
            code=self.code,
            level=report.level or self.level,
            message=report.message,
            primary=Label(report.at, report.label),
            related=report.related[: LABELS_MAX - 1],
            notes=report.notes,
            help=report.help,
            subjects=tuple(dict.fromkeys(report.subjects)),
            witness=report.witness,
            edits=report.edits,
        )


class CheckedRule(Record):
    """A rule over the graph, and the function that finds its faults."""

    rule: Rule
    check: Check

    def run(self, graph: FlowGraph) -> Iterator[Diagnostic]:
        return map(self.rule.diagnostic, self.check(graph))


_CHECKED: dict[str, CheckedRule] = {}
_DECLARED: dict[str, Rule] = {}


def declare(code: str, name: str, level: Level, summary: str, *, needs: Needs = "text") -> Rule:
    """A rule that is judged elsewhere than over the graph."""
    assert code not in _DECLARED, f"{code} is declared twice"
    _DECLARED[code] = Rule(code, name, level, summary, needs)
    return _DECLARED[code]


def rule(code: str, name: str, level: Level, summary: str) -> Callable[[Check], Check]:
    """Registers a function as the check of a rule."""

    def register(check: Check) -> Check:
        _CHECKED[code] = CheckedRule(declare(code, name, level, summary), check)
        return check

    return register


def checked_rules() -> tuple[CheckedRule, ...]:
    """All rules over the graph, by code."""
    _load()
    return tuple(_CHECKED[code] for code in sorted(_CHECKED))


def declared_rules() -> dict[str, Rule]:
    """All rules that are judged today, by code."""
    _load()
    return dict(sorted(_DECLARED.items()))


def _load() -> None:
    from flowc_dsl.rules import (  # noqa: F401, PLC0415  # the families register themselves
        borders,
        capacity,
        code,
        contract,
        delivery,
        effects,
        emitting,
        exercise,
        expectations,
        hygiene,
        laws,
        meeting,
        naming,
        ownership,
        privacy,
        responsibility,
        rounds,
        shape,
        stored,
        versions,
        wiring,
    )


UNKNOWN_NAME = declare(
    "FLW207", "unknown-name", Level.ERROR, "a name is not declared; found while names are resolved"
)
UNREADABLE = declare("FLW008", "unreadable-file", Level.ERROR, "a file can't be read")
NOT_JUDGED = declare(
    "FLW090", "not-run-yet", Level.INFO, "a construct is checked, and nothing runs or judges it yet"
)
BASELINE_GREW = declare(
    "FLW903", "baseline-grew", Level.ERROR, "a baseline holds what an earlier one did not hold"
)
UNDECLARED_EDGE = declare(
    "FLW801", "undeclared-edge", Level.WARNING, "the log has an edge that is not declared",
    needs="log",
)  # fmt: skip
UNSEEN_EDGE = declare(
    "FLW802", "unseen-edge", Level.INFO, "a declared edge was never seen", needs="log"
)
STORED_MISFIT = declare(
    "FLW803", "stored-misfit", Level.ERROR, "stored values are not of the declared type",
    needs="log",
)  # fmt: skip
BROKEN_LIVE = declare(
    "FLW804", "broken-live", Level.ERROR, "a `within` or an `expect` did not hold in a real run",
    needs="log",
)  # fmt: skip
INTERNAL_FAILURE = declare(
    "FLW999", "internal-failure", Level.ERROR, "the checker failed; the fault is not in your text"
)
