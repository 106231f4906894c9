"""What a run did, when it is over."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TextIO

from flowc_engine.supervisor import core as sc
from flowc_engine.supervisor.children import Kind, Life
from flowc_engine.supervisor.plain import duration, printable
from flowc_engine.supervisor.tally import Counts, Tally

FORMAT_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """A service over its replicas, as many as there were at last. `handled` and `emitted` are of
    this run, `lag` is what it left unconsumed (offsets, so an upper bound), `parked` is of all runs
    on this state. `waiting`: events that have set a deadline, or wait for a partner. `late`: by
    handler, events of this run that were handled later than its `within`; `passed_over`: those
    that `delivery latest` did not want."""

    name: str
    replicas: int
    handled: int
    emitted: int
    lag: int
    parked: int
    retrying: int
    waiting: int
    restarts: int
    state: str  # stopped, or failed
    reason: str = ""
    late: dict[str, int] = field(default_factory=dict)
    passed_over: int = 0


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """`events`: published in all runs on this state. `state`: done, stopped or failed."""

    name: str
    events: int
    restarts: int
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """`events` were added by this run; `offset` is the log's end; `exit_code` the command's.
    `scaled`: each change of the number of a service's replicas, in words."""

    system: str
    exit_code: int
    duration_ms: int
    events: int
    events_per_s: float
    offset: int
    in_log: int
    services: tuple[ServiceSummary, ...]
    sources: tuple[SourceSummary, ...]
    broker_restarts: int
    log_restarts: int
    failures: tuple[str, ...]
    scaled: tuple[str, ...] = ()

    def to_json(self) -> str:
        """One JSON object, with `format_version`."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, indent=2)


def summarise(
    system: str, core: sc.RunCore, tally: Tally, exit_code: int, duration_ms: int
) -> RunSummary:
    """The summary of a run that is over."""
    names = list(dict.fromkeys(s.child.name for s in core.of(Kind.HOST)))
    sources = tuple(
        SourceSummary(
            s.child.name,
            tally.sources.get(s.child.name, 0),
            s.restarts.total,
            s.life.value,
            s.reason,
        )
        for s in core.of(Kind.SOURCE)
    )
    return RunSummary(
        system=system,
        exit_code=exit_code,
        duration_ms=duration_ms,
        events=tally.events,
        events_per_s=round(tally.events_per_s, 1),
        offset=tally.offset,
        in_log=tally.applied,
        services=tuple(_service(name, core, tally) for name in names),
        sources=sources,
        broker_restarts=sum(s.restarts.total for s in core.of(Kind.BROKER)),
        log_restarts=sum(s.restarts.total for s in core.of(Kind.LOG)),
        failures=tuple(f"{s.child} failed: {s.in_short}" for s in core.failed),
        scaled=tuple(core.scaled),
    )


def _service(name: str, core: sc.RunCore, tally: Tally) -> ServiceSummary:
    states = [s for s in core.of(Kind.HOST) if s.child.name == name]
    counts = [found for (service, _), found in tally.slots.items() if service == name] or [Counts()]
    failed = [s for s in states if s.life is Life.FAILED]
    return ServiceSummary(
        name=name,
        replicas=len(states),
        handled=sum(c.handled for c in counts),
        emitted=sum(c.emitted for c in counts),
        lag=max(c.lag for c in counts),
        parked=sum(c.parked for c in counts),
        retrying=sum(c.deferred for c in counts),
        waiting=sum(c.open for c in counts),
        restarts=sum(s.restarts.total for s in states),
        state="failed" if failed else "stopped",
        reason=failed[0].reason if failed else "",
        late=dict(sum((Counter(c.late) for c in counts), Counter())),
        passed_over=sum(c.passed for c in counts),
    )


def write_summary(summary: RunSummary, stream: TextIO, *, color: bool) -> None:
    """The summary as tables."""
    from rich.console import Console  # noqa: PLC0415 - only where there is something to show
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("service")
    for name in ("handled", "emitted", "lag", "parked", "retrying", "restarts"):
        table.add_column(name, justify="right")
    table.add_column("state")
    for service in summary.services:
        numbers = (
            service.handled, service.emitted, service.lag, service.parked, service.retrying,
            service.restarts,
        )  # fmt: skip
        name = service.name + (f" x{service.replicas}" if service.replicas > 1 else "")
        table.add_row(name, *(f"{n:,}" for n in numbers), service.state)
    console = Console(file=stream, no_color=not color, highlight=False, soft_wrap=True)
    if summary.services:
        console.print(table)
    for line in _lines(summary):
        console.print(printable(line), markup=False)


def _lines(summary: RunSummary) -> list[str]:
    lines = [
        f"source {s.name}: {_count(s.events, 'event')}, {s.state}"
        + (f", {_count(s.restarts, 'restart')}" if s.restarts else "")
        for s in summary.sources
    ]
    rate = f", {summary.events_per_s:,.0f}/s while it grew" if summary.events else ""
    lines.append(
        f"{_count(summary.events, 'event')} in {duration(summary.duration_ms)}{rate}; "
        f"the log ends at {summary.offset:,}"
    )
    behind = summary.offset - summary.in_log
    if behind > 0:
        lines.append(f"{_count(behind, 'event')} in the journal and not yet in DuckDB")
    for service in summary.services:
        if service.waiting:
            waiting = _count(service.waiting, "event")
            lines.append(
                f"{service.name}: {waiting} for which a deadline or a partner is still out"
            )
        for handler, late in sorted(service.late.items()):
            lines.append(f"{handler}: {_count(late, 'event')} handled later than its `within`")
        if service.passed_over:
            lines.append(
                f"{service.name} passed over {_count(service.passed_over, 'event')}, as declared "
                "by `delivery latest`"
            )
    lines += summary.scaled
    restarts = (("broker", summary.broker_restarts), ("log process", summary.log_restarts))
    lines += [f"{name}: {_count(n, 'restart')}" for name, n in restarts if n]
    return lines


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")
