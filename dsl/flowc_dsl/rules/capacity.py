"""508: what is declared to come in, against what is declared to be there for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from flowc_dsl import limits
from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.gain import TOLERANCE, per_call
from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, Node, build_graph
from flowc_dsl.model import Scenario, Service
from flowc_dsl.rates import Load, Part, Rates, is_given, loaded, loads_of, rates_of
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.wording import counted, duration, per_time, quoted, short_time

PARTS_SHOWN_MAX: Final = 3


class Overloaded(Record):
    """`path` leads from outside to the busiest handler, with the rate at each hop."""

    load: Load
    most: float  # the utilisation that is still fine
    labels: tuple[Label, ...]
    few_keys: tuple[str, ...]  # the triggers whose keys have too few values for the replicas
    path: tuple[str, ...]

    @property
    def service(self) -> Service:
        return self.load.service

    def report(self) -> Report:
        load, name = self.load, self.service.name
        over = load.utilisation >= 1
        about = "" if load.known else "at least "
        by_key = load.servers < self.service.replicas_max
        who = f"`{load.parts[0].node}`" if by_key else f"service `{name}`"
        verb = "can't keep up" if over else "has little room"
        mean = short_time(load.mean_ms)
        at_once = counted(load.servers, "key" if by_key else "replica")
        return Report(
            f"{who} {verb}: {per_time(load.calls_per_s)} at {mean} each load {at_once} to "
            f"{about}{_percent(load.utilisation)}",
            self.service.replicas_span or self.service.span,
            f"{counted(self.service.replicas_max, 'replica')} at most",
            self.labels,
            self._notes(),
            help=self._help(),
            subjects=(name, *(part.node.service for part in load.parts)),
            witness=self.path,
            level=None if over else Level.INFO,
        )

    def _notes(self) -> tuple[str, ...]:
        load = self.load
        notes: list[str] = []
        if len(load.parts) > 1:
            shown = ", ".join(map(_spelled, load.parts[:PARTS_SHOWN_MAX]))
            more = len(load.parts) - PARTS_SHOWN_MAX
            notes.append(shown + (f", and {more} more" if more > 0 else ""))
        if self.few_keys:
            values = counted(load.parts[0].keys, "value")
            keys = f"the key of {quoted(self.few_keys)} has {values}"
            notes.append(f"{keys}, and events of one key are handled one after the other")
        if load.utilisation >= 1:
            notes.append("its backlog grows for as long as this load lasts")
        return tuple(notes)

    def _help(self) -> str:
        load = self.load
        needed = math.ceil(load.busy / self.most)
        needed += load.busy >= needed  # where all of them may be busy, they are too few
        if self.few_keys:
            return "give the event a key of more values, or let the handler take less time"
        if needed > limits.PARTITIONS:
            most = f"{limits.PARTITIONS} replicas are the most there can be"
            return f"let the handlers take less time, or split the service: {most}"
        share = _percent(load.busy / needed)
        return f"give it {counted(needed, 'replica')} ({share} busy), or let it take less time"


def _spelled(part: Part) -> str:
    calls, known = part.calls
    often = per_time(calls) if calls else "never" if known else "who knows how often"
    return f"`{part.node}` {often} at {short_time(part.mean_ms)}"


def _percent(share: float) -> str:
    return f"{share * 100:,.0f} %"


class TooMuchForScenario(Record):
    """A scenario that loads a service over its capacity, which the declared rates don't."""

    scenario: Scenario
    load: Load
    path: tuple[str, ...]

    def report(self) -> Report:
        load, name = self.load, self.load.service.name
        mean = short_time(load.mean_ms)
        return Report(
            f"service `{name}` can't keep up in scenario `{self.scenario.name}`: "
            f"{per_time(load.calls_per_s)} at {mean} each load it to {_percent(load.utilisation)}",
            self.scenario.loads[0].span,
            "loads more than it can do",
            (Label(load.service.span, f"{counted(load.service.replicas_max, 'replica')} at most"),),
            self._notes(),
            help="if the backlog is not what the scenario is about, lower the load, or give it "
            f"{counted(math.floor(load.busy) + 1, 'replica')}",
            subjects=(name, self.scenario.name),
            witness=self.path,
            level=Level.INFO,
        )

    def _notes(self) -> tuple[str, ...]:
        lengths = [load.for_ms for load in self.scenario.loads if load.for_ms is not None]
        if len(lengths) < len(self.scenario.loads):
            return ()
        excess = self.load.calls_per_s * (1 - 1 / self.load.utilisation)
        backlog = float(f"{excess * min(lengths) / 1_000:.2g}")  # no more digits than are known
        return (f"after {duration(min(lengths))} its backlog is about {backlog:,.0f} events",)


@rule("FLW508", "over-capacity", Level.WARNING, "the declared load exceeds the declared capacity")
def over_capacity(graph: FlowGraph) -> Iterator[Finding]:
    """Of services that say `takes`. What lies behind a cycle without end (FLW306) has no rate."""
    handlers = [handler for _, handler in graph.handlers.values()]
    if all(handler.takes is None for handler in handlers):
        return
    rates, most = rates_of(graph), graph.thresholds.utilisation
    over: set[str] = set()
    for name, load in loads_of(graph, rates).items():
        used = load.utilisation
        if math.isfinite(used) and (used >= 1 or used > most + TOLERANCE):
            over.update((name,) if used >= 1 else ())
            path = busiest_path(graph, rates, load.parts[0].node)
            few = _few_keys(graph, load, most)
            yield Overloaded(load, most, _labels(graph, load, path), few, _with_rates(rates, path))
    for scenario in graph.system.scenarios:
        yield from _in_scenario(graph, scenario, over)


def _in_scenario(graph: FlowGraph, scenario: Scenario, over: set[str]) -> Iterator[Finding]:
    """What is over capacity only here."""
    under_load = build_graph(loaded(graph.system, scenario))
    rates = rates_of(under_load)
    for name, load in loads_of(under_load, rates).items():
        if name not in over and 1 <= load.utilisation < math.inf:
            path = busiest_path(under_load, rates, load.parts[0].node)
            yield TooMuchForScenario(scenario, load, _with_rates(rates, path))


def _few_keys(graph: FlowGraph, load: Load, most: float) -> tuple[str, ...]:
    """Of the busiest handler, if more replicas than its keys would be needed, or are there."""
    part = load.parts[0]
    if part.keys == limits.PARTITIONS or part.busy / part.keys <= most:
        return ()
    return tuple(ref.name for ref in graph.handlers[part.node][1].triggers)


def _labels(graph: FlowGraph, load: Load, path: tuple[Node, ...]) -> tuple[Label, ...]:
    takes = graph.handlers[load.parts[0].node][1].takes
    assert takes is not None
    found = [Label(takes.span, f"{short_time(load.parts[0].mean_ms)} on average")]
    event = graph.system.events.get(path[0].name) if isinstance(path[0], EventNode) else None
    if event is not None and event.rate_per_s is not None:
        found.append(Label(event.span, per_time(event.rate_per_s)))
    return tuple(found)


def busiest_path(graph: FlowGraph, rates: Rates, goal: HandlerNode) -> tuple[Node, ...]:
    """Back from a handler over what brings the most of it, to where its rate is declared."""
    path: list[Node] = [goal]
    seen: set[Node] = set()
    while True:
        seen.add(path[-1])
        if is_given(graph.system, path[-1]):
            break
        before = [node for node in graph.predecessors[path[-1]] if node not in seen]
        if not before:
            break
        path.append(max(before, key=lambda node: _brings(graph, rates, node, path[-1])))
    return tuple(reversed(path))


def _brings(graph: FlowGraph, rates: Rates, node: Node, to: Node) -> float:
    """How much a node adds to the next one."""
    if isinstance(node, HandlerNode):
        return rates.handlers[node].per_s * per_call(graph.handlers[node][1])[str(to)]
    return rates.events[node.name].per_s


def _per_s(rates: Rates, node: Node) -> float:
    if isinstance(node, EventNode):
        return rates.events[node.name].per_s
    return rates.handlers[node].per_s


def _with_rates(rates: Rates, path: tuple[Node, ...]) -> tuple[str, ...]:
    return tuple(f"{node} {per_time(_per_s(rates, node))}" for node in path)
