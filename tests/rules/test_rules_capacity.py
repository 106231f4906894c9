"""Rates and loads (spec 3.33 to 3.35): by hand, and against other ways to compute them."""

import itertools
import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowc_dsl.compile import compile_program
from flowc_dsl.gain import growth
from flowc_dsl.graph import FlowGraph, build_graph
from flowc_dsl.model import Takes
from flowc_dsl.rates import Load, Rate, geometric, loads_of, mean_ms, rates_of
from flowc_dsl.source import Span
from flowc_dsl.thresholds import Thresholds
from support.programs import check_text

NAMES = "BCDEFGHI"
HEAD = "system S\nexternal event A key k rate 100/s { k: uuid }\n"
EVENTS = "".join(f"event {name} key k {{ k: uuid }}\n" for name in NAMES)


def graph_of(services: str, head: str = HEAD) -> FlowGraph:
    compiled = compile_program({"m": head + EVENTS + services}, "m")
    assert compiled.diagnostics == ()
    return build_graph(compiled.system)


def rates(services: str, head: str = HEAD) -> dict[str, Rate]:
    return dict(rates_of(graph_of(services, head)).events)


def load(services: str, head: str = HEAD) -> Load:
    graph = graph_of(services, head)
    (found,) = loads_of(graph, rates_of(graph)).values()
    return found


# ---- by hand


@pytest.mark.parametrize(
    ("handler", "shares"),
    [
        ("on A -> B", {"B": 100}),
        ("on A -> B, C", {"B": 100, "C": 100}),
        ("on A -> B | C", {"B": 50, "C": 50}),
        ("on A -> B chance 10% | C", {"B": 10, "C": 90}),
        ("on A -> B chance 10% | C | D", {"B": 10, "C": 45, "D": 45}),
        ("on A -> B?", {"B": 50}),
        ("on A -> B? chance 3%", {"B": 3}),
        ("on A -> B*", {"B": 100}),
        ("on A -> B  on A as again -> B", {"B": 200}),
        ("after 1m of A -> B", {"B": 100}),
        ("after 1m of A unless C -> B", {"B": 50}),
        ("every 5s -> B", {"B": 0.2}),
        ("on A -> B chance 20%  on A as c -> C  on B & C by k -> D", {"B": 20, "C": 100, "D": 20}),
    ],
)
def test_the_shares_of_one_handler(handler, shares):
    found = rates(f"service X {{ {handler} }}")
    assert {name: found[name].per_s for name in shares} == pytest.approx(shares)


def test_two_triggers_add_up_and_an_unknown_one_makes_a_lower_bound():
    head = HEAD + "external event Z key k { k: uuid }\n"
    found = rates("service X { on A | Z -> B  on A as a -> C }", head)
    assert found["B"] == Rate(100, known=False)
    assert found["C"] == Rate(100, known=True)
    assert found["Z"] == Rate(0, known=False)


def test_a_declared_rate_stands_for_what_would_be_computed():
    head = "system S\nexternal event A key k rate 100/s { k: uuid }\n"
    head += "event M key k rate 3/s { k: uuid }\n"
    found = rates("service X { on A -> M  on M -> B }", head)
    assert found["B"] == Rate(3)


def test_the_rounds_of_a_cycle_add_up():
    services = "service X { on A | C -> B }\nservice Y { on B -> C chance 75% | D }"
    found = rates(services)
    assert found["B"].per_s == pytest.approx(400)  # 100 / (1 - 0.75)
    assert found["D"].per_s == pytest.approx(100)  # what enters leaves


def test_two_rings_through_one_event():
    services = "service X { on A | C | D -> B }\nservice Y { on B -> C chance 40%, D chance 40% }"
    assert rates(services)["B"].per_s == pytest.approx(500)


@pytest.mark.parametrize("back", ["C", "C, D", "C*"])
def test_behind_a_cycle_without_end_nothing_is_known_and_nothing_judged(back):
    services = f"""service X {{ on A | C -> B }}
        service Y {{ on B -> {back}, E? }}
        service Late {{ on E takes constant(1s) }}"""
    assert rates(services)["E"].per_s == math.inf
    graph = graph_of(services)
    assert loads_of(graph, rates_of(graph))["Late"].busy == math.inf
    report = check_text(HEAD + EVENTS + services)
    assert "FLW508" not in {found.code for found in report.diagnostics}


def test_a_cycle_behind_one_without_end_has_none_either():
    services = """service X { on A | C -> B }
        service Y { on B -> C, D }
        service Z { on D | F -> E  on E -> F chance 0% | G }"""
    found = rates(services)
    assert [found[name].per_s for name in "BDEG"] == [math.inf] * 4


def test_a_declared_rate_cuts_a_cycle():
    head = "system S\nexternal event A key k rate 100/s { k: uuid }\n"
    head += "event M key k rate 3/s { k: uuid }\n"
    found = rates("service X { on A | M -> B }\nservice Y { on B -> M*, C }", head)
    assert [found[name].per_s for name in "BMC"] == [103, 3, 103]
    assert found["M"].known


def test_a_join_in_a_cycle_has_the_least_rate_that_holds():
    head = HEAD + "external event Z key k rate 10/s { k: uuid }\n"
    services = "service X { on A | D -> B }\nservice Y { on B & Z by k -> D chance 50% }"
    found = rates(services, head)
    assert found["D"].per_s == pytest.approx(5)
    assert found["B"].per_s == pytest.approx(105)
    stuck = rates("service Y { on A & D by k -> B  on B -> D }")
    assert (stuck["B"].per_s, stuck["D"].per_s) == (0, 0)  # nothing is first


def test_a_load_is_calls_times_mean_time_by_replicas():
    found = load("service X { replicas 1 to 4  on A -> B takes uniform(10ms, 20ms)  on B }")
    assert found.busy == pytest.approx(1.5)
    assert (found.servers, found.known) == (4, False)  # `on B` does not say what it takes
    assert found.utilisation == pytest.approx(0.375)
    assert found.calls_per_s == 100
    assert load("service X { on A takes constant(1ms) }").known


@pytest.mark.parametrize(("kind", "servers"), [("bool", 2), ("Side", 3), ("int", 8)])
def test_a_key_of_few_values_lets_no_more_replicas_work(kind, servers):
    head = f"system S\nenum Side {{ L M R }}\nexternal event A key s rate 100/s {{ s: {kind} }}\n"
    found = load("service X { replicas 8  on A takes constant(10ms) }", head)
    assert (found.busy, found.servers) == (1, servers)


def test_few_keys_count_only_where_they_are_the_tighter_bound():
    head = "system S\nexternal event A key s rate 10/s { s: bool }\n"
    head += "external event Z key k rate 1000/s { k: uuid }\n"
    found = load(
        "service X { replicas 8  on A takes constant(1ms)  on Z takes constant(7ms) }", head
    )
    assert (found.servers, len(found.parts)) == (8, 2)


# ---- against other ways


def takes(distribution: str, *args_ms: float) -> Takes:
    return Takes(distribution, args_ms, Span("m", 0, 0))


def log_normal(random: Random, mean: float, deviation: float) -> float:
    variance = math.log(1 + (deviation / mean) ** 2)
    return random.lognormvariate(math.log(mean) - variance / 2, math.sqrt(variance))


@pytest.mark.parametrize(
    ("declared", "draw"),
    [
        (takes("constant", 7), lambda _: 7),
        (takes("exponential", 7), lambda r: r.expovariate(1 / 7)),
        (takes("uniform", 2, 9), lambda r: r.uniform(2, 9)),
        (takes("normal", 7, 0), lambda _: 7),
        (takes("normal", 7, 7), lambda r: max(0.0, r.gauss(7, 7))),
        (takes("lognormal", 20, 5), lambda r: log_normal(r, 20, 5)),
    ],
)
def test_the_mean_of_a_time_is_that_of_many(declared, draw):
    random = Random(1)
    drawn = [draw(random) for _ in range(100_000)]
    assert mean_ms(declared) == pytest.approx(sum(drawn) / len(drawn), rel=0.01)


Group = tuple[tuple[str, str, int], ...]  # of (event, "" or "?", chance in % or 0)


@st.composite
def acyclic(draw: st.DrawFn) -> list[tuple[str, list[Group]]]:
    """Handlers of an event, that emit later events: (trigger, groups of alternatives)."""
    order = "A" + NAMES
    handlers = []
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(order) - 2))
        later = draw(st.permutations(order[at + 1 :]))[: draw(st.integers(1, 3))]
        cut = draw(st.integers(1, len(later)))
        groups = [_group(draw, part) for part in (later[:cut], later[cut:]) if part]
        handlers.append((order[at], groups))
    return handlers


def _group(draw: st.DrawFn, names: list[str]) -> Group:
    chances = [draw(st.sampled_from((0, 0, 10, 33))) for _ in names]
    many = [draw(st.sampled_from(("", "?"))) for _ in names]
    return tuple(zip(names, many, chances, strict=True))


def written(handlers: list[tuple[str, list[Group]]]) -> str:
    services = []
    for number, (trigger, groups) in enumerate(handlers):
        texts = [
            " | ".join(f"{e}{m}" + (f" chance {c}%" if c else "") for e, m, c in group)
            for group in groups
        ]
        services.append(f"service S{number} {{ on {trigger} -> {', '.join(texts)} }}")
    return "\n".join(services)


def outcomes(group: Group) -> list[tuple[float, str | None]]:
    """Each thing that can come of a group of alternatives, with its probability."""
    found: list[tuple[float, str | None]] = []
    open_ = [(event, many) for event, many, chance in group if not chance]
    left = 1 - sum(chance for _, _, chance in group) / 100
    for event, _, chance in group:
        if chance:
            found.append((chance / 100, event))
    if not open_:
        found.append((left, None))
    for event, many in open_:
        share = left / len(open_)
        if many:
            found += [(share / 2, event), (share / 2, None)]
        else:
            found.append((share, event))
    return found


def enumerated(handlers: list[tuple[str, list[Group]]], event: str) -> dict[str, float]:
    """How many events one `event` becomes on average: every outcome of every choice, weighed."""
    total = {event: 1.0}
    for trigger, groups in handlers:
        if trigger != event:
            continue
        for chosen in itertools.product(*(outcomes(group) for group in groups)):
            weight = math.prod(p for p, _ in chosen)
            for _, emitted in chosen:
                for name, count in enumerated(handlers, emitted).items() if emitted else ():
                    total[name] = total.get(name, 0.0) + weight * count
    return total


@settings(max_examples=60, deadline=None)
@given(acyclic())
def test_rates_without_cycles_are_those_of_all_outcomes(handlers):
    found = rates(written(handlers))
    wanted = enumerated(handlers, "A")
    for name in NAMES:
        assert found[name].per_s == pytest.approx(100 * wanted.get(name, 0.0))
        assert found[name].known


@settings(max_examples=60, deadline=None)
@given(acyclic(), st.integers(1, 50))
def test_loads_grow_with_the_rate_and_in_proportion(handlers, times):
    services = written(handlers).replace(" }", " takes exponential(3ms) }")

    def busy(rate: int) -> dict[str, float]:
        head = f"system S\nexternal event A key k rate {rate}/s {{ k: uuid }}\n"
        graph = graph_of(services, head)
        return {n: found.utilisation for n, found in loads_of(graph, rates_of(graph)).items()}

    once, often = busy(7), busy(7 * times)
    assert often == pytest.approx({name: used * times for name, used in once.items()})
    assert all(often[name] >= used for name, used in once.items())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 1000), min_size=1, max_size=7),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.floats(0, 1)), max_size=20),
)
def test_elimination_gives_what_the_rounds_add_up_to(inflow, steps):
    size = len(inflow)
    steps = [(a % size, b % size, many) for a, b, many in steps]
    outflow = [sum(many for source, _, many in steps if source == n) for n in range(size)]
    gain = max(growth(size, steps), *outflow, 0.8)
    steps = [(a, b, many * 0.8 / gain) for a, b, many in steps]
    total, wave = list(inflow), list(inflow)
    for _ in range(200):
        wave = [sum(wave[a] * many for a, b, many in steps if b == n) for n in range(size)]
        total = [t + w for t, w in zip(total, wave, strict=True)]
    assert geometric(inflow, steps) == pytest.approx(total, rel=1e-6, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5), st.integers(1, 30)), max_size=9),
    st.lists(st.tuples(*[st.integers(0, 5)] * 2, st.integers(1, 5)), max_size=2),
    st.dictionaries(st.integers(1, 5), st.integers(1, 50), max_size=2),
)
def test_rates_with_cycles_are_those_of_many_rounds(edges, joins, given_):
    """Against the equations themselves, from nothing, round after round."""
    joins = [(a, b, c) for a, b, c in joins if a != b]
    head = "system S\nexternal event E0 key k rate 100/s { k: uuid }\n"
    for n in range(1, 6):
        rate = f" rate {given_[n]}/s" if n in given_ else ""
        head += f"event E{n} key k{rate} {{ k: uuid }}\n"
    services = [
        f"service S{i} {{ on E{a} -> E{b} chance {c}% }}" for i, (a, b, c) in enumerate(edges)
    ]
    services += [
        f"service J{i} {{ on E{a} & E{b} by k -> E{c} chance 40% }}"
        for i, (a, b, c) in enumerate(joins)
    ]
    sizes = [100.0, *[0.0] * 5]
    for _ in range(3_000):
        grown = [100.0, *[0.0] * 5]
        for a, b, chance in edges:
            grown[b] += sizes[a] * chance / 100
        for a, b, c in joins:
            grown[c] += min(sizes[a], sizes[b]) * 0.4
        grown = [float(given_.get(n, size)) for n, size in enumerate(grown)]
        if grown == sizes or sum(grown) > 1e12:
            break
        sizes = grown
    found = rates("\n".join(services), head)
    for n, size in enumerate(sizes):
        if math.isfinite(found[f"E{n}"].per_s):
            assert found[f"E{n}"].per_s == pytest.approx(size, rel=1e-6, abs=1e-6)
    endless = any(math.isinf(found[f"E{n}"].per_s) for n in range(6))
    if not endless:
        assert sum(sizes) < 1e12
    elif not joins:
        assert grown != pytest.approx(sizes, rel=1e-9)  # it still grows


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 99), st.integers(0, 99))
def test_what_enters_a_ring_leaves_it(back, other):
    """Conservation: of each event that enters, exactly one leaves in the end."""
    services = f"""service X {{ on A | C | E -> B }}
        service Y {{ on B -> C chance {back}% | D }}
        service Z {{ on D -> E chance {other}% | F }}"""
    assert rates(services)["F"].per_s == pytest.approx(100)


# ---- the rule


def found_508(services: str, rate: str = "100/s", **thresholds: float):
    head = f"external event A key k rate {rate} {{ k: uuid }}\n"
    text = f"system S\n{head}exported event B key k {{ k: uuid }}\n{services}"
    compiled = compile_program({"main.flow": text}, "main.flow")
    from flowc_dsl.rules.capacity import over_capacity
    from flowc_dsl.rules.registry import checked_rules

    assert compiled.diagnostics == ()
    graph = build_graph(compiled.system, Thresholds(**thresholds))
    (rule,) = [r for r in checked_rules() if r.rule.code == "FLW508"]
    assert rule.check is over_capacity
    return list(rule.run(graph))


@pytest.mark.parametrize(
    ("rate", "level"),
    [("79/s", None), ("80/s", None), ("81/s", "info"), ("99/s", "info"), ("100/s", "warning")],
)
def test_the_bounds(rate, level):
    found = found_508("service X { on A -> B takes constant(10ms) }", rate)
    assert [f.level for f in found] == ([level] if level else [])


def test_the_threshold_is_settable_and_a_full_service_is_always_one():
    services = "service X { on A -> B takes constant(10ms) }"
    assert found_508(services, "60/s") == []
    (info,) = found_508(services, "60/s", utilisation=0.5)
    assert info.level == "info"
    assert found_508(services, "90/s", utilisation=1) == []
    (full,) = found_508(services, "100/s", utilisation=1)
    assert full.level == "warning"


def test_the_numbers_are_said():
    (found,) = found_508("service X { replicas 2 on A -> B takes constant(25ms) }")
    assert found.message == (
        "service `X` can't keep up: 100/s at 25ms each load 2 replicas to 125 %"
    )
    assert found.help == "give it 4 replicas (62 % busy), or let it take less time"
    assert found.witness == ("A 100/s", "X.on A 100/s")


def test_all_that_are_busy_are_too_few():
    (found,) = found_508("service X { on A -> B takes constant(20ms) }", utilisation=1)
    assert "give it 3 replicas (67 % busy)" in found.help


def test_more_replicas_than_there_can_be_are_not_advised():
    (found,) = found_508("service X { replicas 64 on A -> B takes constant(2s) }")
    assert "64 replicas are the most there can be" in found.help


def test_replicas_that_have_no_key_to_work_on_are_not_advised():
    head = "system S\nexternal event A key s rate 100/s { s: bool }\nexported event B { s: bool }\n"
    for replicas in (1, 2, 5):
        text = f"{head}service X {{ replicas {replicas} on A -> B takes constant(30ms) }}"
        (found,) = [d for d in check_text(text).diagnostics if d.code == "FLW508"]
        assert f"to {300 // min(replicas, 2)} %" in found.message
        assert "the key of `A` has 2 values" in found.notes[0]
        assert "a key of more values" in (found.help or "")


def test_the_path_is_that_of_the_greatest_part():
    services = """service X { on A -> B chance 10%, B2 }
        service Y { on B | B2 takes constant(1s) }"""
    services = "event B2 key k { k: uuid }\n" + services
    (found,) = found_508(services)
    assert found.witness == (
        "A 100/s", "X.on A 100/s", "B2 100/s", "Y.on B | B2 110/s",
    )  # fmt: skip


def test_a_scenario_that_loads_more_than_the_rates_is_an_info():
    services = "service X { on A -> B takes constant(10ms) }"
    busy = "scenario busy { load A 120/s for 1m  load A 30/s for 2m }"
    (found,) = found_508(f"{services} scenario calm {{ load A 99/s }} {busy}", "50/s")
    assert found.level == "info"
    assert found.message == (
        "service `X` can't keep up in scenario `busy`: 150/s at 10ms each load it to 150 %"
    )
    assert found.notes == ("after 1m its backlog is about 3,000 events",)
    assert found.witness == ("A 150/s", "X.on A 150/s")
    (declared,) = found_508(f"{services} {busy}", "100/s")  # said already
    assert declared.level == "warning"


def test_a_scenario_loads_what_it_says_alone():
    text = (
        "external event C key k rate 900/s { k: uuid } service X { on A -> B takes constant(10ms) }"
    )
    text += " service Y { on C takes constant(1ms) } scenario s { load A 120/s }"
    found = found_508(text, "50/s")
    assert [(f.subjects, f.level) for f in found] == [(("Y",), "info"), (("X", "s"), "info")]


@pytest.mark.parametrize(
    "services",
    [
        "service X { on A -> B }",  # nobody says how long
        "service X { on A -> B  on B takes constant(0ms) }",  # no time at all
    ],
)
def test_nothing_to_judge(services):
    assert found_508(services) == []


def test_an_event_without_a_rate_is_no_load():
    text = "system S external event A key k { k: uuid } service X { on A takes constant(1h) }"
    assert [d.code for d in check_text(text).diagnostics if d.code == "FLW508"] == []
