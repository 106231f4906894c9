"""The measures behind the rules: gains, chains, budgets, and where personal data goes."""

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowc_dsl.compile import compile_program
from flowc_dsl.graph import EventNode, FlowGraph, HandlerNode, build_graph
from flowc_dsl.model import Retry
from flowc_dsl.rules.delivery import backoffs_ms
from flowc_dsl.rules.english import is_no_order, tells_past
from flowc_dsl.rules.taint import taint
from flowc_dsl.rules.traffic import longest_chain
from support.programs import findings
from support.systems import event, every, on, service, system


def graph_of(text: str) -> FlowGraph:
    compiled = compile_program({"main.flow": text}, "main.flow")
    assert compiled.system is not None
    return build_graph(compiled.system)


def ring(chance: int) -> str:
    """`A` comes back with this chance, and is asked for by two handlers."""
    return f"""
        system S
        external event Start key id {{ id: uuid }}
        event A key id {{ id: uuid }}
        event B key id {{ id: uuid }}
        service One {{ on Start | B -> A }}
        service Two {{ on A -> B chance {chance}%  on A as again -> B chance {chance}% }}
    """


@pytest.mark.parametrize(("chance", "grows"), [(0, False), (49, False), (50, True), (100, True)])
def test_a_gain_of_one_is_the_bound(chance, grows):
    codes = {found.code for found in findings(ring(chance))}
    assert ("FLW306" in codes or "FLW305" in codes) == grows


def test_the_gain_is_said():
    (found,) = [f for f in findings(ring(75)) if f.code == "FLW306"]
    assert "causes 1.5 more" in found.message
    assert found.witness[0] == found.witness[-1] == "A"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=14))
def test_the_longest_chain_is_that_of_the_condensed_graph(edges):
    names = [f"E{i}" for i in range(8)]
    services = [service(f"S{i}", None, on(names[a], names[b])) for i, (a, b) in enumerate(edges)]
    graph = build_graph(system("S", {}, [event(n, "external") for n in names], *services))
    chain = longest_chain(graph)
    condensed = nx.condensation(graph.networkx())
    weights = {
        n: int(any(isinstance(m, HandlerNode) for m in d["members"]))
        for n, d in condensed.nodes(data=True)
    }
    best: dict[int, int] = {}
    for node in nx.topological_sort(condensed):
        before = [best[p] for p in condensed.predecessors(node)]
        best[node] = weights[node] + max(before, default=0)
    assert chain.length == max(best.values())
    for one, other in zip(chain.path, chain.path[1:], strict=False):
        assert other in graph.successors[one]


def test_a_chain_that_a_timer_starts():
    graph = build_graph(
        system(
            "S",
            {},
            [event("T")],
            service("A", None, every(5, "T")),
            service("B", None, on("T")),
        )
    )
    assert [str(node) for node in longest_chain(graph).path] == ["A.every 5ms", "T", "B.on T"]


@pytest.mark.parametrize(
    ("retry", "total"),
    [
        (Retry(0, 100, 2000), 0),
        (Retry(5, 100, 2000), 3100),
        (Retry(6, 100, 2000), 5100),
        (Retry(1000, 0, 0), 0),
        (Retry(1000, 1000, 1000), 1_000_000),
    ],
)
def test_pauses_double_up_to_their_bound(retry, total):
    assert backoffs_ms(retry) == total


def test_personal_data_is_told_from_where_it_entered():
    graph = graph_of("""
        system S
        event Copied key id { id: uuid  mail: string @pii }
        external event Came key id { id: uuid  mail: string @pii }
        event Back key id { id: uuid  mail: string }
        service A { on Came | Back -> Copied }
        service B { on Copied -> Back? }
    """)
    found = taint(graph)
    assert found.origin(("Back", "mail")) == ("Came", "mail")
    assert found.path(("Back", "mail")) == (
        "Came.mail", "A.on Came | Back", "Copied.mail", "B.on Copied", "Back.mail",
    )  # fmt: skip
    assert EventNode("Back") in graph.successors


@pytest.mark.parametrize("name", ["OrderPlaced", "HTTPCallSent", "order_lost", "PaidByCard", "Ran"])
def test_what_has_happened(name):
    assert tells_past(name)


@pytest.mark.parametrize("name", ["PlaceOrder", "Feed", "OrderSpeed", "Tick", "RedNeed", ""])
def test_what_has_not(name):
    assert not tells_past(name)


@pytest.mark.parametrize("name", ["PlaceOrder", "SetPrice", "PutAside", "Position", "Ring", "Bid"])
def test_what_is_to_be_done(name):
    assert not is_no_order(name)


@pytest.mark.parametrize("name", ["OrderPlaced", "Payment", "PlacingOrder", "ClosedShop"])
def test_what_is_no_order(name):
    assert is_no_order(name)
