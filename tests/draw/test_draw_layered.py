"""flowc's own layout: whole, without overlaps, and the same bytes each time."""

import os
import random
import subprocess
import sys
import time
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

import pytest

from flowc_dsl.draw.collapse import collapse
from flowc_dsl.draw.grid import grid_of
from flowc_dsl.draw.order import crossings, order_columns
from flowc_dsl.draw.place import isotonic, place
from flowc_dsl.draw.rank import back_edges, ranks_of
from flowc_dsl.draw.svg import svg_text
from flowc_dsl.draw.topology import topology_of
from flowc_dsl.draw.verify import undrawn
from flowc_dsl.draw.wires import gap_labels
from support import systems

SVG = "{http://www.w3.org/2000/svg}"


def many_systems():
    yield systems.shop()
    yield systems.airline()
    yield systems.system(
        "Apart",
        {"A": "x", "B": None, "C": None},
        [systems.event(f"Seen{i}", "external") for i in range(3)],
        *(systems.service(f"S{i}", "ABC"[i], systems.on(f"Seen{i}", f"Done{i}")) for i in range(3)),
    )
    for seed in range(12):
        rng = random.Random(seed)
        yield systems.generated(
            rng.randrange(1, 30), seed, rng.choice((0, 1, 3, 8)), flow=rng.random() < 0.5
        )


def laid_out(topology):
    grid = grid_of(topology)
    order_columns(grid)
    return grid, place(grid, gap_labels(grid))


@pytest.mark.parametrize("system", list(many_systems()))
def test_every_edge_is_drawn_and_nothing_overlaps(system):
    topology = topology_of(system)
    svg = svg_text(topology)
    ET.fromstring(svg)
    assert undrawn(topology, svg) == ()
    grid, frame = laid_out(topology)
    for column in grid.columns:
        for a, b in pairwise(grid.items[i] for i in column):
            assert a.y + a.height <= b.y + 0.01
    for (_, right), (left, _) in pairwise(frame.columns):
        assert right < left
    for route in grid.routes:
        columns = [grid.items[i].column for i in route.items]
        assert columns == list(range(columns[0], columns[0] + len(columns)))


@pytest.mark.parametrize("system", list(many_systems()))
def test_contexts_hold_their_own_nodes_only(system):
    topology = topology_of(system)
    root = ET.fromstring(svg_text(topology))
    frames = {g.get("id"): box(g) for g in root.iter(f"{SVG}g") if g.get("class") == "frame"}
    for a, b in combinations(frames.values(), 2):
        assert not overlap(a, b)
    services = [g for g in root.iter(f"{SVG}g") if (g.get("id") or "").startswith("service/")]
    assert len(services) == len(system.services)
    for group in services:
        cluster = topology.by_id[group.get("id")].cluster
        for name, frame in frames.items():
            assert overlap(box(group), frame) == (name == f"context/{cluster}")


def box(group):
    rect = group.find(f"{SVG}rect")
    x, y, width, height = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_collapsed_systems_are_whole_too():
    topology = collapse(topology_of(systems.generated(75)))
    assert undrawn(topology, svg_text(topology)) == ()


def test_an_empty_system_is_a_picture():
    ET.fromstring(svg_text(topology_of(systems.system("Empty", {"A": None}, []))))


def test_text_that_xml_cannot_hold():
    event = systems.event("Odd", doc='a\x00b <&> "c" \ud800')
    svg = svg_text(topology_of(systems.system("S", {"C": "<o>"}, [event])))
    ET.fromstring(svg.encode().decode())


def test_the_same_bytes_whatever_the_hash_seed():
    code = (
        "from support import systems\n"
        "from flowc_dsl.draw.topology import topology_of\n"
        "from flowc_dsl.draw import svg, mermaid, json_text, dot\n"
        "t = topology_of(systems.airline())\n"
        "print(svg.svg_text(t), mermaid.mermaid_text(t), json_text.json_text(t), dot.dot_text(t))"
    )
    found = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        found.add(subprocess.check_output([sys.executable, "-c", code], env=env))
    assert len(found) == 1


def test_a_lost_edge_is_noticed():
    topology = topology_of(systems.shop())
    svg = svg_text(topology)
    start = svg.index('<g id="e3"')
    assert undrawn(topology, svg[:start] + svg[svg.index("</g>", start) :]) == ("e3",)
    empty = svg.replace('class="line" d="M', 'class="line" d="')
    assert len(undrawn(topology, empty)) == len(topology.edges)


def test_cycles_are_cut_where_they_return():
    pairs = [(0, 1), (1, 2), (2, 3), (3, 1), (2, 2)]
    assert back_edges(4, pairs) == {(3, 1)}
    assert ranks_of(5, [(0, 1), (1, 2), (0, 2), (4, 2)]) == [0, 1, 2, 0, 1]


def test_ordering_removes_crossings():
    chains = [systems.service(f"S{i}", None, systems.on(f"In{i}", f"Out{i}")) for i in range(6)]
    events = [systems.event(f"{side}{i}") for side in ("Out", "In") for i in range(6)]
    grid = grid_of(topology_of(systems.system("Chains", {}, events, *chains)))
    grid.columns[1] = [grid.columns[1][i] for i in (3, 0, 5, 2, 4, 1)]
    assert crossings(grid) > 10
    order_columns(grid)
    assert crossings(grid) == 0


def test_isotonic_is_the_least_squares_answer():
    assert isotonic([(1, 1), (3, 1), (2, 1), (9, 1)]) == [1, 2.5, 2.5, 9]
    assert isotonic([(4, 1), (0, 3)]) == [1, 1]


def test_150_nodes_are_quick_work():
    topology = topology_of(systems.generated(75))
    assert len(topology.nodes) > 150
    start = time.perf_counter()
    svg_text(topology)
    assert time.perf_counter() - start < 5
