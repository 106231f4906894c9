"""A system whose events have fates: what becomes of each is a function of its number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flowc.classes import Classes
from flowc.codec import Codecs
from flowc_dsl.plan import HandlerPlan, OutputPlan, Plan, RetryPlan, ServicePlan
from support.plans import event


def _plan(ship: int) -> Plan:
    quick = RetryPlan(attempts=3, backoff_min_ms=1, backoff_max_ms=2)
    slow = RetryPlan(attempts=3, backoff_min_ms=60, backoff_max_ms=250)

    def service(name: str, triggers: str, outputs: str, retry: RetryPlan, **more: Any) -> Any:
        groups = tuple(
            tuple(OutputPlan(o.rstrip("*"), "any" if o.endswith("*") else "one") for o in g)
            for g in (group.split("|") for group in outputs.split())
        )
        handlers = (HandlerPlan(tuple(triggers.split()), groups, retry=retry),)
        return ServicePlan(name, "python", f"app:{name}", handlers, **more)

    names = ("Placed", "Moved", "Paid", "Held", "Noted", "Shipped", "Told", "Counted")
    return Plan(
        "Fates",
        tuple(event(n, external=n in {"Placed", "Moved"}) for n in names),
        (
            service("Pay", "Placed Moved", "Paid|Held Noted*", slow),
            service("Ship", "Paid Held", "Shipped", quick, replicas=ship),
            service("Tell", "Shipped", "Told", slow, stateless=True),
            service("Count", "Noted Shipped", "Counted*", quick),
            service("Keep", "Held Paid", "", replace(slow, then="drop")),
        ),
        {},
        {},
    )


PLANS = {ship: _plan(ship) for ship in (2, 3)}  # by the replicas of Ship
HASHES = {ship: plan.hash for ship, plan in PLANS.items()}
CODECS = Codecs(Classes(PLANS[3]))
DROPS = "Keep"
"""The service that drops what it gives up on."""
SALT = {"Pay": 0, "Ship": 3, "Tell": 8, "Count": 14, "Keep": 21}


def fate(service: str, n: int) -> str | int:
    """What becomes of event `n` in a service: parked for one of three reasons, or through after
    so many failures."""
    m = n + SALT[service]
    if m % 19 == 5:
        return "raises"
    if m % 31 == 11 and service in {"Pay", "Ship", "Tell"}:
        return "silent"
    if m % 37 == 13 and service in {"Pay", "Ship", "Tell"}:
        return "misfit"
    return {2: 1, 3: 2}.get(m % 9, 0)


def outputs(service: str, n: int) -> list[str]:
    """The types that the handler of event `n` emits, in order."""
    match service:
        case "Pay":
            own = "Paid" if n % 2 else "Held"
            return [["Noted"], [], ["Noted", "Noted"]][n % 3][:1] + [own] + ["Noted"] * (n % 3 // 2)
        case "Ship":
            return ["Shipped"]
        case "Tell":
            return ["Told"]
        case "Count":
            return ["Counted"] * (n % 2)
    return []
