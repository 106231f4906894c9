"""What there is to draw of a system: clusters, nodes and edges, each once, in the text's order.

An edge of the drawing is one mention of an event by a handler: a trigger, an `unless`, an output.
Lines between a service and a store come on top. Nothing is merged or left out here, whatever is
wrong with the system: a name that does not exist becomes a node that is marked `missing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from flowc_dsl.graph import handler_label
from flowc_dsl.model import Event, Handler, Output, Service, System

NodeKind = Literal["service", "event", "command", "store", "context"]
EdgeKind = Literal["trigger", "unless", "output", "owns", "uses", "flow"]
DECLARED_KINDS: frozenset[EdgeKind] = frozenset({"trigger", "unless", "output"})
TIMES = "\N{MULTIPLICATION SIGN}"
EN_DASH = "\N{EN DASH}"
MANY_MARK = {"one": "", "maybe": "?", "any": "*"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A context."""

    name: str
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """`cluster` is where it is drawn; `rows` are a service's handlers, in order."""

    id: str
    kind: NodeKind
    name: str
    cluster: str | None = None
    rows: tuple[str, ...] = ()
    badges: tuple[str, ...] = ()
    external: bool = False
    exported: bool = False
    missing: bool = False
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """From `source` to `target`, both ids of nodes. `handler` is the index of the service's row.

    `weight` is how many declared edges it stands for: more than one only in a collapsed drawing.
    """

    id: str
    kind: EdgeKind
    source: str
    target: str
    handler: int | None = None
    label: str = ""
    alternative: int | None = None  # outputs of one handler with one number: exactly one of them
    weight: int = 1

    @property
    def source_row(self) -> int | None:
        """The row that the edge leaves; None where it leaves the node as a whole."""
        return self.handler if self.kind == "output" else None

    @property
    def target_row(self) -> int | None:
        """The row that the edge enters; None where it enters the node as a whole."""
        return self.handler if self.kind in ("trigger", "unless") else None


@dataclass(frozen=True, slots=True)
class Topology:
    """`declared` counts the declared edges; `inner` those inside a collapsed context, not drawn."""

    system: str
    clusters: tuple[Cluster, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    declared: int
    inner: int = 0
    collapsed: bool = False
    by_id: dict[str, Node] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {node.id: node for node in self.nodes})
        assert len(self.by_id) == len(self.nodes), "a node is there twice"
        assert all(e.source in self.by_id and e.target in self.by_id for e in self.edges)
        assert self.inner + sum(_declared(e) for e in self.edges) == self.declared, "edges lost"


def _declared(edge: Edge) -> int:
    return edge.weight if edge.kind in DECLARED_KINDS or edge.kind == "flow" else 0


def topology_of(system: System) -> Topology:
    """Everything of the system that a picture shows."""
    builder = _Builder(system)
    nodes = builder.nodes()
    edges = tuple(builder.edges())
    handlers = [h for service in system.services.values() for h in service.handlers]
    return Topology(
        system=system.name,
        clusters=tuple(Cluster(c.name, c.owner) for c in system.contexts.values()),
        nodes=(*nodes, *builder.missing.values()),
        edges=edges,
        declared=sum(len(h.triggers) + len(h.unless) + len(h.output_refs()) for h in handlers),
    )


class _Builder:
    def __init__(self, system: System) -> None:
        self.system = system
        self.missing: dict[str, Node] = {}
        self.homes = _homes(system)
        self.stores = {
            store.name: service.name
            for service in system.services.values()
            for store in service.stores
        }
        self.number = count(1)

    def nodes(self) -> list[Node]:
        found = [self.event(event) for event in self.system.events.values()]
        for service in self.system.services.values():
            cluster = self.cluster(service.context)
            found.append(_service(service, cluster))
            names = dict.fromkeys(store.name for store in service.stores)
            found += [Node(f"store/{service.name}/{n}", "store", n, cluster) for n in names]
        return found

    def event(self, event: Event) -> Node:
        return Node(
            id=f"event/{event.name}",
            kind=event.kind,
            name=event.name,
            cluster=self.cluster(event.context or self.homes.get(event.name)),
            external=event.external,
            exported=event.exported,
            doc=event.doc,
        )

    def cluster(self, context: str | None) -> str | None:
        return context if context in self.system.contexts else None

    def event_id(self, name: str) -> str:
        node = f"event/{name}"
        if name not in self.system.events:
            self.missing.setdefault(node, Node(node, "event", name, missing=True))
        return node

    def store_id(self, name: str) -> str:
        owner, _, store = name.rpartition(".")
        owner = owner or self.stores.get(store, "")
        node = f"store/{owner}/{store}"
        if self.stores.get(store) != owner:
            self.missing.setdefault(node, Node(node, "store", name, missing=True))
        return node

    def id(self) -> str:
        return f"e{next(self.number)}"

    def edges(self) -> Iterator[Edge]:
        for service in self.system.services.values():
            node = f"service/{service.name}"
            for index, handler in enumerate(service.handlers):
                yield from self.handler_edges(node, index, handler)
            for name in dict.fromkeys(store.name for store in service.stores):
                yield Edge(self.id(), "owns", node, f"store/{service.name}/{name}")
            for ref in service.store_refs:
                yield Edge(self.id(), "uses", node, self.store_id(ref.name), label="uses")

    def handler_edges(self, node: str, index: int, handler: Handler) -> Iterator[Edge]:
        timer = _timer(handler)
        after = timer if handler.kind == "after" else ""
        for ref in handler.triggers:
            yield Edge(self.id(), "trigger", self.event_id(ref.name), node, index, after)
        for ref in handler.unless:
            yield Edge(self.id(), "unless", self.event_id(ref.name), node, index, "unless")
        for number, group in enumerate(handler.outputs):
            alternative = number if len(group) > 1 else None
            for output in group:
                label = _output_label(timer if handler.kind == "every" else "", output)
                target = self.event_id(output.event.name)
                yield Edge(self.id(), "output", node, target, index, label, alternative)


def _timer(handler: Handler) -> str:
    """`every 5s` or `after 15m`, also of a handler that has a name."""
    bare = Handler(handler.kind, handler.span, handler.triggers, period_ms=handler.period_ms)
    return handler_label(bare).partition(" of ")[0]


def _output_label(timer: str, output: Output) -> str:
    chance = f"{output.chance * 100:g}%" if output.chance is not None else ""
    return " ".join(part for part in (timer, MANY_MARK[output.many], chance) if part)


def _service(service: Service, cluster: str | None) -> Node:
    low, high = service.replicas_min, service.replicas_max
    badges = []
    if high > 1:
        badges.append(f"{TIMES}{low}" if low == high else f"{TIMES}{low}{EN_DASH}{high}")
    if service.run is not None and service.run.kind == "mock":
        badges.append("mock")
    return Node(
        id=f"service/{service.name}",
        kind="service",
        name=service.name,
        cluster=cluster,
        rows=tuple(handler_label(handler) for handler in service.handlers),
        badges=tuple(badges),
        doc=service.doc,
    )


def _homes(system: System) -> dict[str, str]:
    """The context of each event that exactly one context emits: it is drawn there."""
    emitters: dict[str, set[str | None]] = {}
    for service in system.services.values():
        for handler in service.handlers:
            for ref in handler.output_refs():
                emitters.setdefault(ref.name, set()).add(service.context)
    return {
        name: context
        for name, contexts in emitters.items()
        if len(contexts) == 1 and (context := next(iter(contexts))) is not None
    }
