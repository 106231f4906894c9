"""Small plans, made by hand, for tests of the engine."""

from __future__ import annotations

from flowc_dsl.plan import (
    EventPlan,
    FieldPlan,
    HandlerPlan,
    OutputPlan,
    Plan,
    ServicePlan,
    TypePlan,
)


def event(name: str, *, external: bool = False) -> EventPlan:
    """An event with a key `k` and a number `n`."""
    fields = (FieldPlan("k", TypePlan("string")), FieldPlan("n", TypePlan("int")))
    return EventPlan(name, "event", 1, "k", fields, external=external)


def service(name: str, trigger: str, *outputs: str, replicas: int = 1) -> ServicePlan:
    """A service with one handler that emits one of each output."""
    handler = HandlerPlan((trigger,), tuple((OutputPlan(o),) for o in outputs))
    return ServicePlan(name, "python", f"app:{name}", (handler,), replicas=replicas)


def pipeline() -> Plan:
    """Placed (external) -> Pay -> Paid -> Ship."""
    return Plan(
        "Pipeline",
        (event("Placed", external=True), event("Paid")),
        (service("Pay", "Placed", "Paid"), service("Ship", "Paid")),
        {},
        {},
    )
