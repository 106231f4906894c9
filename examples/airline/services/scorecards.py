"""How punctual each carrier is: its day, and its rank among all since the first day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from airline_events import (
    CarrierDayScored,
    DayClosed,
    FlightArrived,
    FlightCancelled,
    FlightDiverted,
)

ON_TIME_MIN = 15


@dataclass
class Score:
    flights: int = 0
    on_time: int = 0
    cancelled: int = 0
    diverted: int = 0

    @property
    def share(self) -> float:
        """A flight that was cancelled or diverted is not on time."""
        return self.on_time / self.flights

    def add(self, other: Score) -> None:
        self.flights += other.flights
        self.on_time += other.on_time
        self.cancelled += other.cancelled
        self.diverted += other.diverted


class Scorecards:
    def __init__(self) -> None:
        self.days: dict[date, dict[str, Score]] = defaultdict(lambda: defaultdict(Score))
        self.so_far: dict[str, Score] = defaultdict(Score)

    def count(self, event: FlightArrived | FlightDiverted | FlightCancelled) -> None:
        score = self.days[event.day][event.carrier]
        score.flights += 1
        match event:
            case FlightArrived():
                score.on_time += event.late_min < ON_TIME_MIN
            case FlightDiverted():
                score.diverted += 1
            case FlightCancelled():
                score.cancelled += 1

    def on_day_closed(self, event: DayClosed) -> Iterator[CarrierDayScored]:
        """Only closed days count for the rank: flights of the next are in the air already."""
        today = self.days.pop(event.day, {})
        for carrier, score in today.items():
            self.so_far[carrier].add(score)
        by_rank = sorted(self.so_far, key=lambda carrier: (-self.so_far[carrier].share, carrier))
        for rank, carrier in enumerate(by_rank, 1):
            if carrier in today:
                score = today[carrier]
                yield CarrierDayScored(
                    carrier=carrier,
                    day=event.day,
                    flights=score.flights,
                    on_time=score.on_time,
                    cancelled=score.cancelled,
                    diverted=score.diverted,
                    on_time_share=self.so_far[carrier].share,
                    rank=rank,
                )
