"""What exercises an output (FLW208), and which expectations say nothing (FLW904): spec 3.35."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowc_dsl.compile import compile_program
from flowc_dsl.diagnostics.diagnostic import Diagnostic
from flowc_dsl.graph import EventNode, build_graph
from support.programs import check_text

SYSTEM = """
    system Shop
    external event Placed key id { id: uuid }
    external event Asked key id { id: uuid }
    event Reserved key id { id: uuid }
    event Refused key id { id: uuid }
    event Paid key id { id: uuid }
    event Failed key id { id: uuid }
    exported event Shipped key id { id: uuid }
    exported event Cancelled key id { id: uuid }
    service Stock { on Placed -> Reserved | Refused }
    service Bank { on Reserved -> Paid | Failed }
    service Post { on Paid -> Shipped }
    service Desk { on Refused | Failed -> Cancelled  on Asked }
    expect once: at most 1 Paid by id
    expect ends: Placed leads to Shipped | Cancelled
"""
ALL = {"Reserved", "Refused", "Paid", "Failed"}


def of(text: str, code: str) -> list[Diagnostic]:
    return [found for found in check_text(text).diagnostics if found.code == code]


def exercised(trial: str) -> set[str]:
    report = check_text(SYSTEM + trial)
    assert not [d for d in report.diagnostics if d.level != "info"]
    return ALL - {d.witness[-1] for d in report.diagnostics if d.code == "FLW208"}


@pytest.mark.parametrize(
    ("trial", "wanted"),
    [
        ('test "" { given Placed }', set()),  # it looks at nothing
        ('test "" { then Paid }', set()),  # nothing begins
        ('test "" { given Asked then Paid }', set()),  # it can't come of this
        ('test "" { given Placed never Paid }', set()),
        ('test "" { given Placed then Reserved }', {"Reserved"}),
        ('test "" { given Placed then Refused }', {"Refused"}),
        ('test "" { given Placed then Paid }', {"Reserved", "Paid"}),
        ('test "" { given Placed then Shipped }', {"Reserved", "Paid"}),
        ('test "" { given Placed then Cancelled }', set()),  # by one way or the other
        ('test "" { given Reserved then Cancelled }', {"Failed"}),  # by this way alone
        ('test "" { given Placed stub Bank -> Failed }', {"Reserved", "Failed"}),
        ('test "" { given Placed stub Bank -> Failed then Paid }', {"Reserved", "Failed"}),
        ('test "" { given Placed stub Stock -> Refused then Cancelled }', {"Refused"}),
        ("scenario s { load Placed 1/s }", set()),  # it checks nothing
        ("scenario s { load Placed 1/s check once }", {"Reserved", "Paid"}),
        ("scenario s { load Placed 1/s check ends }", {"Reserved", "Paid"}),  # Shipped is a goal
        ("scenario s { load Asked 1/s check once }", set()),
        ("scenario s { check once }", set()),
        (
            'test "1" { given Placed then Paid } test "2" { given Placed then Refused }',
            {"Reserved", "Paid", "Refused"},
        ),
    ],
)
def test_what_exercises_an_alternative(trial, wanted):
    assert exercised(trial) == wanted


def test_without_a_test_or_a_scenario_nothing_is_said():
    assert of(SYSTEM, "FLW208") == []


@pytest.mark.parametrize(
    ("outputs", "open_"),
    [
        ("Out", []),
        ("Out chance 100%", []),
        ("Out*", []),
        ("Out?", ["Out"]),
        ("Out chance 5%", ["Out"]),
        ("Out chance 0%", []),
        ("Out | Other", ["Out", "Other"]),
        ("Out, Other?", ["Other"]),
    ],
)
def test_which_outputs_are_alternatives(outputs, open_):
    text = f"""system S
        external event In key id {{ id: uuid }}
        exported event Out key id {{ id: uuid }}
        exported event Other key id {{ id: uuid }}
        service X {{ on In -> {outputs} }}
        test "" {{ given In }}"""
    assert [found.witness[-1] for found in of(text, "FLW208")] == open_


def test_a_join_needs_both_of_its_sides():
    text = """system S
        external event In key id { id: uuid }
        event One key id { id: uuid }
        event Two key id { id: uuid }
        exported event Out key id { id: uuid }
        service X { on In -> One?, Two? }
        service Y { on One & Two by id -> Out }
        test "" { given In then Out }"""
    assert of(text, "FLW208") == []


def test_the_finding_shows_who_exercises_the_other():
    (found,) = of(SYSTEM + 'test "shipped" { given Placed then Shipped stub Bank -> Paid, Failed }',
                  "FLW208")  # fmt: skip
    assert found.message == "no test or scenario has `Stock.on Placed` emit `Refused`"
    assert found.related[0].text == "exercises `Reserved`"
    assert found.witness == ("Placed", "Stock.on Placed", "Refused")


NODES = 6


@settings(max_examples=80, deadline=None)
@given(
    st.sets(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)), max_size=10),
    st.integers(1, NODES - 1),
)
def test_what_is_needed_is_on_every_path(edges, goal):
    """Against the paths themselves: an output is needed if no path to the goal does without it."""
    edges = sorted((a, b) for a, b in edges if a < b)  # no cycles
    events = "".join(f"event E{n} key k {{ k: uuid }}\n" for n in range(1, NODES))
    services = "".join(f"service S{a}{b} {{ on E{a} -> E{b}? }}\n" for a, b in edges)
    text = f"""system S external event E0 key k {{ k: uuid }}
        {events}{services} test "" {{ given E0 then E{goal} }}"""
    open_ = {(found.witness[1], found.witness[2]) for found in of(text, "FLW208")}
    paths = [
        path
        for size in range(NODES)
        for between in itertools.combinations(range(1, goal), size)
        if set(path := tuple(itertools.pairwise((0, *between, goal)))) <= set(edges)
    ]
    for a, b in edges:
        on_all = bool(paths) and all((a, b) in path for path in paths)
        names_goal = b == goal and any((a, b) in path for path in paths)
        wanted = on_all or names_goal
        assert ((f"S{a}{b}.on E{a}", f"E{b}") not in open_) == wanted


def program(edges: list[tuple[int, int]], joins: list[tuple[int, int, int]]) -> str:
    events = "".join(f"event E{n} key k {{ k: uuid }}\n" for n in range(1, NODES))
    services = "".join(f"service S{a}{b} {{ on E{a} -> E{b}? }}\n" for a, b in edges)
    services += "".join(
        f"service J{n} {{ on E{a} & E{b} by k -> E{c}? }}\n" for n, (a, b, c) in enumerate(joins)
    )
    return f"system S external event E0 key k {{ k: uuid }}\n{events}{services}"


def reaches(text: str, goal: str) -> bool:
    compiled = compile_program({"m": text}, "m")
    assert compiled.system is not None
    return EventNode(goal) in build_graph(compiled.system).reached_from([EventNode("E0")])


@settings(max_examples=80, deadline=None)
@given(
    st.sets(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)), max_size=9),
    st.sets(st.tuples(*[st.integers(0, NODES - 1)] * 3), max_size=4),
    st.integers(1, NODES - 1),
)
def test_what_is_needed_is_what_can_not_be_cut(edges, joins, goal):
    """Against the system without that one output, with joins, and round cycles."""
    edges = sorted((a, b) for a, b in edges if b not in (a, 0))
    joins = sorted((a, b, c) for a, b, c in joins if len({a, b, c}) == 3 and c != 0)
    text = program(edges, joins) + f'test "" {{ given E0 then E{goal} }}'
    open_ = {(found.witness[-2], found.witness[-1]) for found in of(text, "FLW208")}
    possible = reaches(text, f"E{goal}")
    for a, b in edges:
        cut = text.replace(f"on E{a} -> E{b}?", f"on E{a}")
        needed = possible and not reaches(cut, f"E{goal}")
        names_goal = b == goal and reaches(text, f"E{a}")
        assert ((f"S{a}{b}.on E{a}", f"E{b}") not in open_) == (needed or names_goal)


# ---- FLW904


def idle(declared: str, expect: str) -> list[str]:
    text = f"""system S
        external event In key id {{ id: uuid }}
        exported event Out key id {{ id: uuid }}
        service X {{ on In -> Out }}
        {declared}
        expect e: {expect}"""
    return [found.message for found in of(text, "FLW904")]


@pytest.mark.parametrize(
    ("declared", "expect", "said"),
    [
        ("", "In leads to Out", None),
        ("", "at most 1 In", None),
        ("event No key id { id: uuid }", "at most 1 No", "is never triggered: nobody emits `No`"),
        ("event No key id { id: uuid }", "No leads to Out", "is never triggered"),
        ("event No key id { id: uuid }", "In leads to No", "can't be kept: nobody emits `No`"),
        ("event No key id { id: uuid }", "In leads to No | Out", None),
        ("event No key id { id: uuid }", "never In with No", "is never triggered"),
        ("event No key id { id: uuid }", "never No with In", "is never triggered"),
        ("external event Other key id { id: uuid }", "Other leads to Out", None),
        ("event T { at: timestamp } service Y { every 1h -> T  on T as t }", "at most 1 T", None),
        # what is read and not emitted is FLW202, what is misspelt FLW207
        ("event No key id { id: uuid } service Y { on No }", "at most 1 No", None),
        ("event Paid key id { id: uuid } service Y { on In -> Payd }", "at most 1 Paid", None),
        ("", "at most 1 Nope", None),
    ],
)
def test_expectations_that_say_nothing(declared, expect, said):
    found = idle(declared, expect)
    assert len(found) == (said is not None)
    if said:
        assert said in found[0]


def test_an_event_that_only_an_idle_expectation_names_is_not_unused_too():
    text = """system S
        external event In key id { id: uuid }
        event No key id { id: uuid }
        event Never key id { id: uuid }
        service X { on In }
        expect e: at most 1 No"""
    found = [d for d in check_text(text).diagnostics if d.level != "info"]
    assert sorted((d.code, d.subjects[-1]) for d in found) == [
        ("FLW203", "Never"), ("FLW904", "No"),
    ]  # fmt: skip


def test_an_idle_expectation_can_not_be_exempted():
    text = """system S
        external event In key id { id: uuid }
        event No key id { id: uuid }
        service X { on In }
        expect e: at most 1 No
        rules { allow FLW904 on e because "later" }"""
    codes = [d.code for d in check_text(text).diagnostics if d.level != "info"]
    assert codes == ["FLW904", "FLW902"]
