"""Values to Arrow and back, strictly; and partitions (spec 4.7, 7.4)."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal
from itertools import pairwise
from uuid import UUID

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import given, settings

from flowc.classes import Classes
from flowc.codec import Codecs, misfit_row
from flowc.columns import MisfitError, _read_timestamps
from flowc_dsl.plan import EventPlan, FieldPlan, Plan, TypePlan
from flowc_engine.partition import KeyTypeError, key_index, partition_of, partitioner

LINE = TypePlan("struct", name="Line")
KINDS = {
    "string": TypePlan("string"), "bool": TypePlan("bool"), "int": TypePlan("int"),
    "float": TypePlan("float"), "decimal": TypePlan("decimal", precision=12, scale=2),
    "uuid": TypePlan("uuid"), "timestamp": TypePlan("timestamp"), "date": TypePlan("date"),
    "duration": TypePlan("duration"), "bytes": TypePlan("bytes"),
    "enum": TypePlan("enum", name="Reason"), "struct": LINE,
    "list": TypePlan("list", args=(LINE,)),
    "map": TypePlan("map", args=(TypePlan("string"), TypePlan("int", optional=True))),
}  # fmt: skip


def optional(kind: TypePlan) -> TypePlan:
    return TypePlan(kind.kind, True, kind.name, kind.precision, kind.scale, kind.args)


def plan(**fields: TypePlan) -> Plan:
    """One event E with these fields."""
    own = tuple(FieldPlan(n, k) for n, k in fields.items())
    line = (FieldPlan("sku", KINDS["string"]), FieldPlan("qty", optional(KINDS["int"])))
    event = EventPlan("E", "event", 1, None, own, external=True)
    return Plan("P", (event,), (), {"Line": line}, {"Reason": ("A", "B")})


ALL = plan(
    **{f"x_{n}": k for n, k in KINDS.items()}, **{f"y_{n}": optional(k) for n, k in KINDS.items()}
)
CODECS = Codecs(Classes(ALL))
E, Line, Reason = (CODECS.classes.lookup(n) for n in ("E", "Line", "Reason"))
INT = st.integers(-(2**63), 2**63 - 1)
UTC = st.just(dt.UTC)
VALUES = {
    "string": st.text(max_size=5), "bool": st.booleans(), "int": INT,
    "float": st.floats(allow_nan=False),
    "decimal": st.decimals("-9999999999.99", "9999999999.99", places=2),
    "uuid": st.uuids(), "timestamp": st.datetimes(timezones=UTC), "date": st.dates(),
    "duration": st.timedeltas(dt.timedelta(days=-10**6), dt.timedelta(days=10**6)),
    "bytes": st.binary(max_size=5), "enum": st.sampled_from(list(Reason)),
    "struct": st.builds(Line, sku=st.text(max_size=3), qty=st.none() | INT),
}  # fmt: skip
VALUES["list"] = st.lists(VALUES["struct"], max_size=3)
VALUES["map"] = st.dictionaries(st.text(max_size=3), st.none() | INT, max_size=3)
EVENTS = st.builds(
    E, **{f"x_{n}": v for n, v in VALUES.items()},
    **{f"y_{n}": st.none() | v for n, v in VALUES.items()},
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=6), st.data())
def test_what_goes_out_comes_back(events, data):
    codec = CODECS["E"]
    body = codec.body(codec.columns(events), len(events), 0)
    batch = codec.read(body)
    batch.validate(full=True)
    assert codec.objects(batch) == events
    begin = data.draw(st.integers(0, len(events) - 1))
    assert codec.objects(batch.slice(begin)) == events[begin:]
    found = codec.objects(batch)[0]
    assert (type(found.x_enum), type(found.x_struct)) == (Reason, Line)


def test_timestamps_come_back_to_the_microsecond_in_any_year():
    """Seconds as a float are too coarse from 2242 on."""
    dice = random.Random(1)
    bounds = (2**31, 2**33, 2**53 // 10**6, 250_000_000_000)  # s, from 2038 to 9892
    for low, high in pairwise((0, *bounds)):
        wanted = [dice.randrange(low * 10**6, high * 10**6) for _ in range(2_000)]
        wanted += [-us for us in wanted if us < 62 * 10**15]
        assert [us_of(time) for time in _read_timestamps(wanted)] == wanted


def us_of(time):
    return (time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


WRONG = [
    ("string", b"x", "got bytes"), ("string", 1, "got int"), ("string", "\ud800", "surrogates"),
    ("bool", 1, "got int"), ("int", 1.5, "got float"), ("int", True, "got bool"),
    ("int", 2**63, "too large"), ("float", "1", "got str"), ("float", Decimal(1), "got Decimal"),
    ("decimal", 1.5, "got float"), ("decimal", Decimal("1.005"), "data loss"),
    ("decimal", Decimal(10) ** 11, "precision"), ("decimal", Decimal("NaN"), "NaN"),
    ("uuid", "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11", "got str"),
    ("timestamp", dt.datetime(2026, 1, 1), "without a time zone"),  # noqa: DTZ001 - the point
    ("timestamp", 5, "got int"), ("timestamp", dt.date(2026, 1, 1), "got date"),
    ("date", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "got datetime"),
    ("duration", 5, "got int"), ("bytes", "x", "got str"), ("enum", "C", "not among its members"),
    ("struct", {"sku": "x"}, "got dict"), ("struct", Line(sku=1), "sku is string, got int"),
    ("list", "abc", "got str"), ("list", [Line(sku="a"), None], "got None"),
    ("map", {1: 1}, "got int"), ("map", {"a": "b"}, "got str"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "why"), WRONG)
def test_a_value_that_does_not_fit_is_refused_and_found(kind, value, why):
    for declared in (KINDS[kind], optional(KINDS[kind])):
        codecs = Codecs(Classes(plan(f=declared)))
        own = codecs.classes.lookup("E")
        fine = None if declared.optional else codecs["E"].objects
        good = [own(f=None)] * 3 if fine is None else []
        row, text = misfit_row(codecs["E"], [*good, own(f=value), *good])
        assert row == len(good)
        assert why in text
        assert text.startswith("f is ")


def test_none_in_a_field_that_is_not_optional_is_refused():
    for declared in KINDS.values():
        codecs = Codecs(Classes(plan(f=declared)))
        with pytest.raises(MisfitError, match="got None"):
            codecs["E"].columns([codecs.classes.lookup("E")(f=None)])


def test_subclasses_and_other_zones_are_taken():
    import numpy as np

    codecs = Codecs(
        Classes(plan(n=KINDS["int"], f=KINDS["float"], t=KINDS["timestamp"], e=KINDS["enum"]))
    )
    zone = dt.timezone(dt.timedelta(hours=2))
    event = codecs.classes.lookup("E")(
        n=np.int64(3), f=2, t=dt.datetime(2026, 1, 1, 2, tzinfo=zone), e="A"
    )
    codec = codecs["E"]
    (found,) = codec.objects(codec.read(codec.body(codec.columns([event]), 1, 0)))
    assert (found.n, found.f, found.e) == (3, 2.0, "A")
    assert found.t == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert found.t.utcoffset() == dt.timedelta()


def test_an_event_without_fields_travels():
    codec = Codecs(Classes(plan()))["E"]
    events = [codec.classes.lookup("E")()] * 3
    assert codec.objects(codec.read(codec.body(codec.columns(events), 3, 0))) == events


# ---- partitions

KEYS = [
    ("string", "order-1", "order-1"),
    ("string", "", ""),
    ("enum", "A", "A"),
    ("uuid", UUID("8C0B9A52-5D0E-4A57-9F0E-0D8D3A4F2B11"), "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11"),
    ("int", -7, "-7"),
    ("bool", True, "true"),
    ("decimal", Decimal(0), "0.00"),
    ("decimal", Decimal("12.5"), "12.50"),
    ("date", dt.date(2026, 1, 31), "2026-01-31"),
    ("timestamp", dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC), "1000000"),
    ("duration", dt.timedelta(milliseconds=1), "1000"),
    ("float", 0.1, "0.1"),
    ("bytes", b"\x0a\xff", "0aff"),
]


@pytest.mark.parametrize(("kind", "value", "text"), KEYS)
def test_the_partition_is_of_the_canonical_text(kind, value, text):
    event = EventPlan("E", "event", 1, "k", (FieldPlan("k", KINDS[kind]),), external=True)
    keyed = Plan("P", (event,), (), {}, {"Reason": ("A", "B")})
    codec = Codecs(Classes(keyed))["E"]
    found = codec.partitions(codec.columns([codec.classes.lookup("E")(k=value)]), 1)
    assert found.to_pylist() == [partition_of(text, 64)]
    assert found.type == pa.int32()


def test_the_hash_never_changes():
    """Another value would move every key of every state that exists."""
    texts = ["order-1", "", "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11", "naïve"]
    assert [partition_of(t, 1 << 32) for t in texts] == VECTOR


VECTOR = [915286134, 953390274, 3035594116, 3257366536]


def test_a_null_key_is_the_empty_text_and_no_key_goes_in_turns():
    event = EventPlan("E", "event", 1, "k", (FieldPlan("k", optional(KINDS["int"])),))
    partition = partitioner(Plan("P", (event,), (), {}, {}), "E")
    assert partition is not None
    assert partition(pa.array([None, 5])).to_pylist() == [
        partition_of("", 64),
        partition_of("5", 64),
    ]
    codec = Codecs(Classes(plan(n=KINDS["int"])))["E"]
    columns = [pa.array(range(40))]
    turns = [p for _ in range(2) for p in codec.partitions(columns, 40).to_pylist()]
    assert turns == [n % 64 for n in range(80)]


def test_a_list_is_no_key():
    event = EventPlan("E", "event", 1, "k", (FieldPlan("k", KINDS["list"]),))
    with pytest.raises(KeyTypeError, match="the key k of E is a list"):
        key_index(Plan("P", (event,), (), {}, {}), "E")
