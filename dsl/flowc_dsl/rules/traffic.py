"""What several rules measure: the longest chain of handlers, and what two services exchange."""

from __future__ import annotations

from collections.abc import Mapping

from flowc_dsl.graph import FlowGraph, HandlerNode, Node
from flowc_dsl.record import Record

Pair = tuple[str, str]


class Chain(Record):
    """`length` counts handlers, a cycle as one; `path` goes from its first node to its last."""

    length: int
    path: tuple[Node, ...]


def longest_chain(graph: FlowGraph) -> Chain:
    """The chain with the most handlers; the first in the text of those that are as long."""
    groups = graph.groups
    ring_of = {node: number for number, group in enumerate(groups) for node in group}
    best: dict[int, tuple[int, tuple[Node, Node] | None]] = {}
    for number in range(len(groups)):
        handlers = any(isinstance(node, HandlerNode) for node in groups[number])
        length, link = 0, None
        for node in groups[number]:
            for before in graph.predecessors[node]:
                other = ring_of[before]
                if other != number and best[other][0] > length:
                    length, link = best[other][0], (before, node)
                elif other != number and link is None:
                    link = (before, node)
        best[number] = (length + handlers, link)
    if not best:
        return Chain(0, ())
    last = max(best, key=lambda number: (best[number][0], -graph.rank[groups[number][0]]))
    return Chain(best[last][0], _path(graph, groups, ring_of, best, last))


def _path(
    graph: FlowGraph,
    groups: tuple[tuple[Node, ...], ...],
    ring_of: Mapping[Node, int],
    best: Mapping[int, tuple[int, tuple[Node, Node] | None]],
    last: int,
) -> tuple[Node, ...]:
    number, end = last, groups[last][0]
    path: list[Node] = []
    while True:
        link = best[number][1]
        begin = link[1] if link else groups[number][0]
        if begin == end:
            path.append(end)
        else:  # through a cycle, by the shortest way
            path += reversed(graph.shortest_path(begin, end, set(groups[number])))
        if link is None:
            return tuple(reversed(path))
        end, number = link[0], ring_of[link[0]]


def exchanges(graph: FlowGraph) -> dict[Pair, tuple[tuple[str, ...], tuple[str, ...]]]:
    """The types that go there and back, by two services that exchange any, in the text's order."""
    sent: dict[Pair, list[str]] = {}
    for name in graph.system.events:
        for one in graph.emitters(name):
            for other in graph.readers(name):
                if one != other:
                    sent.setdefault((one, other), []).append(name)
    found: dict[Pair, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for (one, other), names in sent.items():
        if (other, one) not in found:
            found[one, other] = (tuple(names), tuple(sent.get((other, one), ())))
    return found
