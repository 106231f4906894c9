"""Systems as model values, built by hand: for what works on the model and needs no text."""

from __future__ import annotations

import random

from flowc_dsl.model import (
    Context,
    Event,
    Handler,
    Output,
    Ref,
    Run,
    Service,
    Store,
    System,
)
from flowc_dsl.source import Span

NOWHERE = Span("main.flow", 0, 0)


def ref(name: str) -> Ref:
    return Ref(name, NOWHERE)


def refs(names: str) -> tuple[Ref, ...]:
    return tuple(ref(name) for name in names.replace("|", " ").replace("&", " ").split())


def outputs(text: str) -> tuple[tuple[Output, ...], ...]:
    """`A | B, C?` as the model has it."""
    many = {"?": "maybe", "*": "any"}
    groups = [group.split("|") for group in text.split(",") if group.strip()]
    return tuple(
        tuple(
            Output(ref(name.strip().rstrip("?*")), many.get(name.strip()[-1], "one"))
            for name in group
        )
        for group in groups
    )


def on(triggers: str, out: str = "", **more) -> Handler:
    kind = "join" if "&" in triggers else "on"
    return Handler(kind, NOWHERE, refs(triggers), outputs(out), **more)


def every(period_ms: int, out: str, **more) -> Handler:
    return Handler("every", NOWHERE, outputs=outputs(out), period_ms=period_ms, **more)


def after(period_ms: int, of: str, unless: str, out: str, **more) -> Handler:
    return Handler(
        "after", NOWHERE, refs(of), outputs(out), refs(unless), period_ms=period_ms, **more
    )


def service(
    name: str, context: str | None, *handlers: Handler, stores: str = "", **more
) -> Service:
    return Service(
        name,
        NOWHERE,
        context,
        stores=tuple(Store(store, NOWHERE) for store in stores.split()),
        handlers=handlers,
        **more,
    )


def event(name: str, scope: str = "plain", **more) -> Event:
    return Event(name, NOWHERE, scope=scope, **more)


def system(name: str, contexts: dict[str, str | None], events: list[Event], *services) -> System:
    return System(
        name,
        NOWHERE,
        contexts={n: Context(n, NOWHERE, owner) for n, owner in contexts.items()},
        events={e.name: e for e in events},
        services={s.name: s for s in services},
    )


def shop() -> System:
    """The example of the language: two contexts, a cycle of services, a deadline."""
    names = "OrderPlaced StockReserved StockRefused PaymentTaken PaymentFailed OrderShipped"
    orders = service(
        "Orders",
        "Sales",
        on("CheckoutSubmitted", "OrderPlaced"),
        on("StockRefused | PaymentFailed", "OrderCancelled"),
        after(900_000, "OrderPlaced", "OrderShipped | OrderCancelled", "OrderCancelled"),
        stores="orders_db",
        replicas_min=2,
        replicas_max=2,
    )
    stock = service(
        "Stock",
        "Fulfilment",
        on("OrderPlaced", "StockReserved | StockRefused"),
        on("OrderCancelled", name=ref("release")),
        stores="stock_db",
    )
    payments = service(
        "Payments",
        "Fulfilment",
        on("StockReserved", "PaymentTaken | PaymentFailed"),
        stores="ledger",
        replicas_max=4,
    )
    mock = Run("mock", "", NOWHERE)
    return system(
        "Shop",
        {"Sales": "team-sales", "Fulfilment": "team-ops"},
        [
            event("CheckoutSubmitted", "external"),
            *(event(name) for name in names.split()),
            event("OrderCancelled", "exported", doc="The customer will get nothing."),
        ],
        orders,
        stock,
        payments,
        service("Shipping", "Fulfilment", on("PaymentTaken", "OrderShipped"), run=mock),
        service("Mailer", None, on("OrderShipped | OrderCancelled", name=ref("notify"))),
    )


def airline() -> System:
    """Ten services in four contexts, with timers, a join, a command and a hub."""
    external = "FlightScheduled WeatherObserved TailAssigned"
    plain = (
        "FlightDeparted FlightArrived DepartureDelayed ArrivalDelayed ConnectionMissed "
        "WeatherAlertRaised DepartureAtRisk AirportDayClosed CarrierScored Ticked RotationChanged"
    )
    return system(
        "Airline",
        {"Operations": "ops", "Disruption": "irops", "Weather": "met", "Insight": "analytics"},
        [
            *(event(name, "external") for name in external.split()),
            *(event(name) for name in plain.split()),
            event("PassengersRebooked", "exported"),
            event("RebookPassengers", kind="command"),
        ],
        service(
            "Departures", "Operations", on("FlightScheduled", "FlightDeparted, DepartureDelayed?")
        ),
        service("Arrivals", "Operations", on("FlightDeparted", "FlightArrived, ArrivalDelayed?")),
        service(
            "Rotations",
            "Operations",
            on("TailAssigned | FlightArrived", "RotationChanged?"),
            on("ArrivalDelayed", "ConnectionMissed?"),
            stores="rotations",
        ),
        service("Rebooking", "Disruption", on("RebookPassengers", "PassengersRebooked")),
        service(
            "Connections",
            "Disruption",
            on("ConnectionMissed | DepartureAtRisk", "RebookPassengers*"),
            after(3_600_000, "DepartureDelayed", "FlightDeparted", "RebookPassengers"),
        ),
        service("Alerts", "Weather", on("WeatherObserved", "WeatherAlertRaised?")),
        service(
            "Risk",
            "Weather",
            on("WeatherAlertRaised & FlightScheduled", "DepartureAtRisk*"),
            stores="open_alerts",
        ),
        service("Clock", None, every(60_000, "Ticked")),
        service(
            "AirportStats",
            "Insight",
            on("FlightArrived | FlightDeparted"),
            on("Ticked", "AirportDayClosed?"),
            stores="airports",
        ),
        service(
            "Scorecards",
            "Insight",
            on("FlightArrived"),
            on("AirportDayClosed", "CarrierScored*"),
            stores="carriers",
        ),
        service(
            "Notifier",
            None,
            on("PassengersRebooked | DepartureDelayed | ConnectionMissed", name=ref("notify")),
            on("CarrierScored"),
        ),
    )


def generated(services: int, seed: int = 0, contexts: int = 5, flow: bool = True) -> System:
    """A system of that many services with one event each, mostly acyclic if `flow`."""
    rng = random.Random(seed)
    names = [f"Context{i}" for i in range(contexts)]
    found = []
    for i in range(services):
        handlers = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            reach = max(i, 1) if flow and rng.random() < 0.93 else services
            seen = rng.sample(range(reach), k=min(reach, rng.choice((1, 1, 2))))
            triggers = " | ".join(f"Event{j}Happened" for j in seen) if i else "Started"
            handlers.append(on(triggers, f"Event{i}Happened" if not handlers else ""))
        context = rng.choice(names) if contexts and rng.random() < 0.95 else None
        found.append(service(f"Service{i}", context, *handlers, stores="db" * (rng.random() < 0.2)))
    events = [event("Started", "external"), *(event(f"Event{i}Happened") for i in range(services))]
    return system("Generated", dict.fromkeys(names), events, *found)
