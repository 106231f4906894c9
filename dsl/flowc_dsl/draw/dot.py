"""The topology as DOT text for Graphviz.

`newrank` is always on: without it, clusters with cycles and edge labels make Graphviz lose edges,
some versions without a word. Each edge carries its id into the finished SVG, where `verify.py`
looks for it.
"""

from __future__ import annotations

from html import escape

import graphviz

from flowc_dsl.draw import palette
from flowc_dsl.draw.grid import grid_of
from flowc_dsl.draw.text import title_line
from flowc_dsl.draw.topology import Edge, Node, Topology

SHAPES = {"event": "box", "command": "cds", "store": "cylinder"}


def dot_text(topology: Topology) -> str:
    """DOT source, ending with a newline; equal topologies give equal text."""
    graph = graphviz.Digraph(
        topology.system,
        graph_attr=_graph_look(topology),
        node_attr={
            "fontname": palette.FONT,
            "fontsize": "11",
            "fontcolor": palette.INK,
            "style": "filled",
            "height": "0.36",
            "margin": "0.14,0.06",
            "penwidth": "1.1",
        },
        edge_attr={
            "fontname": palette.FONT,
            "fontsize": "9",
            "fontcolor": palette.MUTED,
            "color": palette.FLOW,
            "arrowsize": "0.7",
            "penwidth": "1.1",
        },
    )
    for node_id in _in_flow_order(topology):
        graph.node(node_id)
    for i, cluster in enumerate(topology.clusters):
        band = palette.band(i)
        with graph.subgraph(name=f"cluster_{i}") as part:
            part.attr(
                label=graphviz.escape(title_line(cluster)),
                labeljust="l",
                fontcolor=band.title,
                color=band.line,
                bgcolor=band.fill,
                style="rounded",
                margin="14",
            )
            _add_nodes(part, topology, cluster.name)
    _add_nodes(graph, topology, None)
    for edge in topology.edges:
        _add_edge(graph, topology, edge)
    return str(graph.source)


def _in_flow_order(topology: Topology) -> list[str]:
    """The nodes from left to right as flowc's own layout has them.

    Graphviz cuts cycles where it meets them first, so naming the nodes in this order keeps what
    starts the flow on the left.
    """
    grid = grid_of(topology)
    column = {node: grid.items[index].column for node, (index, _) in grid.where.items()}
    return sorted(column, key=lambda node: column[node])


def _graph_look(topology: Topology) -> dict[str, str]:
    return {
        "rankdir": "LR",
        "newrank": "true",
        "bgcolor": palette.PAPER,
        "fontname": palette.FONT,
        "fontsize": "12",
        "fontcolor": palette.MUTED,
        "label": graphviz.escape(topology.system),
        "labelloc": "t",
        "labeljust": "l",
        "nodesep": "0.22",
        "ranksep": "0.7" if topology.collapsed else "0.55",
        "pad": "0.2",
    }


def _add_nodes(graph: graphviz.Digraph, topology: Topology, cluster: str | None) -> None:
    for node in topology.nodes:
        if node.cluster != cluster:
            continue
        look = palette.look(
            node.kind, boundary=node.external or node.exported, missing=node.missing
        )
        attrs = {"fillcolor": look.fill, "color": look.line, "tooltip": graphviz.escape(_tip(node))}
        if node.kind in ("service", "context"):
            graph.node(
                node.id, label=_table(node), shape="plain", style="", tooltip=attrs["tooltip"]
            )
            continue
        style = "filled,rounded" if node.kind == "event" else "filled"
        style += ",dashed" if node.missing else ""
        width = "2.2" if node.external or node.exported else "1.1"
        text = graphviz.escape(node.name)
        graph.node(
            node.id, label=text, shape=SHAPES[node.kind], style=style, penwidth=width, **attrs
        )
    _keep_stores_near(graph, topology, cluster)


def _keep_stores_near(graph: graphviz.Digraph, topology: Topology, cluster: str | None) -> None:
    """A store stands in its service's rank, beside it."""
    for edge in topology.edges:
        if edge.kind == "owns" and topology.by_id[edge.source].cluster == cluster:
            with graph.subgraph() as rank:
                rank.attr(rank="same")
                rank.node(edge.source)
                rank.node(edge.target)


def _tip(node: Node) -> str:
    return " ".join(node.doc.split()) or f"{node.kind} {node.name}"


def _table(node: Node) -> str:
    """An HTML-like label: the name, and a row with a port for each handler."""
    look = palette.look(node.kind, boundary=False, missing=False)
    badges = "".join(
        f' <FONT COLOR="{palette.MUTED}" POINT-SIZE="9">{escape(badge)}</FONT>'
        for badge in node.badges
    )
    head = f"<B>{escape(node.name)}</B>{badges}"
    rows = [f'<TR><TD PORT="head" ALIGN="LEFT" CELLPADDING="6">{head}</TD></TR>']
    if len(node.rows) > 1 or node.kind == "context":
        rows += [
            f'<TR><TD PORT="h{i}" ALIGN="LEFT" BORDER="1" SIDES="T" COLOR="{palette.ROW_LINE}">'
            f'<FONT COLOR="{palette.MUTED}" POINT-SIZE="10">{escape(row)}</FONT></TD></TR>'
            for i, row in enumerate(node.rows)
        ]
    table = (
        f'<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="4" STYLE="ROUNDED" '
        f'BGCOLOR="{look.fill}" COLOR="{look.line}">'
    )
    return f"<{table}{''.join(rows)}</TABLE>>"


def _end(node: Node, row: int | None) -> str:
    """The id as the graphviz package wants it: a name, and a port after a colon."""
    return node.id if row is None or len(node.rows) <= 1 else f"{node.id}:h{row}"


def _add_edge(graph: graphviz.Digraph, topology: Topology, edge: Edge) -> None:
    source, target = topology.by_id[edge.source], topology.by_id[edge.target]
    attrs = {"id": edge.id}
    if edge.label:
        attrs["label"] = graphviz.escape(edge.label).replace("\n", r"\n")
    if edge.kind == "output":
        attrs["color"] = palette.OUTPUT
    if edge.kind in ("unless", "uses"):
        attrs["style"] = "dashed"
    if edge.kind in ("owns", "uses"):
        attrs |= {"dir": "none", "color": palette.STORE_LINE}
    if edge.kind == "flow":
        attrs["penwidth"] = f"{min(1 + edge.weight / 6, 4):.2f}"
    graph.edge(_end(source, edge.source_row), _end(target, edge.target_row), **attrs)
