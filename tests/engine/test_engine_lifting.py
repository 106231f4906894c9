"""Old batches are lifted as columns; row by row in Python gives the same (spec 4.19, 4.20)."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowc_dsl.lifting import Stored
from flowc_dsl.plan import FieldPlan, TypePlan, UpcastPlan
from flowc_engine.generations import History
from flowc_engine.lifting import EventReader, Lifter, StoredSchemas, UnliftableError, widened
from flowc_engine.schema import wire_schema
from support.evolving import Evolution, batch, evolutions, own
from support.plans import pipeline

PLAN = pipeline()


def lifter(made: Evolution) -> Lifter:
    return Lifter(Stored(made.old, made.old.event("E")), Stored(made.new, made.new.event("E")))


@settings(max_examples=4 * settings().max_examples)
@given(evolutions(), st.integers(0, 3))
def test_a_lifted_batch_is_what_a_row_by_row_lift_gives(made: Evolution, begin: int) -> None:
    sent = batch(made.old, made.rows)
    lifted = lifter(made)(sent)
    lifted.validate(full=True)
    assert lifted.schema == wire_schema(made.new, "E")
    assert own(lifted.to_pylist()) == made.lifted
    assert lifted.column("_partition").to_pylist() == [3] * len(made.rows)
    assert own(lifter(made)(sent.slice(begin)).to_pylist()) == made.lifted[begin:]


@given(evolutions())
def test_a_body_is_read_with_the_plan_it_was_written_with(made: Evolution) -> None:
    rows = len(made.rows)
    history = History.of(made.old).adopt(made.new, lambda: rows + 1)
    assert history.faults() == []
    reader = EventReader(history, "E")
    old = batch(made.old, made.rows).serialize().to_pybytes()
    new = batch(made.new, made.lifted).serialize().to_pybytes()
    assert own(reader.read(old, 0).to_pylist()) == made.lifted
    assert own(reader.read(new, rows + 1).to_pylist()) == made.lifted
    schemas = StoredSchemas(history)
    assert schemas.at("E", 0) == (1, wire_schema(made.old, "E"))
    assert schemas.at("E", rows + 1)[0] == made.new.event("E").version


def test_a_batch_of_the_version_in_force_is_not_touched() -> None:
    """It is the bytes that came: nothing is done for each event (spec 4.20)."""
    placed = PLAN.event("Placed")
    second = replace(
        placed, version=2, fields=(*placed.fields[:1], FieldPlan("n", TypePlan("float")))
    )
    plan = replace(PLAN, events=(second, PLAN.events[1]))
    history = History.of(PLAN).adopt(plan, lambda: 7)
    schema = wire_schema(plan, "Placed")
    body = pa.RecordBatch.from_pylist(
        [{"k": "a", "n": 0.5, "_time": 0, "_partition": 0}], schema
    ).serialize()
    begin, end = body.address, body.address + body.size
    for reader in (EventReader(history, "Placed"), EventReader(History.of(plan), "Placed")):
        found = reader.read(memoryview(body), 7)
        addresses = [
            b.address for c in found.columns for b in c.buffers() if b is not None and b.size
        ]
        assert all(begin <= address < end for address in addresses)


def test_a_whole_number_that_a_float_can_not_hold_is_rounded() -> None:
    paid = PLAN.event("Paid")
    fields = (paid.fields[0], FieldPlan("n", TypePlan("float")))
    new = replace(PLAN, events=(PLAN.events[0], replace(paid, version=2, fields=fields)))
    row = {"k": "a", "n": 2**53 + 1, "_time": 0, "_partition": 0}
    sent = pa.RecordBatch.from_pylist([row], wire_schema(PLAN, "Paid"))
    lift = Lifter(Stored(PLAN, paid), Stored(new, new.event("Paid")))
    assert lift(sent).column("n").to_pylist() == [float(2**53 + 1)]


def test_a_struct_that_is_null_is_lifted_whatever_its_fields_hold() -> None:
    """Columns of other makers have nulls there, in fields that are not optional too."""
    was, now = (
        pa.struct([pa.field("a", pa.string(), nullable=False)]),
        pa.struct([pa.field("b", pa.int64()), pa.field("a", pa.string(), nullable=False)]),
    )
    made = pa.StructArray.from_arrays(
        [pa.array(["x", None])], fields=list(was), mask=pa.array([False, True])
    )
    for column in (made, made.slice(0, 2)):
        assert widened(column, now).to_pylist() == [{"b": None, "a": "x"}, None]
    listed = pa.ListArray.from_arrays(pa.array([0, 1, 2]), made, pa.list_(was))
    assert widened(listed, pa.list_(now)).slice(1).to_pylist() == [[None]]


def test_two_names_can_be_exchanged() -> None:
    paid = PLAN.event("Paid")
    old = replace(paid, fields=(*paid.fields, FieldPlan("m", TypePlan("int"))))
    swap = UpcastPlan(1, (), (("n", "m"), ("m", "n")))
    new = replace(old, version=2, upcasts=(swap,))
    lift = Lifter(
        Stored(replace(PLAN, events=(old,)), old), Stored(replace(PLAN, events=(new,)), new)
    )
    schema = wire_schema(replace(PLAN, events=(old,)), "Paid")
    row = {"k": "a", "n": 1, "m": 2, "_time": 0, "_partition": 0}
    [lifted] = lift(pa.RecordBatch.from_pylist([row], schema)).to_pylist()
    assert (lifted["n"], lifted["m"]) == (2, 1)


def test_what_can_not_be_lifted_names_the_event_the_field_the_version_and_the_block() -> None:
    paid = PLAN.event("Paid")
    new = replace(paid, version=2, fields=(*paid.fields, FieldPlan("m", TypePlan("int"))))
    with pytest.raises(UnliftableError) as caught:
        Lifter(Stored(PLAN, paid), Stored(PLAN, new))
    fault = caught.value.fault
    assert (fault.event, fault.version, fault.field) == ("Paid", 1, "m")
    assert fault.help == "write `upcast v1 { m = … }`"
