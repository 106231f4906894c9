"""The graph and the walks on it, against networkx and against the slow and obvious way."""

import sys
from datetime import date

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from flowc_dsl.check import check_system, judge
from flowc_dsl.graph import EventNode, HandlerNode, build_graph
from flowc_dsl.model import Handler, System
from support.systems import after, airline, event, every, on, outputs, service, shop, system

TODAY = date(2026, 1, 15)
NAMES = [f"E{i}" for i in range(6)]


def found(model: System, code: str):
    """Not by the report: all places are one here, so that it would drop findings as repeats."""
    return [d for d in judge(build_graph(model), TODAY) if d.code == code]


@st.composite
def systems(draw) -> System:
    name = st.sampled_from(NAMES)
    names = st.lists(name, min_size=1, max_size=2, unique=True)
    handlers = st.one_of(
        st.builds(lambda t, o: on(" | ".join(t), " | ".join(o)), names, names),
        st.builds(lambda t, o: on(" & ".join(t), " , ".join(o)), names, names),
        st.builds(lambda o: every(5, o), name),
        st.builds(lambda t, u, o: after(5, t, u, o), name, name, name),
    )
    services = draw(st.lists(st.lists(handlers, min_size=1, max_size=3), min_size=1, max_size=4))
    scopes = st.sampled_from(["plain", "plain", "external", "exported"])
    events = [event(n, draw(scopes)) for n in NAMES]
    return system("T", {}, events, *(service(f"S{i}", None, *h) for i, h in enumerate(services)))


@given(systems())
def test_each_handler_on_a_cycle_is_in_a_witness_and_no_other(model):
    graph = nx.DiGraph(
        (a, b)
        for s in model.services.values()
        for i, h in enumerate(s.handlers)
        for a, b in [
            *((ref.name, (s.name, i)) for ref in h.triggers),
            *(((s.name, i), ref.name) for ref in h.output_refs()),
        ]
    )
    cyclic = {n for c in nx.strongly_connected_components(graph) if len(c) > 1 for n in c}
    labels = {str(n): (n.service, n.number) for n in build_graph(model).handlers}
    findings = found(model, "FLW301")
    shown = {name for d in findings for name in d.witness}
    if len(labels) == sum(len(s.handlers) for s in model.services.values()):  # no label twice
        on_cycles = {n for n in cyclic if isinstance(n, tuple)}
        assert {labels[name] for name in shown if name in labels} == on_cycles
    assert bool(findings) == bool(cyclic)
    for finding in findings:
        assert finding.witness[0] == finding.witness[-1]
        assert set(finding.witness) & set(NAMES) <= cyclic


def slow_reach(model: System) -> set[str]:
    """Events that happen, if what nobody emits and what is external happens."""
    handlers = [h for s in model.services.values() for h in s.handlers]
    emitted = {ref.name for h in handlers for ref in h.output_refs()}
    happens = {n for n, e in model.events.items() if e.external or n not in emitted}

    def fires(handler: Handler) -> bool:
        needed = [ref.name in happens for ref in handler.triggers]
        return not needed or (all(needed) if handler.kind == "join" else any(needed))

    for _ in model.events:
        happens |= {ref.name for h in handlers if fires(h) for ref in h.output_refs()}
    return happens


@given(systems())
def test_205_is_said_exactly_of_what_can_not_happen(model):
    lost = set(model.events) - slow_reach(model)
    findings = found(model, "FLW205")
    said = {n for d in findings for n in d.witness if n in model.events}
    assert said <= lost
    assert bool(findings) == bool(lost)


@given(systems())
def test_reports_are_a_function_of_the_model(model):
    first = check_system(model, TODAY)
    again = check_system(model, TODAY)
    assert first.diagnostics == again.diagnostics
    assert list(first.diagnostics) == sorted(first.diagnostics, key=lambda d: d.sort_key())


def test_networkx_has_the_same_nodes_and_edges():
    for model in (shop(), airline()):
        graph = build_graph(model)
        pairs = {(a, b) for a, targets in graph.successors.items() for b in targets}
        assert set(graph.networkx().edges) == pairs
        assert set(graph.networkx().nodes) == set(graph.successors)


def test_labels_and_counts():
    model = system(
        "T",
        {},
        [event("A"), event("B")],
        service(
            "S",
            None,
            on("A", "B?"),
            on("A & B"),
            every(1_500, "A"),
            after(900_000, "A", "B", "B"),
            Handler(
                "on", on("A").span, on("A").triggers, outputs("B | B"), name=on("A").triggers[0]
            ),
        ),
    )
    graph = build_graph(model)
    assert [str(node) for node in graph.handlers] == [
        "S.on A",
        "S.on A & B",
        "S.every 1500ms",
        "S.after 15m of A",
        "S.A",
    ]
    assert graph.edge_count == 2 + 2 + 1 + 3 + 3


def test_a_join_waits_for_all_its_sides():
    model = system(
        "T", {}, [event("A"), event("B"), event("C")], service("S", None, on("A & B", "C"))
    )
    graph = build_graph(model)
    a, b, c = map(EventNode, "ABC")
    assert graph.reached_from([a]) == {a}
    assert graph.reached_from([a, b]) == {a, b, c, HandlerNode("S", 0, "on A & B")}


def test_a_system_without_cycles_does_not_need_networkx(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    assert check_system(shop(), TODAY).summary.services == 5
