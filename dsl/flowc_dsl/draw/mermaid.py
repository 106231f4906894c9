"""The topology as a Mermaid flowchart, for Markdown pages."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.draw import palette
from flowc_dsl.draw.topology import Edge, Node, Topology

ARROWS = {"unless": "-.->", "owns": "---", "uses": "-.-"}
LOOKS = ("service", "event", "command", "store", "context", "boundary", "missing")


def mermaid_text(topology: Topology) -> str:
    """A `flowchart LR`; every edge of the topology is one line of it."""
    names = {node.id: f"n{i}" for i, node in enumerate(topology.nodes)}
    lines = ["flowchart LR"]
    lines += _classes()
    for i, cluster in enumerate(topology.clusters):
        inside = [node for node in topology.nodes if node.cluster == cluster.name]
        if not inside:
            continue
        title = f"{cluster.name} · {cluster.owner}" if cluster.owner else cluster.name
        lines.append(f'  subgraph c{i}["{_escape(title)}"]')
        lines += [f"    {_node(node, names[node.id])}" for node in inside]
        lines.append("  end")
        band = palette.band(i)
        lines.append(f"  style c{i} fill:{band.fill},stroke:{band.line},color:{band.title}")
    loose = (node for node in topology.nodes if node.cluster is None)
    lines += [f"  {_node(node, names[node.id])}" for node in loose]
    lines += [f"  {_edge(edge, names)}" for edge in topology.edges]
    return "\n".join(lines) + "\n"


def _classes() -> Iterator[str]:
    for name in LOOKS:
        kind = "event" if name in ("boundary", "missing") else name
        look = palette.look(kind, boundary=name == "boundary", missing=name == "missing")
        yield f"  classDef {name} fill:{look.fill},stroke:{look.line},color:{palette.INK}"


def _node(node: Node, name: str) -> str:
    text = " ".join((node.name, *node.badges))
    many_rows = len(node.rows) > 1 or node.kind == "context"
    rows = [f"<small>{_escape(row)}</small>" for row in node.rows] if many_rows else []
    label = "<br/>".join((_escape(text), *rows))
    left, right = {
        "service": ("[", "]"),
        "event": ("(", ")"),
        "command": ("{{", "}}"),
        "store": ("[(", ")]"),
        "context": ("[[", "]]"),
    }[node.kind]
    look = "boundary" if node.external or node.exported else node.kind
    return f'{name}{left}"{label}"{right}:::{"missing" if node.missing else look}'


def _edge(edge: Edge, names: dict[str, str]) -> str:
    arrow = ARROWS.get(edge.kind, "-->")
    label = edge.label.replace("\n", ", ")
    text = f'|"{_escape(label)}"|' if label else ""
    return f"{names[edge.source]} {arrow}{text} {names[edge.target]}"


def _escape(text: str) -> str:
    for char, entity in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(char, entity)
    return text.replace("|", "&#124;")
