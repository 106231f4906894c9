"""How often each event happens and each handler is called, and how busy that keeps a service.

From what is declared alone: `rate` on events, the periods of timers, the shares of outputs
(`gain`), `takes`, and `replicas`. Pure: the rules and the simulator read the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from flowc_dsl import limits
from flowc_dsl.gain import (
    MAYBE,
    ROUNDS_MAX,
    TOLERANCE,
    Step,
    growth,
    per_call,
    steps_of,
    unbounded,
)
from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, Node
from flowc_dsl.model import Handler, Scenario, Service, System, Takes
from flowc_dsl.record import Record

_MS_PER_S: Final = 1_000


class Rate(NamedTuple):
    """Per second; `inf` behind a cycle that brings forth as much as it takes.

    Where something that leads here has no known rate, `known` is False and `per_s` what is known:
    a lower bound.
    """

    per_s: float
    known: bool = True


class Rates(Record):
    events: Mapping[str, Rate]
    handlers: Mapping[HandlerNode, Rate]  # calls


def rates_of(graph: FlowGraph) -> Rates:
    """The rates of all events and handlers of a system.

    A `rate` on an event stands, whatever leads to the event; without one, an event that comes from
    outside is not known. A join is called as often as its rarest side. A cycle is solved as a
    whole: with a gain under 1 its rounds add up to a finite rate.
    """
    found: dict[Node, Rate] = {}
    for group in graph.groups:
        if len(group) > 1:
            _solve(graph, group, found)
        else:
            found[group[0]] = _rate(graph, group[0], found)
    return Rates(
        {node.name: rate for node, rate in found.items() if isinstance(node, EventNode)},
        {node: rate for node, rate in found.items() if isinstance(node, HandlerNode)},
    )


def loaded(system: System, scenario: Scenario) -> System:
    """The system with the loads of a scenario as its rates: nothing else comes from outside."""
    given: dict[str, float] = {}
    for load in scenario.loads:
        given[load.event.name] = given.get(load.event.name, 0.0) + load.rate_per_s
    events = {
        name: replace(event, rate_per_s=given.get(name, 0.0)) if event.external else event
        for name, event in system.events.items()
    }
    return replace(system, events=events)


def _rate(graph: FlowGraph, node: Node, found: Mapping[Node, Rate]) -> Rate:
    """Of one node, of what is before it."""
    if isinstance(node, HandlerNode):
        return _calls(graph.handlers[node][1], found)
    event = graph.system.events.get(node.name)
    if event is not None and event.rate_per_s is not None:
        return Rate(event.rate_per_s)
    parts = [
        (found[use], per_call(graph.handlers[use][1])[node.name])
        for use in graph.predecessors[node]
        if isinstance(use, HandlerNode)
    ]
    known = all(rate.known for rate, _ in parts) and not (event is None or event.external)
    return Rate(sum(rate.per_s * share for rate, share in parts if share), known)


def _calls(handler: Handler, found: Mapping[Node, Rate]) -> Rate:
    if handler.kind == "every":
        return Rate(_MS_PER_S / handler.period_ms if handler.period_ms else 0.0)
    sides = [found[EventNode(ref.name)] for ref in handler.triggers]
    if handler.kind == "join":
        return Rate(min(rate.per_s for rate in sides), all(rate.known for rate in sides))
    per_s = sum(rate.per_s for rate in sides)
    return Rate(per_s * (MAYBE if handler.unless else 1), all(rate.known for rate in sides))


# ---- cycles


def _solve(graph: FlowGraph, group: tuple[Node, ...], found: dict[Node, Rate]) -> None:
    """Fills in the rates of a knot whose inflow is known by now."""
    knot = set(group)
    given = {node for node in group if is_given(graph.system, node)}
    events = [n for n in group if isinstance(n, EventNode) and n not in given]
    steps = steps_of(graph, events, knot)
    known = _inflow_known(graph, group, found)
    found.update(dict.fromkeys(group, Rate(0.0, known)))
    found.update({node: _rate(graph, node, found) for node in given})
    _one_round(graph, group, found, known=known)
    inflow = [found[event].per_s for event in events]
    sizes: list[float] | None = inflow
    if any(inflow):
        endless = math.inf in inflow or unbounded(graph, knot - given)
        if endless or growth(len(events), steps) >= 1 - TOLERANCE:
            sizes = None
        elif any(isinstance(n, HandlerNode) and graph.handlers[n][1].kind == "join" for n in knot):
            sizes = _iterated(graph, group, events, found, known=known)
        else:
            sizes = geometric(inflow, steps)
    for number, event in enumerate(events):
        found[event] = Rate(math.inf if sizes is None else sizes[number], known)
    for node in group:
        if isinstance(node, HandlerNode):
            found[node] = Rate(_rate(graph, node, found).per_s, known)


def is_given(system: System, node: Node) -> bool:
    """Whether an event says its rate itself."""
    event = system.events.get(node.name) if isinstance(node, EventNode) else None
    return event is not None and event.rate_per_s is not None


def _inflow_known(graph: FlowGraph, group: tuple[Node, ...], found: Mapping[Node, Rate]) -> bool:
    """Whether all that leads into a knot is known; what is in it is taken for known."""
    assumed = {node: Rate(0.0) for node in group}
    before = {p for node in group for p in graph.predecessors[node]}
    assumed |= {node: found[node] for node in before if node in found}
    return all(_rate(graph, node, assumed).known for node in group)


def _one_round(
    graph: FlowGraph, group: tuple[Node, ...], found: dict[Node, Rate], *, known: bool
) -> None:
    """Handlers of the rates of their events, then events of those of their handlers."""
    for kind in (HandlerNode, EventNode):
        for node in group:
            if isinstance(node, kind) and not is_given(graph.system, node):
                found[node] = Rate(_rate(graph, node, found).per_s, known)


def _iterated(
    graph: FlowGraph,
    group: tuple[Node, ...],
    events: list[EventNode],
    found: dict[Node, Rate],
    *,
    known: bool,
) -> list[float] | None:
    """The least rates that hold: the sides of a join are no sum, so round after round."""
    before = [found[event].per_s for event in events]
    for _ in range(ROUNDS_MAX * 10):
        _one_round(graph, group, found, known=known)
        now = [found[event].per_s for event in events]
        if all(a - b <= TOLERANCE * a for a, b in zip(now, before, strict=True)):
            return now
        before = now
    return None


def geometric(inflow: list[float], steps: list[Step]) -> list[float]:
    """The `x` with `x = inflow + steps(x)`: what enters, and all of its rounds.

    Gaussian elimination over the entries that are not zero. With a growth under 1 the matrix is an
    M-matrix: no pivot is zero, and nothing has to be exchanged.
    """
    rows: list[dict[int, float]] = [{number: 1.0} for number in range(len(inflow))]
    for source, target, many in steps:
        rows[target][source] = rows[target].get(source, 0.0) - many
    right = list(inflow)
    below: list[set[int]] = [set() for _ in inflow]  # by column: the rows under the diagonal
    for number, row in enumerate(rows):
        for column in row:
            if column < number:
                below[column].add(number)
    for pivot, row in enumerate(rows):
        for number in sorted(below[pivot]):
            other = rows[number]
            factor = other.pop(pivot) / row[pivot]
            right[number] -= factor * right[pivot]
            for column, entry in row.items():
                if column > pivot:
                    other[column] = other.get(column, 0.0) - factor * entry
                    if column < number:
                        below[column].add(number)
    for number in range(len(rows) - 1, -1, -1):
        behind = sum(rows[number][c] * right[c] for c in rows[number] if c > number)
        right[number] = (right[number] - behind) / rows[number][number]
    return right


# ---- capacity


def mean_ms(takes: Takes) -> float:
    """The mean of a service time. `lognormal` and `normal` name mean and deviation, `uniform` its
    bounds; a `normal` time under 0 counts as 0."""
    first = takes.args_ms[0]
    match takes.distribution:
        case "uniform":
            return (first + takes.args_ms[1]) / 2
        case "normal" if takes.args_ms[1] > 0:
            at = first / takes.args_ms[1]
            below = math.erfc(-at / math.sqrt(2)) / 2
            density = math.exp(-at * at / 2) / math.sqrt(2 * math.pi)
            return first * below + takes.args_ms[1] * density
        case _:  # constant, exponential, lognormal
            return first


class Part(NamedTuple):
    """What one handler adds: `busy` processes, of so many calls with such a mean time."""

    node: HandlerNode
    calls: Rate
    mean_ms: float
    keys: int  # that its events can have: as many can be worked on at once

    @property
    def busy(self) -> float:
        return self.calls.per_s * self.mean_ms / _MS_PER_S


class Load(Record):
    """How busy a service is: on average `busy` processes of at most `servers`.

    `parts` are the handlers that say `takes`, the busiest first. `known` says whether all that
    the service does is in it; else `busy` is a lower bound.
    """

    service: Service
    parts: tuple[Part, ...]
    busy: float
    servers: int
    known: bool

    @property
    def utilisation(self) -> float:
        """1 is all that can be done; from there on the backlog grows for ever."""
        return self.busy / self.servers

    @property
    def calls_per_s(self) -> float:
        return sum(part.calls.per_s for part in self.parts)

    @property
    def mean_ms(self) -> float:
        """Of a call."""
        return self.busy / self.calls_per_s * 1_000


def loads_of(graph: FlowGraph, rates: Rates) -> dict[str, Load]:
    """The load of each service that says `takes`, at the most replicas that it may have.

    Where a handler's keys have few values, those few are the most that work at once: if that part
    of the service is the busier one, the load is that part's.
    """
    parts: dict[str, list[Part]] = {}
    for node, (service, handler) in graph.handlers.items():
        if handler.takes is not None:
            keys = _keys(graph.system, handler)
            part = Part(node, rates.handlers[node], mean_ms(handler.takes), keys)
            parts.setdefault(service.name, []).append(part)
    untimed = {
        service.name
        for node, (service, handler) in graph.handlers.items()
        if handler.takes is None and rates.handlers[node] != Rate(0.0)
    }
    return {
        name: _load(graph.system.services[name], found, timed=name not in untimed)
        for name, found in parts.items()
    }


def _load(service: Service, parts: list[Part], *, timed: bool) -> Load:
    parts = sorted(parts, key=lambda part: (-part.busy, part.node.number))
    choices = [(tuple(parts), service.replicas_max)]
    choices += [((part,), part.keys) for part in parts if part.keys < service.replicas_max]
    loads = [
        Load(
            service,
            chosen,
            sum(part.busy for part in chosen),
            servers,
            timed and all(part.calls.known for part in chosen),
        )
        for chosen, servers in choices
    ]
    return max(loads, key=lambda load: load.utilisation)


def _keys(system: System, handler: Handler) -> int:
    """How many keys the calls can have, up to the number of partitions; a timer's have none."""
    values = sum(_values(system, ref.name) for ref in handler.triggers)
    return min(limits.PARTITIONS, values or limits.PARTITIONS)


def _values(system: System, name: str) -> int:
    """The values of an event's key, up to the number of partitions; without a key all are used."""
    event = system.events.get(name)
    if event is None or event.key is None:
        return limits.PARTITIONS
    key = next((field for field in event.fields if field.name == event.key.name), None)
    if key is not None and key.type.name == "bool":
        return 2
    if key is not None and key.type.name in system.enums:
        return min(limits.PARTITIONS, max(1, len(system.enums[key.type.name].members)))
    return limits.PARTITIONS
