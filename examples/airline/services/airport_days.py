"""On-time statistics of an airport's day, published when the day is over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from airline_events import AirportDayPublished, DayClosed, FlightCancelled, FlightDeparted

ON_TIME_MIN = 15


@dataclass
class Tally:
    departures: int = 0
    on_time: int = 0
    cancelled: int = 0
    late_min: int = 0  # summed up; what was early counts as 0
    worst: tuple[int, str] | None = None  # of those that were late: minutes negated, and flight


class AirportDays:
    def __init__(self) -> None:
        # A flight belongs to the day it was scheduled for. The next begins before this one closes.
        self.days: dict[date, dict[str, Tally]] = defaultdict(lambda: defaultdict(Tally))

    def count(self, event: FlightDeparted | FlightCancelled) -> None:
        tally = self.days[event.day][event.origin]
        if isinstance(event, FlightCancelled):
            tally.cancelled += 1
            return
        tally.departures += 1
        tally.on_time += event.late_min < ON_TIME_MIN
        tally.late_min += max(event.late_min, 0)
        if event.late_min > 0:
            mine = (-event.late_min, event.flight)
            tally.worst = min(tally.worst or mine, mine)

    def on_day_closed(self, event: DayClosed) -> Iterator[AirportDayPublished]:
        for origin, tally in sorted(self.days.pop(event.day, {}).items()):
            minutes, flight = tally.worst or (0, None)
            yield AirportDayPublished(
                origin=origin,
                day=event.day,
                departures=tally.departures,
                on_time=tally.on_time,
                cancelled=tally.cancelled,
                mean_late_min=tally.late_min / tally.departures if tally.departures else None,
                worst_flight=flight,
                worst_late_min=-minutes if flight else None,
            )
