"""8xx: what ran and what is declared differ; and expectations that nothing ever triggered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label
from flowc_dsl.drift.edges import DeclaredEdge, cover
from flowc_dsl.drift.observed import Broken, EdgeSeen, Late, Misfit, Observed
from flowc_dsl.graph import FlowGraph, HandlerNode
from flowc_dsl.model import Event, Expect, Handler
from flowc_dsl.record import Record
from flowc_dsl.rules.expectations import find_idle, triggers_of
from flowc_dsl.rules.registry import (
    BROKEN_LIVE,
    STORED_MISFIT,
    UNDECLARED_EDGE,
    UNSEEN_EDGE,
    Report,
    declared_rules,
)
from flowc_dsl.rules.stored import NOT_DECODABLE
from flowc_dsl.rules.wiring import is_emitted
from flowc_dsl.rules.wording import counted, duration, quoted


def judge_log(graph: FlowGraph, observed: Observed) -> Iterator[Diagnostic]:
    """What the log says against the declaration."""
    coverage = cover(graph, observed)
    yield from (UNDECLARED_EDGE.diagnostic(Undeclared(graph, e)) for e in coverage.undeclared)
    for edge in coverage.declared:
        if edge.seen is None and edge.triggers:
            yield UNSEEN_EDGE.diagnostic(Unseen(edge))
    for misfit in observed.misfits:
        event = graph.system.events.get(misfit.event)
        if event is not None:
            yield STORED_MISFIT.diagnostic(Stored(event, misfit))
    handlers = {(n.service, n.number): (n, h) for n, (_, h) in graph.handlers.items()}
    for late in observed.late:
        yield BROKEN_LIVE.diagnostic(Overdue(*handlers[late.service, late.handler], late))
    yield from (NOT_DECODABLE.diagnostic(found) for found in observed.undecodable)
    yield from _expects(graph, observed)


def _expects(graph: FlowGraph, observed: Observed) -> Iterator[Diagnostic]:
    broken = {one.expect: one for one in observed.broken}
    idle = {found.expect.name for found in find_idle(graph)}
    looked_at = sum(observed.events.values())
    for expect in graph.system.expects:
        if expect.name in broken:
            yield BROKEN_LIVE.diagnostic(BrokenExpect(expect, broken[expect.name]))
        elif looked_at and expect.name not in idle and _is_silent(graph, expect, observed):
            rule = declared_rules()["FLW904"]
            yield rule.diagnostic(NeverTriggered(expect, looked_at))


def _is_silent(graph: FlowGraph, expect: Expect, observed: Observed) -> bool:
    """Whether none of what triggers it was seen, though someone may emit it: else that is the
    matter of FLW202 or FLW207."""
    for ref in triggers_of(expect):
        event = graph.system.events.get(ref.name)
        if event is None or not is_emitted(graph, event) or observed.events.get(ref.name):
            return False
    return True


class Undeclared(Record):
    graph: FlowGraph
    edge: EdgeSeen

    def report(self) -> Report:
        edge, system = self.edge, self.graph.system
        service = system.services.get(edge.emitter)
        event = system.events.get(edge.event)
        at = service.span if service else event.span if event else system.span
        last = "the last " if edge.count > 1 else ""
        path = (*([edge.trigger] if edge.trigger else []), edge.emitter, edge.event)
        if edge.trigger is None:
            what = f"`{edge.event}` came from outside, by `{edge.emitter}`"
        else:
            what = f"`{edge.emitter}` emitted `{edge.event}` for `{edge.trigger}`"
        return Report(
            f"{what}, which is not declared: {counted(edge.count, 'time')}, {last}at offset "
            f"{edge.last_offset}",
            at,
            self._missing(),
            (Label(event.span, "the event"),) if event and service else (),
            notes=(f"`flowc trace FILE {edge.last_offset}` shows how it came to be",),
            help="declare the edge; if it is of the past, look from a later event on: "
            f"`--from {edge.last_offset + 1}`",
            subjects=(edge.emitter, edge.event),
            witness=path,
        )

    def _missing(self) -> str:
        edge, system = self.edge, self.graph.system
        if edge.event not in system.events:
            return f"no event `{edge.event}` is declared"
        if edge.trigger is None:
            return f"`{edge.event}` is not `external`"
        if edge.emitter not in system.services:
            return f"no service `{edge.emitter}` is declared"
        return f"no handler of `{edge.trigger}` has this output"


class Unseen(Record):
    edge: DeclaredEdge

    def report(self) -> Report:
        trigger, service, event = self.edge.key
        loose = " (it is optional)" if self.edge.optional else ""
        are = "is" if self.edge.triggers == 1 else "are"
        return Report(
            f"`{service}` never emitted `{event}` for `{trigger}`, of which there {are} "
            f"{self.edge.triggers:,}{loose}",
            self.edge.output.span,
            "never seen in the log",
            help="remove the output, or find out why it does not come",
            subjects=(service, event),
            witness=(trigger or "", str(self.edge.node), event),
        )


class Stored(Record):
    event: Event
    misfit: Misfit

    def report(self) -> Report:
        name, misfit = self.event.name, self.misfit
        first = "the first " if misfit.count > 1 else ""
        field = next((f for f in self.event.fields if f.name == misfit.field), None)
        what = f"`{misfit.field}` of `{name}`" if misfit.field else f"`{name}`"
        return Report(
            f"{what} {misfit.why} in {counted(misfit.count, 'stored event')}, {first}at offset "
            f"{misfit.first_offset}",
            field.span if field else self.event.span,
            misfit.why if field else "not as it is stored",
            help="declare what is stored, or lift it: bump the version and write an `upcast`",
            subjects=tuple(filter(None, (name, misfit.field))),
        )


class Overdue(Record):
    node: HandlerNode
    handler: Handler
    late: Late

    def report(self) -> Report:
        late, limit = self.late, duration(self.handler.within_ms or 0)
        worst = duration(-(-late.worst_us // 1000))  # up, or it might seem to be in time
        silent = f", {late.silent:,} of them without any output" if late.silent else ""
        return Report(
            f"`{self.node}` was not done within {limit} {counted(late.count, 'time')}{silent}; "
            f"the longest took {worst}",
            self.handler.span,
            f"declared within {limit}",
            notes=(_listed(late.offsets, late.count),),
            help="allow it more time, give it replicas, or make it faster",
            subjects=(self.node.service, *(ref.name for ref in self.handler.triggers)),
            witness=tuple(f"{self.handler.triggers[0].name} #{o}" for o in late.offsets[:1]),
        )


class BrokenExpect(Record):
    expect: Expect
    broken: Broken

    def report(self) -> Report:
        by = self.expect.by
        offsets = [offset for offset, _ in self.broken.examples]
        values = [value for _, value in self.broken.examples if value is not None]
        keys = f" ({by.name} {quoted(values)})" if by and values else ""
        return Report(
            f"expectation `{self.expect.name}` did not hold {counted(self.broken.count, 'time')}",
            self.expect.span,
            "broken in a real run",
            notes=(f"{_listed(offsets, self.broken.count)}{keys}",),
            help=f"`flowc trace FILE {offsets[0]}` shows what happened",
            subjects=(self.expect.name, *(ref.name for ref in self.expect.events)),
            witness=tuple(f"{self.expect.events[0].name} #{o}" for o in offsets[:1]),
        )


class NeverTriggered(Record):
    expect: Expect
    events: int

    def report(self) -> Report:
        refs = triggers_of(self.expect)
        names = [ref.name for ref in refs]
        return Report(
            f"expectation `{self.expect.name}` was never triggered: of "
            f"{counted(self.events, 'event')} none is {' or '.join(f'`{name}`' for name in names)}",
            refs[0].span,
            "never seen in the log",
            help="run what triggers it, or remove the expectation",
            subjects=(self.expect.name, *names),
        )


def _listed(offsets: Sequence[int], count: int) -> str:
    """At offsets 3, 4, 7 and 12 more."""
    offset = "offset" if count == 1 else "offsets"
    more = f" and {count - len(offsets):,} more" if count > len(offsets) else ""
    return f"at {offset} {', '.join(map(str, offsets))}{more}"
