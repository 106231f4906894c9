"""The handler-level graph of a system: who triggers what.

Nodes are events and handlers. A handler is an edge from each of its triggers to each of its
outputs, so a path reads `OrderPlaced -> Stock.on OrderPlaced -> StockReserved`. What a handler
merely reads (`unless`) is no edge. Names that are not declared are nodes too: what a name is, is
not the graph's question.

networkx costs more to import than a small system costs to check, so the walks that a check needs
are plain, and `networkx()` builds the `DiGraph` for those that need more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from flowc_dsl.model import Handler, Ref, Service, System
from flowc_dsl.rules.wording import duration, meant
from flowc_dsl.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    import networkx as nx

    from flowc_dsl.pysource.facts import Code


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
Key = TypeVar("Key")
Value = TypeVar("Value")
Result = TypeVar("Result")


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
    shared: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def rank(self) -> Mapping[Node, int]:
        """The place of each node in the order of the text."""
        return {node: number for number, node in enumerate(self.successors)}

    def in_order(self, nodes: Iterable[Node]) -> list[Node]:
        """These nodes in the order of the text."""
        return sorted(nodes, key=self.rank.__getitem__)

    @cached_property
    def edge_count(self) -> int:
        """Each trigger (`of` is one), `unless` and output of each handler, as written."""
        return sum(
            len(h.triggers) + len(h.unless) + len(h.output_refs())
            for _, h in self.handlers.values()
        )

    def emitters(self, event: str) -> tuple[str, ...]:
        """The services that emit the event, each once."""
        return self._emitters.get(event, ())

    def readers(self, event: str) -> tuple[str, ...]:
        """The services that read the event, by trigger or `unless`, each once."""
        return self._readers.get(event, ())

    @cached_property
    def _emitters(self) -> Mapping[str, tuple[str, ...]]:
        return {event: _services(uses) for event, uses in self.emits.items()}

    @cached_property
    def _readers(self) -> Mapping[str, tuple[str, ...]]:
        found = {event: _services(uses) for event, uses in self.triggers.items()}
        for event, uses in self.watches.items():
            found[event] = _services((*self.triggers.get(event, ()), *uses))
        return found

    @cached_property
    def misread(self) -> frozenset[str]:
        """The events that an undeclared name in a trigger or `unless` was probably meant to be."""
        return meant((*self.triggers, *self.watches), self.system.events)

    @cached_property
    def misemitted(self) -> frozenset[str]:
        """The events that an undeclared output was probably meant to be."""
        return meant(self.emits, self.system.events)

    def reached_from(self, roots: Iterable[Node], before: Iterable[Node] = ()) -> set[Node]:
        """What can happen once the roots do: any trigger of `on`, but every side of a join.

        `before` is what happens anyway, with all that follows from it.
        """
        reached = set(before)
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

    def cyclic_components(self, within: set[Node] | None = None) -> list[set[Node]]:
        """The strongly connected components that hold a cycle, in the order of their first node."""
        if within is None:
            return self._cyclic
        return self._components(within & set[Node]().union(*self._cyclic))

    @cached_property
    def _cyclic(self) -> list[set[Node]]:
        return self._components(_on_cycles(self.successors, self.predecessors))

    def _components(self, nodes: set[Node]) -> list[set[Node]]:
        found = strong_components(self.successors, nodes)
        return sorted((c for c in found if len(c) > 1), key=lambda c: min(self.rank[n] for n in c))

    @cached_property
    def groups(self) -> tuple[tuple[Node, ...], ...]:
        """The cyclic components, and each other node by itself: each behind all that lead to it."""
        rings = self.cyclic_components()
        ring_of = {node: number for number, ring in enumerate(rings) for node in ring}
        groups = [tuple(self.in_order(ring)) for ring in rings]
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
    nodes = {name: EventNode(name) for name in system.events}
    successors: dict[Node, list[Node]] = {node: [] for node in nodes.values()}
    predecessors: dict[Node, list[Node]] = {node: [] for node in nodes.values()}
    emits: dict[str, list[Use]] = {}
    triggers: dict[str, list[Use]] = {}
    watches: dict[str, list[Use]] = {}

    def node_of(name: str) -> EventNode:
        node = nodes.get(name)
        if node is None:
            node = nodes[name] = EventNode(name)
            successors[node], predecessors[node] = [], []
        return node

    for node, (service, handler) in handlers.items():
        after = successors[node] = []
        before = predecessors[node] = []
        for ref in handler.triggers:
            triggers.setdefault(ref.name, []).append(Use(service, handler, node, ref))
            event = node_of(ref.name)
            if event not in before:  # each neighbour once, in the order written
                before.append(event)
                successors[event].append(node)
        for ref in handler.output_refs():
            emits.setdefault(ref.name, []).append(Use(service, handler, node, ref))
            event = node_of(ref.name)
            if event not in after:
                after.append(event)
                predecessors[event].append(node)
        for ref in handler.unless:
            watches.setdefault(ref.name, []).append(Use(service, handler, node, ref))
    return FlowGraph(
        system=system,
        handlers=handlers,
        successors=_frozen(successors),
        predecessors=_frozen(predecessors),
        emits=_frozen(emits),
        triggers=_frozen(triggers),
        watches=_frozen(watches),
        thresholds=thresholds,
        code=code,
    )


def _handlers(system: System) -> Iterator[tuple[HandlerNode, tuple[Service, Handler]]]:
    for service in system.services.values():
        for index, handler in enumerate(service.handlers):
            yield HandlerNode(service.name, index, handler_label(handler)), (service, handler)


def _frozen(found: dict[Key, list[Value]]) -> dict[Key, tuple[Value, ...]]:
    return {key: tuple(values) for key, values in found.items()}


def _services(uses: Iterable[Use]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([use.service.name for use in uses]))


def _on_cycles(
    after: Mapping[Node, Sequence[Node]], before: Mapping[Node, Sequence[Node]]
) -> set[Node]:
    """All nodes that are on a cycle, and some between cycles: the few that are worth a search.

    What nothing leads to, or what leads nowhere, is taken away until there is no such node.
    """
    left = set(after)
    for ahead, behind in ((before, after), (after, before)):
        waits = {node: len([other for other in ahead[node] if other in left]) for node in left}
        free = [node for node, count in waits.items() if not count]
        while free:
            node = free.pop()
            left.discard(node)
            for other in behind[node]:
                if other in left:
                    waits[other] -= 1
                    if not waits[other]:
                        free.append(other)
    return left


def strong_components(after: Mapping[Node, Sequence[Node]], nodes: set[Node]) -> list[set[Node]]:
    """The strongly connected components of the graph of these nodes (Tarjan), without recursion."""
    found: list[set[Node]] = []
    number: dict[Node, int] = {}
    low: dict[Node, int] = {}
    open_: dict[Node, None] = {}  # in the order in which they were met
    for root in nodes:
        if root in number:
            continue
        path = [(root, iter(after[root]))]
        number[root] = low[root] = len(number)
        open_[root] = None
        while path:
            node, rest = path[-1]
            for other in rest:
                if other not in nodes:
                    continue
                if other not in number:
                    number[other] = low[other] = len(number)
                    open_[other] = None
                    path.append((other, iter(after[other])))
                    break
                if other in open_:
                    low[node] = min(low[node], number[other])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == number[node]:
                    component: set[Node] = set()
                    while node not in component:
                        component.add(open_.popitem()[0])
                    found.append(component)
    return found


def once_a_graph(compute: Callable[[FlowGraph], Result]) -> Callable[[FlowGraph], Result]:
    """What several rules need of a graph is computed when the first asks."""

    @wraps(compute)
    def shared(graph: FlowGraph) -> Result:
        if compute not in graph.shared:
            graph.shared[compute] = compute(graph)
        return cast("Result", graph.shared[compute])

    return shared


def _back(node: Node, start: Node, parents: Mapping[Node, Node]) -> tuple[Node, ...]:
    path = [node]
    while path[-1] != start:
        path.append(parents[path[-1]])
    return tuple(reversed(path))
