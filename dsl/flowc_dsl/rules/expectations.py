"""904: expectations that nothing can trigger, or that can't be kept."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import EventNode, FlowGraph, Node
from flowc_dsl.model import Event, Expect, Ref
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.wiring import from_roots, is_emitted, is_read
from flowc_dsl.rules.wording import quoted


class Idle(Record):
    """`kept`: it holds because nothing triggers it; else what has to follow can't."""

    expect: Expect
    refs: tuple[Ref, ...]  # that can't happen
    events: tuple[Event, ...]
    emitted: bool  # by something that can't be reached
    kept: bool

    def report(self) -> Report:
        names = quoted(ref.name for ref in self.refs)
        why = f"nobody emits {names}"
        if self.emitted:
            why = f"nothing external and no timer leads to {names}"
        what = "is never triggered" if self.kept else "can't be kept"
        subject = self.expect.events[0].name
        notes = () if self.kept else (f"each `{subject}` breaks it",)
        return Report(
            f"expectation `{self.expect.name}` {what}: {why}",
            self.refs[0].span,
            "can't happen",
            tuple(Label(event.span, "declared here") for event in self.events[:1]),
            notes,
            help=f"let something lead to {names if len(self.refs) == 1 else 'one of them'}, or "
            "remove the expectation",
            subjects=(self.expect.name, *(ref.name for ref in self.refs)),
        )


@rule("FLW904", "idle-expect", Level.WARNING, "an expect is never triggered, or can't be kept")
def idle_expect(graph: FlowGraph) -> Iterator[Finding]:
    """An event that someone reads and nobody emits is FLW202, and only that."""
    return find_idle(graph)


def find_idle(graph: FlowGraph) -> Iterator[Idle]:
    """The expectations that nothing can trigger, or that can't be kept."""
    if not graph.system.expects:
        return
    reached = from_roots(graph)
    for expect in graph.system.expects:
        ways = (_idle(graph, reached, expect, (ref,)) for ref in triggers_of(expect))
        found = next(filter(None, ways), None)
        if found is None and expect.form == "leads_to":
            found = _idle(graph, reached, expect, expect.targets, kept=False)
        if found is not None:
            yield found


def triggers_of(expect: Expect) -> tuple[Ref, ...]:
    """What an expectation watches for: of a `never`, both sides."""
    return (*expect.events, *(expect.targets if expect.form == "never_with" else ()))


def _idle(
    graph: FlowGraph,
    reached: set[Node],
    expect: Expect,
    refs: tuple[Ref, ...],
    *,
    kept: bool = True,
) -> Idle | None:
    """The finding, if none of the events can happen."""
    found = [graph.system.events.get(ref.name) for ref in refs]
    events = tuple(event for event in found if event is not None)
    if not events or len(events) < len(refs):
        return None  # FLW207
    emitted = [is_emitted(graph, event) for event in events]
    for event, is_one in zip(events, emitted, strict=True):
        if EventNode(event.name) in reached if is_one else is_read(graph, event):
            return None  # it happens, or FLW202
    return Idle(expect, refs, events, any(emitted), kept)
