"""`run mock`: outputs from the declaration alone (spec 8.5)."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from uuid import UUID

from flowc_dsl.plan import (
    EventPlan,
    FieldPlan,
    HandlerPlan,
    OutputPlan,
    Plan,
    ServicePlan,
    TypePlan,
)
from support.local import Local

PLAIN = {
    "string": "", "bool": False, "int": 0, "float": 0.0, "bytes": b"", "duration": dt.timedelta(),
    "timestamp": dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC),
    "date": dt.date(2023, 11, 14),
}  # fmt: skip
OWN = (
    FieldPlan("id", TypePlan("string")),
    FieldPlan("note", TypePlan("int")),  # another type than the input's: not copied
    *(FieldPlan(f"x_{kind}", TypePlan(kind)) for kind in PLAIN),
    FieldPlan("x_uuid", TypePlan("uuid")),
    FieldPlan("x_decimal", TypePlan("decimal", precision=5, scale=2)),
    FieldPlan("x_enum", TypePlan("enum", name="Reason")),
    FieldPlan("x_line", TypePlan("struct", name="Line")),
    FieldPlan("x_list", TypePlan("list", args=(TypePlan("int"),))),
    FieldPlan("x_maybe", TypePlan("string", optional=True)),
)


def plan() -> Plan:
    given = (FieldPlan("id", TypePlan("string")), FieldPlan("note", TypePlan("string")))
    events = (
        EventPlan("Asked", "event", 1, "id", given, external=True),
        EventPlan("Yes", "event", 1, "id", OWN),
        EventPlan("No", "event", 1, "id", given),
        EventPlan("Perhaps", "event", 1, "id", given),
    )
    outputs = ((OutputPlan("Yes"), OutputPlan("No")), (OutputPlan("Perhaps", "maybe"),))
    service = ServicePlan("Oracle", "mock", "", (HandlerPlan(("Asked",), outputs),), stateless=True)
    line = {"Line": (FieldPlan("sku", TypePlan("string")),)}
    return Plan("T", events, (service,), line, {"Reason": ("FIRST", "SECOND")})


def run() -> list:
    local = Local(plan())
    local.start("Oracle")
    asked = local.classes.event("Asked")
    local.publish_batch([asked(id=f"k{n}", note=f"n{n}") for n in range(40)])
    local.run()
    assert not local.parked()
    local.close()
    return local.with_envelope("Yes", "No", "Perhaps")


def test_a_mock_emits_what_is_declared_and_the_same_each_time():
    found = run()
    names = [type(e).__name__ for e, _ in found]
    assert names.count("Yes") + names.count("No") == 40, "exactly one of them for each input"
    assert min(names.count("Yes"), names.count("No")) >= 8, "both alternatives are taken"
    assert 8 <= names.count("Perhaps") <= 32
    assert [(e, row) for e, row in found] == run()


def test_a_mock_copies_fields_of_the_same_name_and_type():
    for event, row in run():
        cause = row["_cause"]
        assert event.id == f"k{cause}"
        if type(event).__name__ == "Yes":
            assert event.note == 0
            assert {kind: getattr(event, f"x_{kind}") for kind in PLAIN} == PLAIN
            assert isinstance(event.x_uuid, UUID)
            assert (event.x_decimal, event.x_enum) == (Decimal("0.00"), "FIRST")
            assert (event.x_line.sku, event.x_list, event.x_maybe) == ("", [], None)
        else:
            assert event.note == f"n{cause}"
