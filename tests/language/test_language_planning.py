"""From the model to the plan; and what a plan can't carry is named."""

import json
from pathlib import Path

import pytest

from flowc_dsl import ProgramError, compile_program, unsupported
from flowc_dsl.plan import (
    DeadlinePlan,
    JoinPlan,
    Plan,
    RetryPlan,
    StorePlan,
    TimerPlan,
    TypePlan,
)
from flowc_dsl.planning import make_plan

DATA = Path(__file__).parent / "data"
FILES = {
    "shop.flow": (DATA / "shop.flow").read_text(),
    "types/money.flow": (DATA / "types" / "money.flow").read_text(),
}
PLAIN = """
system Plain
enum Color { RED GREEN }
type Item { sku: string  price: decimal(12,2)? }
/// Something came in.
external event Came key id { id: uuid  items: list<Item>  tags: map<string, int>  color: Color? }
exported event Went v3 key id { id: uuid @pii }
command Fetch { }
context Here {
  service Worker {
    run python "app:Worker" replicas 3 stateless
    on Came -> Went | Fetch?, Came  as go  retry 7 backoff 1s to 1m then halt
    on Went
  }
}
service Double { run mock on Fetch }
"""


def test_the_plan_of_a_plain_system():
    plan = compile_program({"m": PLAIN}, "m").plan()
    came, went, fetch = plan.events
    assert (came.external, came.key, came.doc) == (True, "id", "Something came in.")
    assert [field.type for field in came.fields] == [
        TypePlan("uuid"),
        TypePlan("list", args=(TypePlan("struct", name="Item"),)),
        TypePlan("map", args=(TypePlan("string"), TypePlan("int"))),
        TypePlan("enum", optional=True, name="Color"),
    ]
    assert (went.exported, went.version, went.fields[0].pii) == (True, 3, True)
    assert fetch.kind == "command"
    worker, double = plan.services
    assert (worker.context, worker.replicas, worker.stateless) == ("Here", 3, True)
    go, other = worker.handlers
    outputs = [[(o.event, o.many) for o in group] for group in go.outputs]
    assert outputs == [[("Went", "one"), ("Fetch", "maybe")], [("Came", "one")]]
    assert (go.name, go.retry) == ("go", RetryPlan(7, 1_000, 60_000, "halt"))
    assert other.retry == RetryPlan()
    assert (double.run, double.target) == ("mock", "")
    assert plan.enums == {"Color": ("RED", "GREEN")}
    assert plan.structs["Item"][1].type == TypePlan("decimal", True, "", 12, 2)
    assert Plan.from_json(plan.to_json()) == plan
    assert unsupported(compile_program({"m": PLAIN}, "m").system) == []


def test_what_is_not_honoured_yet_is_named():
    system = compile_program(FILES, "shop.flow").system
    found = {(one.construct, one.subject, one.refuses) for one in unsupported(system)}
    assert found == {
        ("run exec", "Stock", True),
    }


@pytest.mark.parametrize(
    ("item", "construct"),
    [
        ("args { a: 1 }", "args"),
        ('env { A: "x" }', "args"),
        ("on A as x ordered by n", "ordered by"),
        ("on A & N by n", "join"),
        ("after 5s of B unless N -> B", "after"),
    ],
)
def test_each_construct(item, construct):
    text = "system S external event A key k { k: uuid n: int } external event B key k { k: uuid }"
    text += " external event N { n: int }"
    text += f' service X {{ run python "x" {item} }}'
    compiled = compile_program({"m": text}, "m")
    (found,) = unsupported(compiled.system)
    assert found.construct == construct
    diagnostic = found.diagnostic()
    assert diagnostic.code == "FLW091"
    assert diagnostic.primary.span.end > diagnostic.primary.span.start


def test_what_a_handler_says_of_time_and_of_the_past():
    """Spec 4.31, 4.33, 4.34; and a plan of an older flowc, which says nothing of a replay."""
    text = "system S external event A key k { k: uuid }"
    text += ' service X { run python "x" on A as x within 2s delivery latest'
    text += " on A as y replay skip on A as z }"
    plan = make_plan(compile_program({"m": text}, "m").system)
    said = [(h.within_ms, h.delivery, h.replay, h.replayed) for h in plan.services[0].handlers]
    assert said == [
        (2_000, "latest", "", False), (None, "all", "skip", False), (None, "all", "", True),
    ]  # fmt: skip
    older = json.loads(plan.to_json())
    older["format"] = 2
    for handler in older["services"][0]["handlers"]:
        del handler["replay"]
    read = Plan.from_json(json.dumps(older)).services[0].handlers
    assert [h.replay for h in read] == ["", "", ""]
    assert [h.within_ms for h in read] == [2_000, None, None]


WAITING = """
system S
external event A key k retain 9d { k: uuid  n: int }  external event B key k retain 3d { k: uuid }
external event N { n: int }  exported event Z key k { k: uuid }
service X {
  run python "x"
  on A as go -> Z
  after 15m of A unless B | Z -> Z  retry 7
  after 90s of N as late
  on A & B by k -> Z
  every 500ms -> Z?
}
"""


def test_what_handlers_wait_for_gets_events_of_its_own():
    """Spec 4.25 to 4.28."""
    compiled = compile_program({"m": WAITING}, "m")
    assert not [one for one in unsupported(compiled.system) if one.refuses]
    plan = compiled.plan()
    assert Plan.from_json(plan.to_json()) == plan
    [x] = plan.services
    assert [(h.triggers, h.name, h.retry.attempts) for h in x.handlers] == [
        (("A",), "go", 5),
        (("X.after_a",), "after_a", 7),
        (("X.late",), "late", 5),
        (("X.on_a_and_b",), "on_a_and_b", 5),
        (("X.every_500ms",), "every_500ms", 5),
    ]
    assert x.deadlines == (
        DeadlinePlan("X.after_a", "A", ("B", "Z"), 900_000),
        DeadlinePlan("X.late", "N", (), 90_000),
    )
    assert x.joins == (JoinPlan("X.on_a_and_b", ("A", "B"), "k"),)
    assert x.timers == (TimerPlan("X.every_500ms", 500),)
    assert x.subscribes == (
        "A", "B", "N", "X.after_a", "X.every_500ms", "X.late", "X.on_a_and_b", "Z",
    )  # fmt: skip
    assert x.emits == ("X.after_a", "X.every_500ms", "X.late", "X.on_a_and_b", "Z")
    made = [e for e in plan.events if e.waits]
    assert [(e.name, e.key, e.waits, e.of, e.retain_ms, e.external) for e in made] == [
        ("X.after_a", "k", "after", ("A",), 9 * 86_400_000, False),
        ("X.late", None, "after", ("N",), None, False),
        ("X.on_a_and_b", "k", "join", ("A", "B"), 3 * 86_400_000, False),
        ("X.every_500ms", None, "every", (), None, False),
    ]
    assert made[0].fields == plan.event("A").fields
    assert [f.name for f in made[2].fields] == ["k", "A", "B"]


def test_two_handlers_that_wait_have_two_names():
    """Spec 2.16."""
    text = WAITING.replace("every 500ms", "every 500ms -> Z? every 500ms")
    [fault] = [d for d in compile_program({"m": text}, "m").diagnostics if "that wait" in d.message]
    assert "two handlers `every_500ms` that wait" in fault.message
    named = text.replace("every 500ms", "every 500ms as often", 1)
    assert len(compile_program({"m": named}, "m").plan().services[0].timers) == 2


def test_a_plan_needs_a_program_without_errors():
    with pytest.raises(ProgramError, match="1 error, the first: unknown event `Nope`"):
        compile_program({"m": "system S service X { on Nope }"}, "m").plan()


def test_the_model_of_the_example():
    system = compile_program(FILES, "shop.flow").system
    assert system.name == "Shop"
    stock = system.services["Stock"]
    assert stock.run.speaks == "jsonl"
    placed, cancelled = stock.handlers
    assert placed.within_ms == 10_000
    assert (placed.retry.attempts, placed.retry.backoff_max_ms, placed.retry.then) == (
        5,
        2_000,
        "park",
    )
    assert cancelled.name.name == "release"
    event = system.events["OrderPlaced"]
    assert (event.version, event.retain_ms) == (2, 30 * 86_400_000)
    assert event.doc == "A customer has committed to an order."
    (upcast,) = event.upcasts
    assert [(name.name, value) for name, value in upcast.sets] == [("coupon", None)]
    assert [(a.name, b.name) for a, b in upcast.renames] == [("amount", "total")]
    assert [law.kind for law in system.laws] == ["forbid", "limit"]
    assert system.exemptions[0].until == "2027-01-31"
    assert system.services["Payments"].replicas_max == 4
    assert system.contexts["Sales"].owner == "team-sales"


def test_the_model_of_expectations_scenarios_and_tests():
    """Spec 2.20 and 2.21."""
    system = compile_program(FILES, "shop.flow").system
    settled, paid_once, one_end = system.expects
    assert (settled.form, paid_once.form, one_end.form) == ("leads_to", "at_most", "never_with")
    assert names(settled.events) == ["OrderPlaced"]
    assert names(settled.targets) == ["OrderShipped", "OrderCancelled"]
    assert (settled.within_ms, settled.by.name, settled.bound) == (3_600_000, "order_id", None)
    assert (paid_once.bound, paid_once.targets, paid_once.within_ms) == (1, (), None)
    assert names(one_end.events + one_end.targets) == ["OrderShipped", "OrderCancelled"]

    (scenario,) = system.scenarios
    (load,) = scenario.loads
    assert (load.event.name, load.rate_per_s, load.for_ms) == ("CheckoutSubmitted", 200, 600_000)
    (crash,), (partition,) = scenario.crashes, scenario.partitions
    assert (crash.service.name, crash.at_ms, crash.every_ms, crash.for_ms) == (
        "Payments", None, 180_000, 30_000,
    )  # fmt: skip
    assert (partition.service.name, partition.at_ms, partition.every_ms, partition.for_ms) == (
        "Shipping", 240_000, None, 60_000,
    )  # fmt: skip
    assert scenario.duplicate == 0.01
    assert names(scenario.checks) == ["settled", "paid_once", "one_end"]

    (test,) = system.tests
    (given,), (stub,), (then,), (never,) = test.given, test.stubs, test.then, test.never
    assert given.values == {
        "cart_id": "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11",
        "customer": "ada",
        "lines": ({"sku": "A-1", "qty": 2},),
    }
    assert names(given.fields) == ["cart_id", "customer", "lines"]
    assert stub.service.name == "Payments"
    assert [(one.event.name, one.values) for one in stub.samples] == [
        ("PaymentFailed", {"reason": "DECLINED"})
    ]
    assert (then.event.name, then.values, then.within_ms) == (
        "OrderCancelled", {"reason": "DECLINED"}, 5_000,
    )  # fmt: skip
    assert (never.event.name, never.values, never.within_ms) == ("OrderShipped", {}, None)
    assert len(test.samples()) == 4


def test_values_are_json_as_emit_takes_it():
    """Spec 2.21."""
    text = """system S external event A key k { k: uuid  d: decimal(30,2)  t: duration  on: date }
        service X { on A }
        test "exact" { given A { d: 1234567890123456789.10  t: 1.5s  on: 2026-01-31 } }"""
    compiled = compile_program({"m": text}, "m")
    assert compiled.diagnostics == ()
    (given,) = compiled.system.tests[0].given
    assert given.values == {"d": "1234567890123456789.10", "t": "1.5s", "on": "2026-01-31"}


def names(refs):
    return [ref.name for ref in refs]


STORES = """
system S
external event Came key id { id: int }
service One { run python "app.one"  store a per partition  on Came }
service Two { run python "app.two"  store b  store c  on Came }
service Three { run python "app.three"  store d engine duckdb  on Came }
service Four { run python "app.four"  store e path "x.db"  on Came }
service Five { run mock  store f  on Came }
"""


def test_one_store_a_service_is_run() -> None:
    """Spec 8.20, 8.31; who plays outputs writes to none."""
    compiled = compile_program({"m": STORES}, "m")
    found = {(one.construct, one.subject) for one in unsupported(compiled.system)}
    assert found == {("a second store", "Two"), ("engine duckdb", "Three"), ("store path", "Four")}
    plan = compiled.plan()
    stores = {service.name: service.stores for service in plan.services}
    assert stores.pop("One") == (StorePlan("a", per_partition=True),)
    assert set(stores.values()) == {()}
    assert Plan.from_json(plan.to_json()) == plan


def test_a_plan_of_before_there_were_stores_is_read() -> None:
    plan = json.loads(compile_program({"m": PLAIN}, "m").plan().to_json())
    for service in plan["services"]:
        del service["stores"]
    assert Plan.from_json(json.dumps({**plan, "format": 2})).services[0].stores == ()
