"""A system whose events have fates: what becomes of each is a function of its number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flowc.classes import Classes
from flowc.codec import Codecs
from flowc_dsl.plan import (
    DeadlinePlan,
    EventPlan,
    FieldPlan,
    HandlerPlan,
    JoinPlan,
    OutputPlan,
    Plan,
    RetryPlan,
    ServicePlan,
    StorePlan,
    TimerPlan,
    TypePlan,
)
from support.plans import event

LATE_MS, TICK_MS = 400, 1_500
LATE = replace(event("Watch.late"), waits="after", of=("Paid",))
_SIDES = tuple(FieldPlan(n, TypePlan("struct", name=f"{n}.fields")) for n in ("Noted", "Held"))
BOTH = EventPlan(
    "Watch.both", "event", 1, "k", (event("").fields[0], *_SIDES), waits="join",
    of=("Noted", "Held"),
)  # fmt: skip
TICK = EventPlan(
    "Watch.tick", "event", 1, None, (FieldPlan("number", TypePlan("int")),), waits="every"
)


def _plan(ship: int, *, forgets: bool, stored: bool = False) -> Plan:
    quick = RetryPlan(attempts=3, backoff_min_ms=1, backoff_max_ms=2)
    slow = RetryPlan(attempts=3, backoff_min_ms=60, backoff_max_ms=250)

    def service(name: str, triggers: str, outputs: str, retry: RetryPlan, **more: Any) -> Any:
        groups = tuple(
            tuple(OutputPlan(o.rstrip("*"), "any" if o.endswith("*") else "one") for o in g)
            for g in (group.split("|") for group in outputs.split())
        )
        handlers = (HandlerPlan(tuple(triggers.split()), groups, retry=retry),)
        return ServicePlan(name, "python", f"app:{name}", handlers, **more)

    names = (
        "Placed", "Moved", "Paid", "Held", "Noted", "Shipped", "Told", "Counted", "Late", "Both",
        "Ticked", "Summed", "Tallied",
    )  # fmt: skip
    events = [event(n, external=n in {"Placed", "Moved"}) for n in names]
    waiting = [
        HandlerPlan((one.name,), ((OutputPlan(output),),), name=name, retry=retry)
        for one, output, name, retry in (
            (LATE, "Late", "late", slow),
            (BOTH, "Both", "both", quick),
            (TICK, "Ticked", "tick", quick),
        )
    ]  # fmt: skip
    several: Any = {"replicas": ship, "replicas_max": ship + 1}
    watch = ServicePlan(
        "Watch", "python", "app:Watch", tuple(waiting), stateless=forgets, **several,
        deadlines=(DeadlinePlan(LATE.name, "Paid", ("Shipped", "Moved"), LATE_MS),),
        joins=(JoinPlan(BOTH.name, BOTH.of, "k"),), timers=(TimerPlan(TICK.name, TICK_MS),),
    )  # fmt: skip
    one, each = StorePlan("sums"), StorePlan("tallies", per_partition=True)
    with_stores = (
        service("Pay", "Placed Moved", "Paid|Held Noted*", slow),
        service("Ship", "Paid Held", "Shipped", quick, **several),
        service("Sum", "Placed Moved Tallied", "Summed*", slow, stores=(one,)),
        service("Tally", "Noted Shipped", "Tallied*", quick, **several, stores=(each,)),
        service("Log", "Paid Held Summed", "", quick, **several, stores=(each,)),
        replace(watch, stores=(each,), stateless=False),
    )
    return Plan(
        "Fates",
        (*events, LATE, BOTH, TICK),
        with_stores
        if stored
        else (
            service("Pay", "Placed Moved", "Paid|Held Noted*", slow),
            service("Ship", "Paid Held", "Shipped", quick, **several),
            service("Tell", "Shipped", "Told", slow, stateless=True),
            service("Count", "Noted Shipped", "Counted*", quick),
            service("Keep", "Held Paid", "", replace(slow, then="drop")),
            watch,
        ),
        {f"{n}.fields": event(n).fields for n in BOTH.of},
        {},
    )


PLANS = {(n, forgets): _plan(n, forgets=forgets) for n in (1, 3) for forgets in (False, True)}
"""By the fewest replicas of Ship and Watch, of which there may be one more, and whether Watch is
stateless."""
STORED = {n: _plan(n, forgets=False, stored=True) for n in (1, 3)}
"""With stores, by the fewest replicas of those that have several."""
_HASHES = {key: plan.hash for key, plan in PLANS.items()}
_STORED_HASHES = {n: plan.hash for n, plan in STORED.items()}
CODECS = Codecs(Classes(PLANS[3, False]))
DROPS = "Keep"
"""The service that drops what it gives up on."""
SALT = {"Pay": 0, "Ship": 3, "Tell": 8, "Count": 14, "Keep": 21, "Watch": 29, "Sum": 4,
        "Tally": 17, "Log": 9}  # fmt: skip


EMIT_ONE = {"Pay", "Ship", "Tell", "Watch"}


def fate(service: str, n: int) -> str | int:
    """What becomes of event `n` in a service: parked for one of three reasons, or through after
    so many failures."""
    m = n + SALT[service]
    if m % 19 == 5:
        return "raises"
    if m % 31 == 11 and service in EMIT_ONE:
        return "silent"
    if m % 37 == 13 and service in EMIT_ONE:
        return "misfit"
    return {2: 1, 3: 2}.get(m % 9, 0)


def hash_of(plan: Plan) -> str:
    """The hash of one of `PLANS`; to make it takes ms."""
    ship = plan.service("Ship").replicas
    if plan is STORED[ship]:
        return _STORED_HASHES[ship]
    return _HASHES[ship, plan.service("Watch").stateless]


def number(row: dict[str, Any]) -> int:
    """The number of an event, of its columns as they are logged."""
    found: int = row["Held"]["n"] if "Held" in row else row.get("number", row.get("n"))
    return found


def outputs(service: str, n: int, event: str = "") -> list[str]:
    """The types that the handler of event `n` emits, in order."""
    match service:
        case "Watch":
            return [{LATE.name: "Late", BOTH.name: "Both", TICK.name: "Ticked"}[event]]
        case "Pay":
            own = "Paid" if n % 2 else "Held"
            return [["Noted"], [], ["Noted", "Noted"]][n % 3][:1] + [own] + ["Noted"] * (n % 3 // 2)
        case "Ship":
            return ["Shipped"]
        case "Tell":
            return ["Told"]
        case "Count":
            return ["Counted"] * (n % 2)
        case "Tally":
            return ["Tallied"] * (n % 2)
        case "Sum":
            return ["Summed"] * (n % 3)
    return []
