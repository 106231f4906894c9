"""303 and 308: what the authors of a system have forbidden, required and limited themselves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, Node
from flowc_dsl.lower.resolve import VIA
from flowc_dsl.model import Law, Ref, Service, System
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, rule
from flowc_dsl.rules.traffic import exchanges, longest_chain
from flowc_dsl.rules.wording import counted, quoted
from flowc_dsl.source import Span

Sides = Callable[[Node], bool]
State = tuple[Node, bool]
_SHARED: Final = ("store", "library")


class Over(Record):
    """Something has more of a measure than a law allows."""

    law: Law
    what: str
    at: Span
    label: str
    help: str
    subjects: tuple[str, ...]
    witness: tuple[str, ...]

    def report(self) -> Report:
        law = self.law
        return Report(
            f"{self.what}, and the limit is {law.bound}",
            self.at,
            self.label,
            (Label(law.span, f"at most {law.bound}"),),
            help=self.help,
            subjects=self.subjects,
            witness=self.witness,
        )


@rule("FLW303", "over-limit", Level.ERROR, "fan-out, depth or exchange is over its `limit`")
def over_limit(graph: FlowGraph) -> Iterator[Finding]:
    """The strictest law of each measure counts: a looser one says nothing more (FLW902)."""
    for measure, law in strictest_limits(graph.system).items():
        yield from _MEASURES[measure](graph, law, law.bound or 0)


def strictest_limits(system: System) -> dict[str, Law]:
    """Of each measure the limit that counts; of equal ones the first."""
    strictest: dict[str, Law] = {}
    for law in system.laws:
        if law.kind == "limit" and law.measure is not None and law.bound is not None:
            known = strictest.setdefault(law.measure, law)
            if law.bound < (known.bound or 0):
                strictest[law.measure] = law
    return strictest


def _fan_out(graph: FlowGraph, law: Law, bound: int) -> Iterator[Finding]:
    for event in graph.system.events.values():
        readers = graph.readers(event.name)
        if len(readers) > bound:
            yield Over(
                law,
                f"{event.kind} `{event.name}` has {counted(len(readers), 'reader')}: "
                f"{quoted(readers)}",
                event.span,
                f"read by {counted(len(readers), 'service')}",
                "split the event by what its readers need, or raise the limit",
                (event.name, *readers),
                (event.name, readers[bound]),
            )
    for node, (_, handler) in graph.handlers.items():
        names = tuple(dict.fromkeys(ref.name for ref in handler.output_refs()))
        if len(names) > bound:
            yield Over(
                law,
                f"handler `{node}` has {counted(len(names), 'output')}: {quoted(names)}",
                handler.span,
                counted(len(names), "output"),
                "split the handler, or raise the limit",
                (node.service, *names),
                (str(node), names[bound]),
            )


def _depth(graph: FlowGraph, law: Law, bound: int) -> Iterator[Finding]:
    chain = longest_chain(graph)
    handlers = [node for node in chain.path if isinstance(node, HandlerNode)]
    if chain.length <= bound or not handlers:
        return
    last = handlers[-1]
    yield Over(
        law,
        f"the longest chain of the system has {counted(chain.length, 'handler')}",
        graph.handlers[last][1].span,
        f"the last of {counted(chain.length, 'handler')}",
        "let a service nearer to the beginning do more, or raise the limit",
        tuple(dict.fromkeys(handler.service for handler in handlers)),
        tuple(str(node) for node in chain.path),
    )


def _exchange(graph: FlowGraph, law: Law, bound: int) -> Iterator[Finding]:
    for (one, other), (there, back) in exchanges(graph).items():
        names = [*there, *back]
        if len(names) > bound:
            yield Over(
                law,
                f"services `{one}` and `{other}` exchange {counted(len(names), 'type')}: "
                f"{quoted(names)}",
                graph.system.services[one].span,
                f"exchanges {counted(len(names), 'type')} with `{other}`",
                "merge the services, or move what they talk about into one of them",
                (one, other, *names),
                (one, names[0], other) if there else (other, names[0], one),
            )


_MEASURES: Final = {"fan_out": _fan_out, "depth": _depth, "exchange": _exchange}


class Forbidden(Record):
    law: Law
    way: tuple[str, ...]
    words: str
    subjects: tuple[str, ...]

    def report(self) -> Report:
        return Report(
            f"{self.words}, which is forbidden",
            self.law.span,
            "forbidden here",
            help="break the path at one of its steps, or drop the law",
            subjects=self.subjects,
            witness=self.way,
        )


class NotReached(Record):
    law: Law
    source: Ref
    target: Ref
    reached: tuple[str, ...]
    past: tuple[str, ...]  # a way that leaves out what it has to go through

    def report(self) -> Report:
        source, target, via = self.source.name, self.target.name, self.law.via
        way = f" via `{via.name}`" if via else ""
        reached = f"reaches {quoted(self.reached)}" if self.reached else "reaches no service"
        if via and self.past:
            note, help_ = f"`{source}` reaches it another way", "lead that way through it"
        else:
            note, help_ = f"`{source}` {reached}", f"let an event lead to `{target}`"
        return Report(
            f"`{source}` does not reach `{target}`{way}, which is required",
            self.law.span,
            "required here",
            notes=(note,),
            help=f"{help_}, or drop the law",
            subjects=(source, target, *self.past),
            witness=self.past,
        )


@rule("FLW308", "broken-law", Level.ERROR, "a `forbid` or `require` is broken")
def broken_law(graph: FlowGraph) -> Iterator[Finding]:
    empty = {law.span for law, _, _ in empty_names(graph.system)}
    for law in graph.system.laws:
        if law.source is None or law.target is None or law.kind == "limit":
            continue
        starts, goals = _nodes(graph, law.source.name), _nodes(graph, law.target.name)
        if not _is_way(graph.system, law.via) or law.span in empty or not (starts and goals):
            continue  # FLW207 or FLW902
        way, reached = _way(graph, law, law.source.name, law.target.name, starts, goals)
        if law.kind == "forbid" and way:
            via = f" via `{law.via.name}`" if law.via else ""
            words = f"`{law.source.name}` reaches `{law.target.name}`{via}"
            yield Forbidden(law, way, words, (law.source.name, law.target.name, *way))
        elif law.kind == "require" and not way:
            past = _walk(graph, starts, goals, _passes(graph.system, None))[0] if law.via else ()
            yield NotReached(law, law.source, law.target, reached, past)


def empty_names(system: System) -> Iterator[tuple[Law, Ref, str]]:
    """The names of laws that stand for nothing that could reach, or be reached, and why."""
    filled = {service.context for service in system.services.values() if service.handlers}
    for law in system.laws:
        shared = law.via is not None and _is_shared(system, law.via.name)
        for ref in (law.source, law.target):
            if ref is None:
                continue
            service = system.services.get(ref.name)
            if ref.name in system.contexts and ref.name not in filled:
                yield law, ref, "holds no service with a handler"
            elif service is not None and not service.handlers:
                yield law, ref, "has no handler"
            elif shared and ref.name in system.events:
                yield law, ref, "is no service, and uses no store or library"


def _is_shared(system: System, via: str) -> bool:
    """Whether a way is what both sides use, and no path of events."""
    stores = {store.name for service in system.services.values() for store in service.stores}
    return via in _SHARED or via in system.libraries or via in stores


def _nodes(graph: FlowGraph, name: str) -> frozenset[Node]:
    """A context's and a service's handlers, or an event itself."""
    if name in graph.system.events:
        return frozenset((EventNode(name),))
    services = _services(graph.system, name)
    return frozenset(node for node in graph.handlers if node.service in services)


def _is_way(system: System, via: Ref | None) -> bool:
    if via is None or via.name in VIA or _is_shared(system, via.name):
        return True
    return any(via.name in names for names in (system.events, system.services, system.contexts))


def _services(system: System, name: str) -> Mapping[str, Service]:
    return {s.name: s for s in system.services.values() if name in (s.name, s.context)}


def _way(
    graph: FlowGraph,
    law: Law,
    source: str,
    target: str,
    starts: frozenset[Node],
    goals: frozenset[Node],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A shortest way as names, else (); and, for a path, the services that are reached."""
    via = law.via.name if law.via else None
    if via is not None and _is_shared(graph.system, via):
        return _shared(graph.system, source, target, via), ()
    return _walk(graph, starts, goals, _passes(graph.system, via))


def _passes(system: System, via: str | None) -> Sides:
    if via is None:
        return lambda _node: True
    if via in system.services or via in system.contexts:
        names = _services(system, via).keys()
        return lambda node: isinstance(node, HandlerNode) and node.service in names
    if via in ("event", "command") and via not in system.events:
        return lambda node: (
            isinstance(node, EventNode)
            and node.name in system.events
            and system.events[node.name].kind == via
        )
    return lambda node: isinstance(node, EventNode) and node.name == via


def _walk(
    graph: FlowGraph, starts: frozenset[Node], goals: frozenset[Node], passes: Sides
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Breadth first over (node, whether the path has been where it has to go through)."""
    first: list[State] = [(n, passes(n)) for n in graph.in_order(starts)]
    parents: dict[State, State | None] = dict.fromkeys(first)
    queue: deque[State] = deque(first)
    while queue:
        state = queue.popleft()
        for node in graph.successors[state[0]]:
            after = (node, state[1] or passes(node))
            if after[1] and node in goals:
                path = [str(node)]
                step: State | None = state
                while step is not None:
                    path.append(str(step[0]))
                    step = parents[step]
                return tuple(reversed(path)), ()
            if after not in parents:
                parents[after] = state
                queue.append(after)
    seen = (node for node, _ in parents if isinstance(node, HandlerNode) and node not in starts)
    return (), tuple(dict.fromkeys(node.service for node in seen))


def _shared(system: System, source: str, target: str, via: str) -> tuple[str, ...]:
    """`A -> store -> B` where services of both sides reach the same store or library."""
    stores = {store.name for service in system.services.values() for store in service.stores}
    for one in _services(system, source).values():
        for other in _services(system, target).values():
            if one is other:
                continue
            common = _held(one, via, stores, system) & _held(other, via, stores, system)
            if common:
                return (one.name, min(common), other.name)
    return ()


def _held(service: Service, via: str, stores: set[str], system: System) -> set[str]:
    used = {ref.name for ref in service.uses}
    if via == "library" or via in system.libraries:
        found = used & set(system.libraries)
    else:
        found = {store.name for store in service.stores} | (used & stores)
        found |= {ref.name for ref in service.store_refs}
    return found if via in _SHARED else found & {via}
