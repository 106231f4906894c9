"""The sizes of what is drawn: each node is part of a box; a service's stores stand under it."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowc_dsl.draw.text import shortened, text_width
from flowc_dsl.draw.topology import Node, Topology

HEAD_PX = 30.0
ROW_PX = 21.0
EVENT_PX = 28.0
STORE_PX = 34.0
STORE_GAP_PX = 14.0
NAME_SIZE_PX = 13.0
EVENT_SIZE_PX = 12.0
ROW_SIZE_PX = 11.0
PAD_X_PX = 12.0


@dataclass(frozen=True, slots=True)
class Part:
    """One node in a box: its top, measured from the box's top, and its size, in px."""

    node: Node
    top: float
    width: float
    height: float

    def port(self, row: int | None) -> float:
        """Where an edge ends, measured from the box's top: at a handler's row, or at the middle."""
        if row is None or not shows_rows(self.node):
            return self.top + (HEAD_PX if shows_rows(self.node) else self.height) / 2
        return self.top + HEAD_PX + (row + 0.5) * ROW_PX


@dataclass(slots=True)
class Box:
    """What takes one place in the layout: a node, or a service and its stores."""

    parts: list[Part]
    cluster: str | None
    width: float = field(init=False)
    height: float = field(init=False)

    def __post_init__(self) -> None:
        self.measure()

    def measure(self) -> None:
        """Take the size from the parts, after one was added."""
        self.width = max(part.width for part in self.parts)
        self.height = max(part.top + part.height for part in self.parts)


def shows_rows(node: Node) -> bool:
    """One handler is the service itself; several are told apart."""
    return len(node.rows) > 1 or node.kind == "context"


def boxes_of(topology: Topology) -> tuple[list[Box], dict[str, tuple[int, Part]]]:
    """The boxes, in the order of the nodes, and of each node its box's index and its part."""
    owners = {edge.target: edge.source for edge in topology.edges if edge.kind == "owns"}
    boxes: list[Box] = []
    where: dict[str, tuple[int, Part]] = {}
    for node in sorted(topology.nodes, key=lambda n: n.id in owners):
        width, height = _size(node)
        owner = owners.get(node.id)
        if owner is None:
            part = Part(node, 0.0, width, height)
            boxes.append(Box([part], node.cluster))
            where[node.id] = (len(boxes) - 1, part)
            continue
        index = where[owner][0]
        part = Part(node, boxes[index].height + STORE_GAP_PX, width, height)
        boxes[index].parts.append(part)
        boxes[index].measure()
        where[node.id] = (index, part)
    return boxes, where


def _size(node: Node) -> tuple[float, float]:
    if node.kind in ("service", "context"):
        width = text_width(node.name, NAME_SIZE_PX, bold=True)
        width += sum(8 + text_width(badge, ROW_SIZE_PX) for badge in node.badges)
        rows = [shortened(row) for row in node.rows] if shows_rows(node) else []
        width = max([width, 56.0, *(text_width(row, ROW_SIZE_PX) for row in rows)])
        return width + 2 * PAD_X_PX, HEAD_PX + ROW_PX * len(rows) + (4.0 if rows else 0.0)
    width = text_width(node.name, EVENT_SIZE_PX) + 2 * PAD_X_PX
    if node.kind == "command":
        width += 12.0  # its point
    return width, STORE_PX if node.kind == "store" else EVENT_PX
