"""What there is to draw: every mention of an event is an edge, whatever else is wrong."""

import json
from collections import Counter

import pytest

from flowc_dsl.draw.collapse import collapse, wants_collapse
from flowc_dsl.draw.dot import dot_text
from flowc_dsl.draw.json_text import json_text
from flowc_dsl.draw.mermaid import mermaid_text
from flowc_dsl.draw.topology import topology_of
from flowc_dsl.graph import build_graph
from support import systems


def ends(topology, kind):
    by_id = topology.by_id
    return [
        (by_id[e.source].name, by_id[e.target].name, e.label)
        for e in topology.edges
        if e.kind == kind
    ]


@pytest.mark.parametrize("system", [systems.shop(), systems.airline(), systems.generated(40)])
def test_every_declared_edge_is_there(system):
    topology = topology_of(system)
    kinds = Counter(edge.kind for edge in topology.edges)
    declared = kinds["trigger"] + kinds["unless"] + kinds["output"]
    assert declared == topology.declared == build_graph(system).edge_count
    assert kinds["owns"] == sum(len(s.stores) for s in system.services.values())


def test_deadlines_timers_and_how_many_are_on_the_edges():
    shop, airline = topology_of(systems.shop()), topology_of(systems.airline())
    assert ("OrderPlaced", "Orders", "after 15m") in ends(shop, "trigger")
    assert ends(shop, "unless") == [
        ("OrderShipped", "Orders", "unless"),
        ("OrderCancelled", "Orders", "unless"),
    ]
    assert ("Clock", "Ticked", "every 1m") in ends(airline, "output")
    assert ("Departures", "DepartureDelayed", "?") in ends(airline, "output")
    assert ("Connections", "RebookPassengers", "*") in ends(airline, "output")


def test_alternatives_share_a_number():
    shop = topology_of(systems.shop())
    stock = [e for e in shop.edges if e.source == "service/Stock" and e.kind == "output"]
    assert [e.alternative for e in stock] == [0, 0]


def test_an_event_stands_in_the_one_context_that_emits_it():
    shop = topology_of(systems.shop())
    assert shop.by_id["event/OrderCancelled"].cluster == "Sales"
    assert shop.by_id["event/CheckoutSubmitted"].cluster is None
    both = systems.system(
        "Two",
        {"A": None, "B": None},
        [systems.event("Done")],
        systems.service("X", "A", systems.on("Done", "Done")),
        systems.service("Y", "B", systems.on("Done", "Done")),
    )
    assert topology_of(both).by_id["event/Done"].cluster is None


def test_names_that_do_not_exist_are_drawn_as_missing():
    broken = systems.system(
        "Broken",
        {},
        [],
        systems.service(
            "X", "Nowhere", systems.on("Gone", "Lost"), store_refs=(systems.ref("their_db"),)
        ),
    )
    topology = topology_of(broken)
    missing = {node.name for node in topology.nodes if node.missing}
    assert missing == {"Gone", "Lost", "their_db"}
    assert topology.declared == 2
    assert len(topology.edges) == 3


def test_a_store_used_by_another_service_is_one_store():
    shared = systems.system(
        "Shared",
        {},
        [],
        systems.service("X", None, stores="db"),
        systems.service("Y", None, store_refs=(systems.ref("db"),)),
    )
    topology = topology_of(shared)
    assert ends(topology, "owns") == [("X", "db", "")]
    assert ends(topology, "uses") == [("Y", "db", "uses")]
    assert not any(node.missing for node in topology.nodes)


def test_collapsing_counts_every_edge():
    whole = topology_of(systems.generated(75))
    assert wants_collapse(whole)
    assert not wants_collapse(topology_of(systems.airline()))
    small = collapse(whole)
    weights = sum(e.weight for e in small.edges if e.kind not in ("owns", "uses"))
    assert weights + small.inner == whole.declared
    assert 0 < small.inner < whole.declared
    assert len(small.nodes) < 20
    assert {n.name for n in small.nodes if n.kind == "context"} == {f"Context{i}" for i in range(5)}


def test_json_lists_nodes_and_edges():
    value = json.loads(json_text(topology_of(systems.shop())))
    assert value["format_version"] == "1.0"
    assert len(value["edges"]) == 23
    assert value["summary"] == {
        "services": 5,
        "events": 8,
        "stores": 3,
        "contexts": 2,
        "declared_edges": 20,
        "inner_edges": 0,
    }
    names = {node["id"] for node in value["nodes"]}
    assert all(e["source"] in names and e["target"] in names for e in value["edges"])


@pytest.mark.parametrize("system", [systems.shop(), systems.airline(), systems.generated(40)])
def test_texts_hold_every_edge(system):
    topology = topology_of(system)
    mermaid = [line.split() for line in mermaid_text(topology).splitlines()]
    arrows = [words for words in mermaid if any(w.startswith(("--", "-.")) for w in words)]
    assert len(arrows) == len(topology.edges)
    dot = dot_text(topology)
    assert dot.count(" -> ") == len(topology.edges)
    assert "newrank=true" in dot


def test_mermaid_of_a_small_system():
    small = systems.system(
        "Small",
        {"Sales": 'the "team"'},
        [systems.event("Asked", "external"), systems.event("Answered")],
        systems.service("Desk", "Sales", systems.on("Asked", "Answered?"), stores="db"),
    )
    lines = [
        line.strip()
        for line in mermaid_text(topology_of(small)).splitlines()
        if "classDef" not in line and "style" not in line
    ]
    assert lines == [
        "flowchart LR",
        'subgraph c0["Sales · the &quot;team&quot;"]',
        'n1("Answered"):::event',
        'n2["Desk"]:::service',
        'n3[("db")]:::store',
        "end",
        'n0("Asked"):::boundary',
        "n0 --> n2",
        'n2 -->|"?"| n1',
        "n2 --- n3",
    ]
