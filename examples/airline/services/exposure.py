"""Departures joined with the weather of their hour.

Departures and ratings come from different emitters: each is in order, and nothing says which of
the two is ahead. So each side waits for the other, and the result is the same whoever comes first.
Once the other side has passed an hour, what still waits for it is let go: the memory stays small.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from airline_events import DepartureExposed, FlightDeparted, HourRated, Sky


@dataclass
class Airport:
    """Both sides, each in the order of time: those that wait for the other side's hour."""

    ratings: deque[HourRated] = field(default_factory=deque)
    departures: deque[FlightDeparted] = field(default_factory=deque)


class Exposure:
    def __init__(self) -> None:
        self.airports: dict[str, Airport] = defaultdict(Airport)

    def on_flight_departed(self, event: FlightDeparted) -> DepartureExposed | None:
        airport, hour = self.airports[event.origin], hour_of(event)
        while airport.ratings and airport.ratings[0].hour < hour:
            airport.ratings.popleft()
        if not airport.ratings:
            airport.departures.append(event)
            return None
        rating = airport.ratings[0]
        # A rating of a later hour: this hour was never observed.
        return exposed(event, rating) if rating.hour == hour else None

    def on_hour_rated(self, event: HourRated) -> Iterator[DepartureExposed]:
        airport = self.airports[event.origin]
        airport.ratings.append(event)
        while airport.departures and hour_of(airport.departures[0]) <= event.hour:
            departure = airport.departures.popleft()
            if hour_of(departure) == event.hour and (found := exposed(departure, event)):
                yield found


def hour_of(event: FlightDeparted) -> datetime:
    return event.departed.replace(minute=0)


def exposed(departure: FlightDeparted, rating: HourRated) -> DepartureExposed | None:
    """None in good weather."""
    if rating.sky is Sky.CLEAR:
        return None
    return DepartureExposed(
        flight=departure.flight,
        origin=departure.origin,
        hour=rating.hour,
        sky=rating.sky,
        why=rating.why,
        late_min=departure.late_min,
    )
