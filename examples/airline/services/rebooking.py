"""What becomes of the passengers of a cancelled flight."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta

from airline_events import (
    DayClosed,
    FlightCancelled,
    FlightDeparted,
    PassengersRebooked,
    RebookingFailed,
)

Route = tuple[str, str, str]
PATIENCE = timedelta(days=1)  # who is still here when the day after is over takes the train


class Rebooking:
    def __init__(self) -> None:
        self.stranded: dict[Route, list[FlightCancelled]] = defaultdict(list)

    def on_flight_cancelled(self, event: FlightCancelled) -> None:
        self.stranded[route(event)].append(event)

    def on_flight_departed(self, event: FlightDeparted) -> Iterator[PassengersRebooked]:
        """All that wait for this route leave with it, unless their own flight was to be later."""
        waiting = self.stranded.pop(route(event), [])
        for cancelled in waiting:
            if cancelled.scheduled < event.scheduled:
                wait = event.departed - cancelled.scheduled
                yield PassengersRebooked(
                    flight=cancelled.flight,
                    onto=event.flight,
                    wait_min=wait // timedelta(minutes=1),
                )
            else:
                self.stranded[route(event)].append(cancelled)

    def on_day_closed(self, event: DayClosed) -> Iterator[RebookingFailed]:
        last_day: date = event.day - PATIENCE
        for way, waiting in list(self.stranded.items()):
            for cancelled in waiting:
                if cancelled.day <= last_day:
                    yield RebookingFailed(flight=cancelled.flight, dest=cancelled.dest)
            self.stranded[way] = [c for c in waiting if c.day > last_day]
            if not self.stranded[way]:
                del self.stranded[way]


def route(event: FlightCancelled | FlightDeparted) -> Route:
    return event.carrier, event.origin, event.dest
