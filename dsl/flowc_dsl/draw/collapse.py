"""A topology with each context as one node, for systems with hundreds of nodes."""

from __future__ import annotations

from dataclasses import replace

from flowc_dsl.draw.topology import DECLARED_KINDS, Edge, Node, Topology

COLLAPSE_NODES_MIN = 120  # more nodes than this, and a picture is collapsed unless told otherwise
LABEL_LINES_MAX = 2


def wants_collapse(topology: Topology) -> bool:
    """Whether the picture would be too large to read, and contexts would help."""
    return len(topology.nodes) > COLLAPSE_NODES_MIN and any(n.cluster for n in topology.nodes)


def collapse(topology: Topology) -> Topology:
    """A context becomes a node, and all edges between two contexts one, labelled with the events.

    Edges within a context are counted in `inner`. Lines to stores are only kept across contexts.
    """
    home = {n.id: f"context/{n.cluster}" if n.cluster else n.id for n in topology.nodes}
    bundles: dict[tuple[str, str], list[Edge]] = {}
    edges: list[Edge] = []
    inner = 0
    for edge in topology.edges:
        ends = (home[edge.source], home[edge.target])
        if ends == (edge.source, edge.target):
            edges.append(edge)
        elif ends[0] != ends[1]:
            bundles.setdefault(ends, []).append(edge)
        elif edge.kind in DECLARED_KINDS:
            inner += 1
    for ends, bundle in bundles.items():
        edges += _bundled(topology, ends, bundle)
    return Topology(
        system=topology.system,
        clusters=(),
        nodes=_nodes(topology),
        edges=tuple(replace(edge, id=f"e{i}") for i, edge in enumerate(edges, 1)),
        declared=topology.declared,
        inner=inner,
        collapsed=True,
    )


def _bundled(topology: Topology, ends: tuple[str, str], bundle: list[Edge]) -> list[Edge]:
    """At most two edges: one for the declared ones, one for stores used across contexts."""
    found = []
    declared = [e for e in bundle if e.kind in DECLARED_KINDS]
    if declared:
        label = _events(topology, declared) if _both_contexts(ends) else ""
        found.append(Edge("", "flow", *ends, label=label, weight=len(declared)))
    if len(declared) < len(bundle):
        found.append(Edge("", "uses", *ends, label="uses"))
    return found


def _both_contexts(ends: tuple[str, str]) -> bool:
    return all(end.startswith("context/") for end in ends)


def _events(topology: Topology, edges: list[Edge]) -> str:
    """The names of the events on the edges, one a line; of many, how many."""
    ends = (topology.by_id[end] for edge in edges for end in (edge.source, edge.target))
    names = list(dict.fromkeys(n.name for n in ends if n.kind in ("event", "command")))
    return "\n".join(names) if len(names) <= LABEL_LINES_MAX else f"{len(names)} events"


def _nodes(topology: Topology) -> tuple[Node, ...]:
    inside: dict[str, list[Node]] = {}
    for node in topology.nodes:
        if node.cluster is not None:
            inside.setdefault(node.cluster, []).append(node)
    contexts = [
        Node(
            f"context/{c.name}", "context", c.name, rows=_counts(inside[c.name]), doc=c.owner or ""
        )
        for c in topology.clusters
        if c.name in inside
    ]
    return (*contexts, *(node for node in topology.nodes if node.cluster is None))


def _counts(nodes: list[Node]) -> tuple[str, ...]:
    kinds = [node.kind for node in nodes]
    counted = [
        (kinds.count("service"), "service", "services"),
        (kinds.count("event"), "event", "events"),
        (kinds.count("command"), "command", "commands"),
        (kinds.count("store"), "store", "stores"),
    ]
    return tuple(f"{n} {one if n == 1 else many}" for n, one, many in counted if n)
