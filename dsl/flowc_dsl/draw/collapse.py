"""A topology with each context as one node: what is left to read when a system has hundreds of nodes."""

from __future__ import annotations

from flowc_dsl.draw.topology import DECLARED_KINDS, Edge, Node, Topology

COLLAPSE_NODES_MIN = 120  # more nodes than this, and a picture is collapsed unless told otherwise
LABEL_LINES_MAX = 3


def wants_collapse(topology: Topology) -> bool:
    """Whether the picture would be too large to read, and contexts would help."""
    return len(topology.nodes) > COLLAPSE_NODES_MIN and any(n.cluster for n in topology.nodes)


def collapse(topology: Topology) -> Topology:
    """Each context becomes a node; the edges between two nodes become one, labelled with the events.

    Edges within a context are counted in `inner`. Lines to stores are only kept across contexts.
    """
    home = {n.id: f"context/{n.cluster}" if n.cluster else n.id for n in topology.nodes}
    bundles: dict[tuple[str, str], list[Edge]] = {}
    inner = 0
    for edge in topology.edges:
        ends = (home[edge.source], home[edge.target])
        if ends[0] != ends[1]:
            bundles.setdefault(ends, []).append(edge)
        elif edge.kind in DECLARED_KINDS:
            inner += 1
    edges: list[Edge] = []
    for ends, bundle in bundles.items():
        edges += _bundled(topology, ends, bundle, len(edges))
    return Topology(
        system=topology.system,
        clusters=(),
        nodes=_nodes(topology),
        edges=tuple(edges),
        declared=topology.declared,
        inner=inner,
        collapsed=True,
    )


def _bundled(
    topology: Topology, ends: tuple[str, str], bundle: list[Edge], before: int
) -> list[Edge]:
    """At most two edges: one for the declared ones, one for a store that is used across contexts."""
    found = []
    declared = [e for e in bundle if e.kind in DECLARED_KINDS]
    stores = [e for e in bundle if e.kind not in DECLARED_KINDS]
    if declared:
        label = _events(topology, declared) if _both_contexts(ends) else ""
        number = f"e{before + 1}"
        found.append(Edge(number, "flow", *ends, label=label, weight=len(declared)))
    if stores:
        found.append(Edge(f"e{before + len(found) + 1}", "uses", *ends, label="uses"))
    return found


def _both_contexts(ends: tuple[str, str]) -> bool:
    return all(end.startswith("context/") for end in ends)


def _events(topology: Topology, edges: list[Edge]) -> str:
    """The names of the events on the edges, one a line."""
    ends = (topology.by_id[end] for edge in edges for end in (edge.source, edge.target))
    names = list(dict.fromkeys(n.name for n in ends if n.kind in ("event", "command")))
    shown = names[:LABEL_LINES_MAX]
    if len(names) > len(shown):
        shown[-1:] = [f"and {len(names) - len(shown) + 1} more"]
    return "\n".join(shown)


def _nodes(topology: Topology) -> tuple[Node, ...]:
    inside: dict[str, list[Node]] = {}
    for node in topology.nodes:
        if node.cluster is not None:
            inside.setdefault(node.cluster, []).append(node)
    contexts = [
        Node(f"context/{c.name}", "context", c.name, rows=_counts(inside[c.name]), doc=c.owner or "")
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
