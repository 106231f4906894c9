"""What a test writes out is what `flowc emit` takes (spec 2.21), and what an upcast sets is what a
run can lift (3.25): checker and codec agree."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from flowc_dsl.compile import compile_program
from flowc_dsl.lifting import Stored, Unliftable
from flowc_dsl.planning import make_plan
from flowc_engine.codec import CodecError, parse_json, read_event
from flowc_engine.generations import lift_of

TYPES = (
    "string", "bool", "int", "float", "decimal(4,2)", "uuid", "timestamp", "date", "duration",
    "bytes", "Color", "Line", "list<int>", "list<Line>", "map<string, date>", "map<int, Color>",
    "map<uuid, bool>",
)  # fmt: skip
ID = "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11"
TEXTS = (
    "", "x", "1", "-12.50", "123.4", "1.234", ID, ID.replace("-", ""), ID[:-1], "2026-01-31",
    "2026-02-30", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00", "2026-01-31T12:00:00+02:00",
    "1.5s", "1h30m", "-1s", "1.5us", "0.0000001s", "aGk=", "aGk", "é", "RED", "red",
)  # fmt: skip
PLAIN = (
    "0", "1", "-1", "12.5", "12.345", "100", "1e3", "9223372036854775807", "true", "false", "null",
    "1.5s", "0.5ms", "2026-01-31", "RED", "BLUE", "200/s", "2%",
)  # fmt: skip
scalar = st.one_of(st.sampled_from(PLAIN), st.sampled_from(TEXTS).map(json.dumps))
key = st.one_of(st.sampled_from(("a", '"1"', '"x y"')), st.just(f'"{ID}"'))
value = st.recursive(
    scalar,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]"),
        st.tuples(key, inner).map(lambda pair: f"{{ {pair[0]}: {pair[1]} }}"),
        inner.map(lambda one: f"{{ n: {one} }}"),
    ),
    max_leaves=3,
)

FITTING = {
    "string": ('""', '"x"'), "bool": ("true",), "int": ("1", "-1"), "float": ("12.5", "1e3"),
    "decimal(4,2)": ("12.5", '"-12.50"'), "uuid": (f'"{ID}"',),
    "timestamp": ('"2026-01-31T12:00:00Z"',), "date": ("2026-01-31",), "duration": ("1.5s",),
    "bytes": ('"aGk="',), "Color": ("RED",), "Line": ("{ n: 1 }", "{ }"),
    "list<int>": ("[1, -1]",), "list<Line>": ("[{ n: 1 }]",),
    "map<string, date>": ('{ "x y": 2026-01-31 }',), "map<int, Color>": ('{ "1": RED }',),
    "map<uuid, bool>": (f'{{ "{ID}": true }}',),
}  # fmt: skip
typed = st.sampled_from(TYPES).flatmap(
    lambda type_: st.tuples(st.just(type_), st.sampled_from(FITTING[type_]) | value)
)


def compiled(type_: str, written: str):
    text = f"""system S
        enum Color {{ RED GREEN }}
        type Line {{ n: int? }}
        external event A {{ x: {type_}? }}
        service X {{ on A }}
        test "" {{ given A {{ x: {written} }} }}"""
    return compile_program({"m": text}, "m")


@settings(max_examples=200, deadline=None)
@given(typed)
def test_what_checks_is_taken(one):
    type_, written = one
    found = compiled(type_, written)
    assert not found.diagnostics or written not in FITTING[type_]
    if found.diagnostics:
        return
    values = found.system.tests[0].given[0].values
    read_event(make_plan(found.system), "A", parse_json(json.dumps(values)))  # raises nothing


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TYPES), st.sampled_from(TEXTS))
def test_a_string_that_is_taken_checks(type_, text):
    """And one that is not taken does not check."""
    found = compiled(type_, json.dumps(text))
    plan = make_plan(compiled(type_, "null").system)
    try:
        read_event(plan, "A", {"x": text})
    except CodecError:
        assert found.diagnostics != ()
    else:
        assert found.diagnostics == ()


@settings(max_examples=200, deadline=None)
@given(typed)
def test_what_an_upcast_sets_can_be_lifted_if_it_checks(one):
    type_, written = one
    text = f"""system S
        enum Color {{ RED GREEN }}
        type Line {{ n: int  m: string? }}
        external event A v2 {{ x: {type_}  upcast v1 {{ x = {written} }} }}
        service X {{ on A }}"""
    found = compile_program({"m": text}, "m")
    old = make_plan(compile_program({"m": "system S external event A { }"}, "m").system)
    new = make_plan(found.system)
    lift = lift_of(Stored(old, old.event("A")), Stored(new, new.event("A")))
    if not found.diagnostics:
        assert not isinstance(lift, Unliftable)
