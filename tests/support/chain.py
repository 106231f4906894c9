"""A small system that ran: five events, two of them effects of effects, one parked."""

from pathlib import Path

from flowc_dsl.plan import EventPlan, FieldPlan, Plan, ServicePlan, TypePlan
from flowc_engine.bus.wire import Parked
from flowc_engine.state import StateDir
from flowc_engine.supervisor.compat import adopt_plan
from support.journal import TIME_US, JournalBuilder, wire_batch

KEY = (FieldPlan("k", TypePlan("string")),)
PLAN = Plan(
    "Chain",
    (
        EventPlan("Placed", "event", 1, "k", KEY, external=True),
        EventPlan("Paid", "event", 1, "k", KEY),
        EventPlan("Shipped", "event", 1, None, KEY),
        EventPlan("Lost", "event", 1, "k", KEY),
    ),
    (ServicePlan("Pay", "mock", "", ()), ServicePlan("Ship", "mock", "", ())),
    {},
    {},
)


def chain(root: Path, plan: Plan = PLAN) -> StateDir:
    """0 and 1 are Placed; 0 leads to Paid 2, and that to Shipped 3 and 4; 4 is parked."""
    made = StateDir(root, "Chain")
    made.create()
    adopt_plan(made, plan)
    journal = JournalBuilder(made.journal, PLAN)
    journal.emit("Placed", {"k": "a"}, {"k": "b", "_time": TIME_US + 10_000_000}, source="shop")
    caused = {"_root": 0, "_cause": 0, "_time": TIME_US + 5_000}
    journal.step("Pay", ("Paid", wire_batch(PLAN, "Paid", [{"k": "a", **caused}])), after=2)
    caused = {"_root": 0, "_cause": 2, "_time": TIME_US + 7_500}
    rows = [{"k": "a1", **caused}, {"k": "a2", **caused}]
    journal.step("Ship", ("Shipped", wire_batch(PLAN, "Shipped", rows)), after=3)
    parked = Parked(4, "Shipped", "on_shipped", "ValueError: no\nmore", 5, TIME_US)
    journal.step("Ship", after=5, parked=[parked])
    journal.close()
    return made
