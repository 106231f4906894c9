"""305 and 306: what goes round, whether it ends, and how much comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.gain import TOLERANCE, knot_growth, per_trigger, unbounded
from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, Node, Use
from flowc_dsl.model import Output
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.wiring import from_roots


class Ring(Record):
    """A shortest cycle of a knot: `nodes` begins and ends with the same event."""

    nodes: tuple[Node, ...]
    emit: Use  # the output that closes it

    @property
    def event(self) -> str:
        return str(self.nodes[0])

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(n.service if isinstance(n, HandlerNode) else n.name for n in self.nodes)

    @property
    def witness(self) -> tuple[str, ...]:
        return tuple(str(node) for node in self.nodes)


class Endless(Record):
    ring: Ring

    def report(self) -> Report:
        event = self.ring.event
        return Report(
            f"what follows from `{event}` never ends",
            self.ring.emit.ref.span,
            "always goes on, and leads nowhere else",
            help="let a handler of the ring end it with another event, or emit nothing "
            f"(`{self.ring.emit.ref.name}?`)",
            subjects=self.ring.subjects,
            witness=self.ring.witness,
        )


@rule("FLW305", "no-terminal", Level.WARNING, "a path ends in no terminal event")
def no_terminal(graph: FlowGraph) -> Iterator[Finding]:
    """A knot of handlers that always go on, which no event leaves: nothing terminal is reached."""
    for knot in _knots(graph):
        if _is_endless(graph, knot):
            yield Endless(_ring(graph, knot))


def _knots(graph: FlowGraph) -> Iterator[set[Node]]:
    """The knots that can be reached (else FLW205), and that no self-trigger (FLW302) explains."""
    knots = graph.cyclic_components()
    if not knots:
        return
    reached = from_roots(graph)
    for knot in knots:
        handlers = [node for node in knot if isinstance(node, HandlerNode)]
        if knot <= reached and not any(_answers_itself(graph, node) for node in handlers):
            yield knot


def _answers_itself(graph: FlowGraph, node: HandlerNode) -> bool:
    handler = graph.handlers[node][1]
    if handler.kind == "join" or handler.unless:
        return False
    names = {ref.name for ref in handler.triggers}
    return any(
        _always(group) and all(output.event.name in names for output in group)
        for group in handler.outputs
    )


def _is_endless(graph: FlowGraph, knot: set[Node]) -> bool:
    for node in knot:
        if any(successor not in knot for successor in graph.successors[node]):
            return False
        if isinstance(node, EventNode):
            event = graph.system.events.get(node.name)
            if event is None or event.exported:
                return False
        else:
            handler = graph.handlers[node][1]
            stops = handler.kind == "join" or handler.unless
            if stops or not any(_always(group) for group in handler.outputs):
                return False
    return True


def _always(group: tuple[Output, ...]) -> bool:
    return all(output.many == "one" and output.chance in (None, 1) for output in group)


def _ring(graph: FlowGraph, knot: set[Node]) -> Ring:
    first = next(n for n in graph.in_order(knot) if isinstance(n, EventNode))
    nodes = graph.shortest_path(first, first, knot)
    emit = next(use for use in graph.emits[first.name] if use.node == nodes[-2])
    return Ring(nodes, emit)


class Amplifies(Record):
    ring: Ring
    gain: float | None  # of one step of the knot; None: without bound
    many: str | None  # the output that has no bound
    factors: tuple[tuple[str, str, float], ...]  # along the ring: handler, event, how many

    def report(self) -> Report:
        event = self.ring.event
        if self.gain is None:
            message = f"`{event}` can come back any number of times: `{self.many}*` is on its cycle"
            notes: tuple[str, ...] = ()
        else:
            round_ = self.gain ** (len(self.ring.nodes) // 2)
            message = f"each `{event}` causes {round_:.3g} more on average, round after round"
            notes = (f"the gain of this round: {self._product()}",)
            if prod(many for _, _, many in self.factors) < round_ * 0.999:
                notes += (f"together with the other ways round: {round_:.3g}",)
        return Report(
            message,
            self.ring.emit.ref.span,
            "closes the cycle",
            (Label(self.ring.emit.handler.span, "for each of these"),),
            notes,
            help="let the cycle end more often than it goes on, and say how often with `chance`",
            subjects=self.ring.subjects,
            witness=self.ring.witness,
        )

    def _product(self) -> str:
        """`A` 0.5 x `B` 3 = 1.5: along the ring that is shown."""
        steps = [f"{many:.3g} `{event}` (`{at}`)" for at, event, many in self.factors]
        total = prod(many for _, _, many in self.factors)
        return steps[0] if len(steps) == 1 else f"{' x '.join(steps)} = {total:.3g}"


@rule("FLW306", "amplification", Level.WARNING, "a cycle brings forth as much as it takes, or more")
def amplification(graph: FlowGraph) -> Iterator[Finding]:
    for knot in _knots(graph):
        if _is_endless(graph, knot):
            continue  # FLW305
        many = unbounded(graph, knot)
        ring = _ring_through(graph, knot, many) if many else _ring(graph, knot)
        gain = None if many else knot_growth(graph, knot)
        if gain is None or gain >= 1 - TOLERANCE:
            name = many.ref.name if many else None
            yield Amplifies(ring, gain, name, () if many else _factors(graph, ring))


def _ring_through(graph: FlowGraph, knot: set[Node], emit: Use) -> Ring:
    """A shortest cycle that this output closes."""
    event = EventNode(emit.ref.name)
    return Ring((*graph.shortest_path(event, emit.node, knot), event), emit)


def _factors(graph: FlowGraph, ring: Ring) -> tuple[tuple[str, str, float], ...]:
    steps = zip(ring.nodes[1::2], ring.nodes[2::2], strict=True)
    return tuple(
        (str(node), str(event), per_trigger(graph.handlers[node][1]).get(str(event), 0.0))
        for node, event in steps
        if isinstance(node, HandlerNode)
    )
