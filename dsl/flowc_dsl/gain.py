"""How much a handler brings forth on average, and how events multiply on their way round.

The shares (spec 3.16): `A | B` each 1/n, or what `chance` leaves; `A?` a half; a deadline with
`unless` comes true half of the time; each side of a join is one of the n that a call takes; `A*`
counts as one, and has no bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, Node, Use
from flowc_dsl.model import Handler

MAYBE: Final = 0.5  # of `A?`, and of a deadline with `unless`, where no `chance` is given
ROUNDS_MAX: Final = 1_000  # of the iteration; it converges in tens
TOLERANCE: Final = 1e-9
SHOWN: Final = 1e-4  # of a gain over 1: nobody reads more digits

Step = tuple[int, int, float]  # each event with the first number causes so many of the second


def per_call(handler: Handler) -> dict[str, float]:
    """How many of each output one call brings forth on average."""
    found: dict[str, float] = {}
    for group in handler.outputs:
        given = sum(output.chance or 0.0 for output in group)
        open_ = [output for output in group if output.chance is None]
        for output in group:
            share = output.chance
            if share is None:
                share = max(0.0, 1 - given) / len(open_)
                if output.many == "maybe":
                    share *= MAYBE
            found[output.event.name] = found.get(output.event.name, 0.0) + share
    return found


def per_trigger(handler: Handler) -> dict[str, float]:
    """How many of each output one trigger brings forth on average."""
    scale = calls_per_trigger(handler)
    return {name: share * scale for name, share in per_call(handler).items()}


def calls_per_trigger(handler: Handler) -> float:
    """A side of a join is one of several that a call takes; a deadline may be met."""
    scale = MAYBE if handler.unless else 1.0
    return scale / len(handler.triggers) if handler.kind == "join" else scale


def unbounded(graph: FlowGraph, knot: Iterable[Node]) -> Use | None:
    """The first output of a knot that one of its handlers emits into it any number of times."""
    inside = set(knot)
    for node in graph.in_order(inside):
        if isinstance(node, HandlerNode):
            service, handler = graph.handlers[node]
            for output in [output for group in handler.outputs for output in group]:
                if output.many == "any" and EventNode(output.event.name) in inside:
                    return Use(service, handler, node, output.event)
    return None


def steps_of(graph: FlowGraph, events: list[EventNode], knot: set[Node]) -> list[Step]:
    """Between `events` of a knot, by their number, over its handlers."""
    index = {event.name: number for number, event in enumerate(events)}
    return [
        (index[event.name], index[out], many)
        for event in events
        for node in graph.successors[event]
        if node in knot and isinstance(node, HandlerNode)
        for out, many in per_trigger(graph.handlers[node][1]).items()
        if out in index
    ]


def growth(count: int, steps: list[Step]) -> float:
    """The growth of one step from event to event in the long run: the matrix's spectral radius.

    Power iteration on the matrix plus one on its diagonal, which makes any ring aperiodic; the
    least and the greatest growth of a component bound the result from both sides.
    """
    sizes = [1.0] * count
    low = high = 0.0
    for _ in range(ROUNDS_MAX):
        grown = list(sizes)
        for source, target, many in steps:
            grown[source] += many * sizes[target]
        ratios = [after / before for after, before in zip(grown, sizes, strict=True)]
        low, high = min(ratios) - 1, max(ratios) - 1
        if high - low < TOLERANCE or high < 1 - TOLERANCE or (low > 1 and high - low < SHOWN):
            break
        scale = max(grown)
        sizes = [max(size / scale, 1e-300) for size in grown]
    return (low + high) / 2


def knot_growth(graph: FlowGraph, knot: set[Node]) -> float:
    """`growth` over all events of a knot."""
    events = [n for n in graph.in_order(knot) if isinstance(n, EventNode)]
    return growth(len(events), steps_of(graph, events, knot))
