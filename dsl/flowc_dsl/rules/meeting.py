"""304 and 309: events that wait for each other and can't meet, and those that must not."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import FlowGraph, HandlerNode, Node, Use
from flowc_dsl.model import Ref
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.wording import duration, quoted
from flowc_dsl.source import Span

Choice = tuple[HandlerNode, int]  # a handler, and which of its alternatives in `A | B, C | D`


class NeverMeet(Record):
    node: HandlerNode
    at: Span
    sides: tuple[str, str]
    chosen: tuple[Use, Use]

    def report(self) -> Report:
        one, other = self.sides
        first, second = self.chosen
        return Report(
            f"`{one}` and `{other}` never come of one cause, and `{self.node}` waits for both",
            self.at,
            "waits for both",
            (
                Label(first.ref.span, f"either this, for `{one}`"),
                Label(second.ref.span, f"or this, for `{other}`"),
            ),
            help="handle each alone (`|`), or emit both (`,`)",
            subjects=(self.node.service, one, other, first.node.service),
            witness=(str(first.node), first.ref.name, str(self.node)),
        )


@rule("FLW304", "exclusive-join", Level.WARNING, "a join of mutually exclusive alternatives")
def exclusive_join(graph: FlowGraph) -> Iterator[Finding]:
    rings: set[Node] | None = None
    for node, (_, handler) in graph.handlers.items():
        if handler.kind != "join":
            continue
        if rings is None:
            rings = set().union(*graph.cyclic_components())
        origins = [(ref, _choices(graph, ref.name, rings)) for ref in handler.triggers]
        for number, (ref, choices) in enumerate(origins):
            found = _excluded(origins[:number], choices)
            if found:
                other, first, second = found
                yield NeverMeet(node, handler.span, (other.name, ref.name), (first, second))
                break


def _excluded(
    others: list[tuple[Ref, dict[Choice, Use]]], choices: dict[Choice, Use]
) -> tuple[Ref, Use, Use] | None:
    for other, known in others:
        for choice in choices.keys() & known.keys():
            if known[choice].ref.name != choices[choice].ref.name:
                return other, known[choice], choices[choice]
    return None


def _choices(graph: FlowGraph, name: str, rings: set[Node]) -> dict[Choice, Use]:
    """The alternatives that must have been taken for an event to happen, nearest first.

    Only where there is one way for it to come about: one output, of a handler with one trigger.
    A handler of a ring chooses again, and may have chosen both in the end.
    """
    found: dict[Choice, Use] = {}
    seen: set[str] = set()
    while name not in seen:
        seen.add(name)
        event, uses = graph.system.events.get(name), graph.emits.get(name, ())
        if event is None or event.external or len(uses) != 1:
            break
        (use,) = uses
        if use.node in rings:
            break
        for number, group in enumerate(use.handler.outputs):
            if len(group) > 1 and any(output.event is use.ref for output in group):
                found[use.node, number] = use
        if len(use.handler.triggers) != 1:
            break
        name = use.handler.triggers[0].name
    return found


class Race(Record):
    deadline: Use  # its trigger
    stop: Ref  # in the `unless`
    stopper: Use | None  # None: it comes from outside
    outputs: tuple[str, ...]

    def report(self) -> Report:
        node, stop = self.deadline.node, self.stop.name
        after = duration(self.deadline.handler.period_ms or 0)
        who = f"`{self.stopper.service.name}`" if self.stopper else "outside"
        decider = who if self.stopper else f"one service that reads `{stop}`"
        said = quoted(self.outputs)
        where = (Label(self.stopper.ref.span, f"emitted here, by {who}"),) if self.stopper else ()
        path = (str(self.stopper.node), stop) if self.stopper else (stop,)
        return Report(
            f"the deadline of `{node.service}` can emit {said} while {who} emits `{stop}`",
            self.stop.span,
            f"may be under way when the {after} are over",
            where,
            (f"both happen: `{stop}` is emitted, and has not arrived when the deadline is due",),
            help=f"let the deadline ask {decider}, which decides which of the two happens",
            subjects=(node.service, self.deadline.ref.name, stop, *self.outputs),
            witness=(*path, str(node), self.outputs[0]),
        )


@rule("FLW309", "deadline-race", Level.WARNING, "a deadline can race what should stop it")
def deadline_race(graph: FlowGraph) -> Iterator[Finding]:
    """Not where one service decides both, or where the deadline asks who decides.

    Who merely hears of the deadline's outputs, and emits nothing for them, decides nothing.
    """
    for node, (service, handler) in graph.handlers.items():
        outputs = tuple(dict.fromkeys(ref.name for ref in handler.output_refs()))
        if handler.kind != "after" or not outputs or not handler.triggers:
            continue
        asked = {
            use.service.name
            for output in outputs
            for use in graph.triggers.get(output, ())
            if use.handler.outputs
        }
        deadline = Use(service, handler, node, handler.triggers[0])
        for stop in handler.unless:
            event = graph.system.events.get(stop.name)
            if event is None or stop.name in (*outputs, deadline.ref.name):
                continue  # one that the next of its kind renews waits for silence
            others = [
                use
                for use in graph.emits.get(stop.name, ())
                if use.service.name != service.name and use.service.name not in asked
            ]
            if others or event.external:
                yield Race(deadline, stop, others[0] if others else None, outputs)
