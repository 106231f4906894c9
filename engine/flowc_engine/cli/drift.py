"""`flowc drift FILE`: what ran, held against what is declared."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowc_dsl.rules.wording import counted
from flowc_engine.cli.asking import asked_state, print_blocks
from flowc_engine.cli.common import ExitCode, load_understood, look_for, shown_path

if TYPE_CHECKING:
    from flowc_dsl.diagnostics.diagnostic import Diagnostic
    from flowc_dsl.drift.edges import Coverage, DeclaredEdge
    from flowc_dsl.drift.observed import EdgeSeen, Observed
    from flowc_engine.cli.checking import CheckedProgram

_DRIFT = ("FLW8", "FLW904")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option(
    "--from",
    "begin",
    type=click.IntRange(min=0),
    default=0,
    metavar="OFFSET",
    help="Look at events from this offset on: what is older is of another declaration.",
)
def command(file: Path, begin: int, *, as_json: bool) -> None:
    """Hold FILE's event log against its declaration: which edges were seen, and what differs.

    \b
    Examples:
      flowc drift shop.flow
      flowc drift shop.flow --from 120000
      flowc check shop.flow --log

    An edge is a trigger, a service and what it emits. The share of declared edges that were seen is
    the topology's coverage. Findings: FLW801 an edge that is not declared, 802 one never seen, 803
    stored values that the declaration does not allow, 804 a `within` or an `expect` that did not
    hold. `flowc check --log` reports the findings with the others.

    Exit codes: 0 no findings, 1 errors or warnings, 2 usage, unreadable input, or no log yet.
    """
    from flowc_dsl.drift.edges import cover
    from flowc_dsl.graph import build_graph

    checked = load_understood(file)
    assert checked.compilation is not None
    system = checked.compilation.system
    assert system is not None
    observed = _observed(file, checked, begin)
    coverage = cover(build_graph(system), observed)
    found = _findings(checked, observed)
    if as_json:
        click.echo(json.dumps(_document(system.name, coverage, observed, found)))
    else:
        _print(file, coverage, observed, found)
    graver = any(d.level != "info" for d in found)
    sys.exit(ExitCode.FINDINGS if graver else ExitCode.CLEAN)


def _observed(file: Path, checked: CheckedProgram, begin: int) -> Observed:
    from flowc_engine.cli.watching import watched
    from flowc_engine.state import StateDir

    assert checked.program is not None
    assert checked.compilation is not None
    system = checked.compilation.system
    assert system is not None
    with asked_state(StateDir(checked.program.root, system.name), str(file)) as log:
        return watched(log, system, begin)


def _findings(checked: CheckedProgram, observed: Observed) -> list[Diagnostic]:
    """The findings that a log gives, after exemptions."""
    from flowc_dsl.check import check_system
    from flowc_engine.cli.common import today

    assert checked.compilation is not None
    report = check_system(
        checked.compilation.system, today(), sources=checked.compilation.sources, observed=observed,
    )  # fmt: skip
    return [d for d in report.diagnostics if d.code.startswith(_DRIFT)]


# ---- for people


def _print(file: Path, coverage: Coverage, observed: Observed, found: list[Diagnostic]) -> None:
    rows = [_declared_row(edge) for edge in coverage.declared]
    rows += [_undeclared_row(edge) for edge in coverage.undeclared]
    if rows:
        heads = ["trigger", "service", "event", "count", "per s", "last", "state"]
        print_blocks(heads, [[row[name] for name in heads] for row in rows])
    look = look_for(sys.stdout)
    total = len(coverage.declared)
    share = f" ({100 * coverage.seen // total} %)" if total else ""
    click.echo(
        f"coverage: {coverage.seen:,} of {counted(total, 'declared edge')} seen{share}, "
        f"{len(coverage.undeclared):,} undeclared; "
        f"{counted(sum(observed.events.values()), 'event')} looked at"
    )
    graver = [d for d in found if d.level != "info"]
    for finding in graver:
        click.echo(look.show(f"{finding.level}[{finding.code}] {finding.message}"))
    if graver:
        shown = shown_path(file)
        click.echo(f"next: `flowc check {shown} --log` shows where, and what to do", err=True)


def _declared_row(edge: DeclaredEdge) -> dict[str, Any]:
    trigger, service, event = edge.key
    seen = edge.seen
    if seen is not None:
        state = "seen"
    elif not edge.triggers:
        state = "not triggered"
    else:
        state = "optional, never" if edge.optional else "never seen"
    return {"trigger": trigger or "(timer)", "service": service, "event": event,
            **_numbers(seen), "state": state}  # fmt: skip


def _undeclared_row(edge: EdgeSeen) -> dict[str, Any]:
    return {"trigger": edge.trigger or "(outside)", "service": edge.emitter, "event": edge.event,
            **_numbers(edge), "state": "undeclared"}  # fmt: skip


def _numbers(seen: EdgeSeen | None) -> dict[str, Any]:
    if seen is None:
        return {"count": 0, "per s": "", "last": ""}
    return {"count": seen.count, "per s": _rate_per_s(seen) or "", "last": _time(seen.last_us)}


def _rate_per_s(seen: EdgeSeen) -> float | None:
    span_us = seen.last_us - seen.first_us
    return round((seen.count - 1) * 1e6 / span_us, 3) if span_us > 0 else None


def _time(time_us: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


# ---- for machines


def _document(
    system: str, coverage: Coverage, observed: Observed, found: list[Diagnostic]
) -> dict[str, Any]:
    return {
        "format_version": "1.0",
        "system": system,
        "from": observed.begin,
        "to": observed.end,
        "events": observed.events,
        "coverage": {
            "declared": len(coverage.declared),
            "seen": coverage.seen,
            "undeclared": len(coverage.undeclared),
        },
        "edges": [
            *(_edge(*e.key, e.seen, _declared_row(e)["state"]) for e in coverage.declared),
            *(_edge(e.trigger, e.emitter, e.event, e, "undeclared") for e in coverage.undeclared),
        ],
        "findings": [
            {"code": d.code, "level": d.level, "message": d.message, "subjects": list(d.subjects)}
            for d in found
        ],
    }


def _edge(
    trigger: str | None, service: str, event: str, seen: EdgeSeen | None, state: str
) -> dict[str, Any]:
    return {
        "trigger": trigger,
        "service": service,
        "event": event,
        "state": state,
        "count": seen.count if seen else 0,
        "rate_per_s": _rate_per_s(seen) if seen else None,
        "first_offset": seen.first_offset if seen else None,
        "last_offset": seen.last_offset if seen else None,
        "first_us": seen.first_us if seen else None,
        "last_us": seen.last_us if seen else None,
    }
