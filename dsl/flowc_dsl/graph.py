"""The handler-level graph of a system: who triggers what.

Nodes are events and handlers. A handler is an edge from each of its triggers to each of its
outputs, so a path reads `OrderPlaced -> Stock.on OrderPlaced -> StockReserved`. What a handler
merely reads (`unless`) is no edge. Names that are not declared are nodes too: what a name is, is
not the graph's question.

networkx costs more to import than a small system costs to check, so the walks that every check
needs are plain, and `networkx()` builds the `DiGraph` for those that need more (cycles, exports).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

from flowc_dsl.model import Handler, Ref, Service, System
from flowc_dsl.rules.wording import duration, meant
from flowc_dsl.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    import networkx as nx

    from flowc_dsl.pysource.facts import Code
    from flowc_dsl.rules.taint import Taint


class EventNode(NamedTuple):
    name: str

    def __str__(self) -> str:
        return self.name


class HandlerNode(NamedTuple):
    """The handler `number` (from 0) of `service`, in the order they are written."""

    service: str
    number: int
    label: str

    def __str__(self) -> str:
        return f"{self.service}.{self.label}"


Node = EventNode | HandlerNode


def handler_label(handler: Handler) -> str:
    """A few words for one handler: its name, else the way it is triggered."""
    if handler.name is not None:
        return handler.name.name
    names = [ref.name for ref in handler.triggers]
    match handler.kind:
        case "on":
            return f"on {' | '.join(names)}"
        case "join":
            return f"on {' & '.join(names)}"
        case "every":
            return f"every {duration(handler.period_ms or 0)}"
        case "after":
            return f"after {duration(handler.period_ms or 0)} of {' | '.join(names)}"


class Use(NamedTuple):
    """A place where a handler mentions an event."""

    service: Service
    handler: Handler
    node: HandlerNode
    ref: Ref


@dataclass(frozen=True)
class FlowGraph:
    """The graph of one system, and where each event is emitted and read. Orders are the text's."""

    system: System
    handlers: Mapping[HandlerNode, tuple[Service, Handler]]
    successors: Mapping[Node, tuple[Node, ...]]
    predecessors: Mapping[Node, tuple[Node, ...]]
    emits: Mapping[str, tuple[Use, ...]]
    triggers: Mapping[str, tuple[Use, ...]]
    watches: Mapping[str, tuple[Use, ...]] = field(default_factory=dict)  # by `unless`
    thresholds: Thresholds = DEFAULTS  # what the rules measure it against
    code: Code | None = None  # the services' Python source, where it is there and was read

    @cached_property
    def rank(self) -> Mapping[Node, int]:
        """The place of each node in the order of the text."""
        return {node: number for number, node in enumerate(self.successors)}

    @cached_property
    def edge_count(self) -> int:
        """Each trigger (`of` is one), `unless` and output of each handler, as written."""
        return sum(
            len(h.triggers) + len(h.unless) + len(h.output_refs())
            for _, h in self.handlers.values()
        )

    def emitters(self, event: str) -> tuple[str, ...]:
        """The services that emit the event, each once."""
        return _services(self.emits.get(event, ()))

    def readers(self, event: str) -> tuple[str, ...]:
        """The services that read the event, by trigger or `unless`, each once."""
        return _services((*self.triggers.get(event, ()), *self.watches.get(event, ())))

    @cached_property
    def misread(self) -> frozenset[str]:
        """The events that an undeclared name in a trigger or `unless` was probably meant to be."""
        return meant((*self.triggers, *self.watches), self.system.events)

    @cached_property
    def misemitted(self) -> frozenset[str]:
        """The events that an undeclared output was probably meant to be."""
        return meant(self.emits, self.system.events)

    @cached_property
    def taint(self) -> Taint:
        """Where personal data goes; several rules ask."""
        from flowc_dsl.rules.taint import taint  # noqa: PLC0415  # it walks this graph

        return taint(self)

    def reached_from(self, roots: Iterable[Node]) -> set[Node]:
        """What can happen once the roots do: any trigger of `on`, but every side of a join."""
        reached: set[Node] = set()
        queue = deque(roots)
        while queue:
            node = queue.popleft()
            if node in reached or not self.fires(node, reached):
                continue
            reached.add(node)
            queue.extend(self.successors[node])
        return reached

    def fires(self, node: Node, reached: set[Node]) -> bool:
        """Whether a node happens, once one that leads to it does and these have."""
        if isinstance(node, EventNode) or self.handlers[node][1].kind != "join":
            return True
        return all(event in reached for event in self.predecessors[node])

    def shortest_path(
        self, start: Node, goal: Node, within: set[Node] | None = None
    ) -> tuple[Node, ...]:
        """The nodes from `start` to `goal` by at least one edge, so also round a ring; else ()."""
        parents: dict[Node, Node] = {}
        queue: deque[Node] = deque([start])
        while queue:
            node = queue.popleft()
            for successor in self.successors[node]:
                if within is not None and successor not in within:
                    continue
                if successor == goal:
                    return (*_back(node, start, parents), successor)
                if successor not in parents and successor != start:
                    parents[successor] = node
                    queue.append(successor)
        return ()

    @cached_property
    def acyclic(self) -> bool:
        try:
            TopologicalSorter(self.predecessors).prepare()
        except CycleError:
            return False
        return True

    def cyclic_components(self, within: set[Node] | None = None) -> list[set[Node]]:
        """The strongly connected components that hold a cycle, in the order of their first node."""
        if self.acyclic:
            return []
        import networkx as nx  # noqa: PLC0415  # lazy: most systems have no cycle

        graph = self.networkx()
        part = graph if within is None else graph.subgraph(within)
        found = [set(c) for c in nx.strongly_connected_components(part) if len(c) > 1]
        return sorted(found, key=lambda found: min(self.rank[node] for node in found))

    @cached_property
    def groups(self) -> tuple[tuple[Node, ...], ...]:
        """The cyclic components, and each other node by itself: each behind all that lead to it."""
        rings = self.cyclic_components()
        ring_of = {node: number for number, ring in enumerate(rings) for node in ring}
        groups = [tuple(sorted(ring, key=lambda node: self.rank[node])) for ring in rings]
        for node in self.successors:
            if node not in ring_of:
                ring_of[node] = len(groups)
                groups.append((node,))
        before = {
            number: {ring_of[p] for node in group for p in self.predecessors[node]} - {number}
            for number, group in enumerate(groups)
        }
        return tuple(groups[number] for number in TopologicalSorter(before).static_order())

    def networkx(self) -> nx.DiGraph[Node]:
        """The same graph as a `networkx.DiGraph`; built on first use."""
        return self._networkx

    @cached_property
    def _networkx(self) -> nx.DiGraph[Node]:
        import networkx as nx  # noqa: PLC0415  # lazy: see the head of this file

        graph = nx.DiGraph()
        graph.add_nodes_from(self.successors)
        graph.add_edges_from((a, b) for a, targets in self.successors.items() for b in targets)
        return graph


def build_graph(
    system: System, thresholds: Thresholds = DEFAULTS, code: Code | None = None
) -> FlowGraph:
    """The graph of a system, whatever is wrong with it."""
    handlers = dict(_handlers(system))
    successors: dict[Node, list[Node]] = {EventNode(name): [] for name in system.events}
    predecessors: dict[Node, list[Node]] = {EventNode(name): [] for name in system.events}
    emits: dict[str, list[Use]] = {}
    triggers: dict[str, list[Use]] = {}
    watches: dict[str, list[Use]] = {}

    def connect(a: Node, b: Node) -> None:
        successors.setdefault(a, []).append(b)
        predecessors.setdefault(a, [])
        successors.setdefault(b, [])
        predecessors.setdefault(b, []).append(a)

    for node, (service, handler) in handlers.items():
        successors.setdefault(node, [])
        predecessors.setdefault(node, [])
        for ref in handler.triggers:
            triggers.setdefault(ref.name, []).append(Use(service, handler, node, ref))
            connect(EventNode(ref.name), node)
        for ref in handler.output_refs():
            emits.setdefault(ref.name, []).append(Use(service, handler, node, ref))
            connect(node, EventNode(ref.name))
        for ref in handler.unless:
            watches.setdefault(ref.name, []).append(Use(service, handler, node, ref))
    return FlowGraph(
        system=system,
        handlers=handlers,
        successors=_frozen(successors),
        predecessors=_frozen(predecessors),
        emits={name: tuple(uses) for name, uses in emits.items()},
        triggers={name: tuple(uses) for name, uses in triggers.items()},
        watches={name: tuple(uses) for name, uses in watches.items()},
        thresholds=thresholds,
        code=code,
    )


def _handlers(system: System) -> Iterator[tuple[HandlerNode, tuple[Service, Handler]]]:
    for service in system.services.values():
        for index, handler in enumerate(service.handlers):
            yield HandlerNode(service.name, index, handler_label(handler)), (service, handler)


def _frozen(adjacency: dict[Node, list[Node]]) -> dict[Node, tuple[Node, ...]]:
    """Each neighbour once, in the order written."""
    return {node: tuple(dict.fromkeys(found)) for node, found in adjacency.items()}


def _services(uses: Iterable[Use]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(use.service.name for use in uses))


def _back(node: Node, start: Node, parents: Mapping[Node, Node]) -> tuple[Node, ...]:
    path = [node]
    while path[-1] != start:
        path.append(parents[path[-1]])
    return tuple(reversed(path))
