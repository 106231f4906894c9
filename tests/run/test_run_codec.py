"""JSON to columns: every type round-trips, and what does not fit is told with its place."""

import datetime as dt
from decimal import Decimal

import pytest

from flowc_dsl.plan import EventPlan, FieldPlan, Plan, TypePlan
from flowc_engine.codec import CodecError, columns, parse_json, read_event

T = TypePlan
FIELDS = {
    "s": T("string"), "b": T("bool"), "i": T("int"), "f": T("float"),
    "d": T("decimal", precision=12, scale=2), "u": T("uuid"), "t": T("timestamp"),
    "day": T("date"), "wait": T("duration"), "raw": T("bytes"), "e": T("enum", name="Color"),
    "line": T("struct", name="Line"), "lines": T("list", args=(T("struct", name="Line"),)),
    "m": T("map", args=(T("int"), T("float"))), "o": T("int", optional=True),
}  # fmt: skip
PLAN = Plan(
    "P",
    (EventPlan("All", "event", 1, None, tuple(FieldPlan(n, t) for n, t in FIELDS.items())),),
    (),
    {"Line": (FieldPlan("sku", T("string")), FieldPlan("qty", T("int")))},
    {"Color": ("RED", "GREEN")},
)
GOOD = """{"s": "x", "b": true, "i": 9223372036854775807, "f": 1, "d": 1234567890.10,
 "u": "8C0B9A525D0E4A579F0E0D8D3A4F2B11", "t": "2026-01-31T12:00:00+02:00", "day": "2026-01-31",
 "wait": "1h1.5s", "raw": "AAE=", "e": "RED", "line": {"sku": "a", "qty": 1},
 "lines": [{"sku": "b", "qty": 2}], "m": {"3": 0.5}}"""


def read(**changes: str):
    """`GOOD` with other JSON texts for some fields; "" leaves one out."""
    value = parse_json(GOOD)
    for name, text in changes.items():
        if text:
            value[name] = parse_json(text)
        else:
            del value[name]
    return read_event(PLAN, "All", value)


def test_every_type_becomes_its_column() -> None:
    got = {n: c.to_pylist()[0] for n, c in zip(FIELDS, columns(PLAN, "All", [read()]), strict=True)}
    assert got == {
        "s": "x", "b": True, "i": 2**63 - 1, "f": 1.0, "d": Decimal("1234567890.10"),
        "u": "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11",
        "t": dt.datetime(2026, 1, 31, 10, tzinfo=dt.UTC), "day": dt.date(2026, 1, 31),
        "wait": dt.timedelta(hours=1, seconds=1.5), "raw": b"\x00\x01", "e": "RED",
        "line": {"sku": "a", "qty": 1}, "lines": [{"sku": "b", "qty": 2}], "m": [(3, 0.5)],
        "o": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("s", "", "s: missing; expected string"),
        ("s", "null", "s: expected string, got null; it is not optional"),
        ("s", "1", "s: expected string, got 1"),
        ("b", "0", "b: expected bool, got 0"),
        ("i", "true", "i: expected int (a whole number of 64 bits), got true"),
        ("i", "1.0", "i: expected int"),
        ("i", "9223372036854775808", "i: expected int"),
        ("f", '"1"', 'f: expected float, got "1"'),
        ("f", "1e400", "f: expected float"),
        ("d", "0.001", "d: expected decimal(12,2)"),
        ("d", "10000000000", "d: expected decimal(12,2)"),
        ("d", '"NaN"', "d: expected decimal(12,2)"),
        ("u", '"x"', "u: expected uuid (a string of 32 hex digits)"),
        ("t", '"2026-01-31T12:00:00"', "t: expected timestamp"),
        ("day", '"31.1.2026"', "day: expected date"),
        ("wait", '"5"', 'wait: expected duration (a string like "1.5s"), got "5"'),
        ("raw", '"*"', "raw: expected bytes"),
        ("e", '"REDD"', 'e: expected a Color, got "REDD"; did you mean `RED`?'),
        ("line", '{"sku": "a"}', "line.qty: missing; expected int"),
        ("line", '{"sku": "a", "qty": 1, "qyt": 2}', "no such field; did you mean `qty`?"),
        ("lines", '[{"sku": "a", "qty": "x"}]', "lines[0].qty: expected int"),
        ("m", '{"a": 1}', "not JSON: expecting value"),
        ("m", '{"1": "x"}', 'm["1"]: expected float, got "x"'),
        ("zz", "1", "zz: All has no such field"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_place(field: str, text: str, message: str) -> None:
    with pytest.raises(CodecError) as error:
        read(**{field: text})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not JSON: "), ("NaN", "NaN is no JSON number"), ("[" * 100_000, "nested too deeply"),
     ("1" * 10_000, "digits")],
)  # fmt: skip
def test_json_faults(text: str, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        parse_json(text)


def test_an_event_is_an_object() -> None:
    with pytest.raises(CodecError, match="expected All as an object, got 3"):
        read_event(PLAN, "All", 3)
