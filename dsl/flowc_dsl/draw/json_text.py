"""The topology as JSON, for other programs."""

from __future__ import annotations

import json
from collections import Counter

from flowc_dsl.draw.topology import Edge, Node, Topology

FORMAT_VERSION = "1.0"


def json_text(topology: Topology) -> str:
    """One object with `contexts`, `nodes` and `edges`, in the text's order; ends with a newline."""
    kinds = Counter(node.kind for node in topology.nodes)
    value = {
        "format_version": FORMAT_VERSION,
        "system": topology.system,
        "collapsed": topology.collapsed,
        "contexts": [{"name": c.name, "owner": c.owner} for c in topology.clusters],
        "nodes": [_node(node) for node in topology.nodes],
        "edges": [_edge(edge) for edge in topology.edges],
        "summary": {
            "services": kinds["service"],
            "events": kinds["event"] + kinds["command"],
            "stores": kinds["store"],
            "contexts": kinds["context"] or len(topology.clusters),
            "declared_edges": topology.declared,
            "inner_edges": topology.inner,
        },
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _node(node: Node) -> dict[str, object]:
    value: dict[str, object] = {"id": node.id, "kind": node.kind, "name": node.name}
    value["context"] = node.cluster
    if node.kind == "service":
        value["handlers"] = list(node.rows)
    if node.kind == "context":
        value["holds"] = list(node.rows)
    if node.badges:
        value["badges"] = list(node.badges)
    if node.kind in ("event", "command"):
        value |= {"external": node.external, "exported": node.exported}
    value |= {"missing": node.missing, "doc": node.doc}
    return value


def _edge(edge: Edge) -> dict[str, object]:
    return {
        "id": edge.id,
        "kind": edge.kind,
        "source": edge.source,
        "target": edge.target,
        "handler": edge.handler,
        "label": edge.label,
        "alternative": edge.alternative,
        "weight": edge.weight,
    }
