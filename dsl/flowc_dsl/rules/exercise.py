"""208: outputs that may or may not happen, and that no test or scenario looks at.

A test or scenario is a *trial*: it begins with events (`given`, `load`, and every timer), and ends
in others, its *goals* (`then`, what a `stub` answers, what a checked expectation names). It
exercises an alternative that can come of its beginning, if the alternative is one of its goals, or
if a goal can't come about without it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import and_, or_

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, Node, once_a_graph
from flowc_dsl.model import Output, Scenario, System, Test
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.source import Span

Choice = tuple[HandlerNode, str]  # a handler, and an output that it may leave out


class Trial(Record):
    name: str
    span: Span
    begins: frozenset[str]
    goals: frozenset[str]
    stubs: dict[str, frozenset[str]]  # by service: all that it answers


class Unexercised(Record):
    node: HandlerNode
    output: Output
    trigger: str
    other: tuple[str, Trial] | None  # another output of the handler, and what exercises it

    def report(self) -> Report:
        event, service = self.output.event.name, self.node.service
        related: tuple[Label, ...] = ()
        if self.other is not None:
            related = (Label(self.other[1].span, f"exercises `{self.other[0]}`"),)
        return Report(
            f"no test or scenario has `{self.node}` emit `{event}`",
            self.output.event.span,
            "exercised by nothing",
            related,
            help=f"write a test that ends in it (`then {event}`), or that begins behind it "
            f"(`stub {service} -> {event}`)",
            subjects=(service, event),
            witness=(*((self.trigger,) if self.trigger else ()), str(self.node), event),
        )


@rule("FLW208", "unexercised-output", Level.INFO, "no test or scenario exercises an alternative")
def unexercised_output(graph: FlowGraph) -> Iterator[Finding]:
    """Only once there is a test or a scenario: before, it would be all of them."""
    trials = [*_tests(graph.system), *_scenarios(graph.system)]
    choices = _choices(graph) if trials else {}
    exercised: dict[Choice, Trial] = {}
    open_: dict[Node, set[str]] = {}
    for node, name in choices:
        open_.setdefault(node, set()).add(name)
    for trial in trials:
        for node, name in _exercised(graph, trial, open_):
            exercised[node, name] = trial
            open_[node].discard(name)
    exercised_at: dict[Node, list[tuple[str, Trial]]] = {}
    for (node, name), trial in exercised.items():
        exercised_at.setdefault(node, []).append((name, trial))
    for (node, name), output in choices.items():
        if (node, name) not in exercised:
            handler = graph.handlers[node][1]
            trigger = handler.triggers[0].name if handler.triggers else ""
            others = exercised_at.get(node, ())
            yield Unexercised(node, output, trigger, min(others, default=None, key=_by_place))


def _by_place(other: tuple[str, Trial]) -> tuple[str, int, str]:
    return other[1].span.path, other[1].span.start, other[0]


def _choices(graph: FlowGraph) -> dict[Choice, Output]:
    """The alternatives, in the order of the text."""
    return {
        (node, output.event.name): output
        for node, (_, handler) in graph.handlers.items()
        for group in handler.outputs
        for output in group
        if output.chance != 0
        and (len(group) > 1 or output.many == "maybe" or output.chance not in (None, 1))
    }


def _tests(system: System) -> Iterator[Trial]:
    for test in system.tests:
        yield Trial(test.name, test.span, *_of_test(test))


def _of_test(test: Test) -> tuple[frozenset[str], frozenset[str], dict[str, frozenset[str]]]:
    stubs: dict[str, frozenset[str]] = {}
    for stub in test.stubs:
        answers = frozenset(sample.event.name for sample in stub.samples)
        stubs[stub.service.name] = stubs.get(stub.service.name, frozenset()) | answers
    goals = frozenset(sample.event.name for sample in test.then).union(*stubs.values())
    return frozenset(sample.event.name for sample in test.given), goals, stubs


def _scenarios(system: System) -> Iterator[Trial]:
    expects = {expect.name: expect for expect in system.expects}
    for scenario in system.scenarios:
        checked = [expects[ref.name] for ref in scenario.checks if ref.name in expects]
        goals = frozenset(ref.name for e in checked for ref in (*e.events, *e.targets))
        yield Trial(scenario.name, scenario.span, _loaded(scenario), goals, {})


def _loaded(scenario: Scenario) -> frozenset[str]:
    return frozenset(load.event.name for load in scenario.loads)


def _exercised(graph: FlowGraph, trial: Trial, open_: Mapping[Node, set[str]]) -> Iterator[Choice]:
    reached = _reached(graph, trial)
    goals = {EventNode(name) for name in trial.goals} & reached
    possible = [
        (node, name)
        for node in reached
        if isinstance(node, HandlerNode) and node in open_
        for name in open_[node]
        if _emits(trial, node, EventNode(name))
    ]
    if not goals or not possible:
        return
    bits = {choice: 1 << number for number, choice in enumerate(possible)}
    needed = 0
    sets = _needed(graph, trial, reached, bits)
    for goal in goals:
        needed |= sets[goal]
    for choice, bit in bits.items():
        if needed & bit or EventNode(choice[1]) in goals:
            yield choice


def _emits(trial: Trial, node: Node, event: Node) -> bool:
    """A service that is stubbed emits what the stub says, and nothing else."""
    if not isinstance(node, HandlerNode) or not isinstance(event, EventNode):
        return True
    answers = trial.stubs.get(node.service)
    return answers is None or event.name in answers


@once_a_graph
def _timers(graph: FlowGraph) -> list[Node]:
    return [node for node in graph.handlers if not graph.predecessors[node]]


def _reached(graph: FlowGraph, trial: Trial) -> set[Node]:
    """What can come of the beginning."""
    begins: list[Node] = [EventNode(name) for name in sorted(trial.begins)]
    queue: deque[Node] = deque([*begins, *_timers(graph)])
    reached: set[Node] = set()
    while queue:
        node = queue.popleft()
        if node in reached or node not in graph.successors or not graph.fires(node, reached):
            continue
        reached.add(node)
        queue.extend(n for n in graph.successors[node] if _emits(trial, node, n))
    return reached


def _needed(
    graph: FlowGraph, trial: Trial, reached: set[Node], bits: Mapping[Choice, int]
) -> dict[Node, int]:
    """The choices without which a node is not reached, as bits: what dominates it.

    A node needs what all ways to it have in common, a join what any of its sides needs. Begins
    with everything, and takes away until all agree.
    """
    found = dict.fromkeys(reached, (1 << len(bits)) - 1)
    queue = deque(graph.in_order(reached))
    waiting = set(queue)
    while queue:
        node = queue.popleft()
        waiting.discard(node)
        ways = [
            found[before] | bits.get((before, str(node)), 0)  # type: ignore[arg-type]
            for before in graph.predecessors[node]
            if before in reached and _emits(trial, before, node)
        ]
        begins = not ways or (isinstance(node, EventNode) and node.name in trial.begins)
        joins = isinstance(node, HandlerNode) and graph.handlers[node][1].kind == "join"
        needs = 0 if begins else reduce(or_ if joins else and_, ways)
        if needs != found[node]:
            found[node] = needs
            news = [n for n in graph.successors[node] if n in reached and n not in waiting]
            waiting.update(news)
            queue.extend(news)
    return found
