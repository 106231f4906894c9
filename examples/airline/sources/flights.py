"""The airports' feed: departures, arrivals, diversions and cancellations, as they happen.

The data is in the order of the schedule, and says when flights left and arrived by the clock on the
wall of each airport, hour and minute. Here that becomes UTC, and the order in which it happened.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from airline_events import (
    DayClosed,
    FlightArrived,
    FlightCancelled,
    FlightDeparted,
    FlightDiverted,
)

from sources.dataset import read_airports, read_flights

Movement = FlightDeparted | FlightArrived | FlightDiverted | FlightCancelled | DayClosed
Row = dict[str, Any]
# When; arrivals before departures of the same minute, and the end of a day last; then by flight, so
# that the order is total.
Moment = tuple[datetime, int, str, Movement]
ARRIVED, DIVERTED, CANCELLED, DEPARTED, CLOSED = range(5)

DAY_MIN = 24 * 60
EARLY_MAX = timedelta(hours=2)  # no flight leaves earlier than this before its schedule


def movements(*, year: bool = False, days: int = 0, skip: int = 0) -> Iterator[Movement]:
    """All movements in the order of time; `days` limits them to the first days of schedule.

    The same arguments give the same events, so an interrupted run goes on behind the first `skip`.
    """
    clocks = {row["faa"]: Clock(row["tz"], row["dst"]) for row in read_airports().to_pylist()}
    in_order = timeline(days_of(year=year, days=days), clocks)
    return (moment[3] for moment in islice(in_order, skip, None))


def days_of(*, year: bool, days: int) -> Iterator[tuple[date, list[Row]]]:
    """The rows of each day of schedule."""
    table = read_flights(year=year)
    rows = (row for batch in table.to_batches(max_chunksize=4_096) for row in batch.to_pylist())
    by_day = groupby(rows, key=itemgetter("year", "month", "day"))
    for (y, m, d), group in islice(by_day, days or None):
        yield date(y, m, d), list(group)


def timeline(days: Iterator[tuple[date, list[Row]]], clocks: dict[str, Clock]) -> Iterator[Moment]:
    """Sorted, with no more than a few days in memory: what happens before anything that a later day
    could bring is settled."""
    pending: list[Moment] = []
    closes = datetime.min.replace(tzinfo=UTC)
    for day, rows in days:
        # New York's midnight is 05:00 UTC, or 04:00 in summer.
        settled = datetime(day.year, day.month, day.day, 4, tzinfo=UTC) - EARLY_MAX
        cut = bisect_left(pending, settled, key=itemgetter(0))
        yield from pending[:cut]
        moments = [moment for row in rows for moment in happenings(row, day, clocks[row["dest"]])]
        closes = max(closes, *(moment[0] for moment in moments))
        moments.append((closes, CLOSED, day.isoformat(), DayClosed(day=day)))
        assert min(moment[0] for moment in moments) >= settled
        pending = sorted(pending[cut:] + moments, key=itemgetter(0, 1, 2))
    yield from pending


def happenings(row: Row, day: date, clock: Clock) -> Iterator[Moment]:
    """What happened to one flight."""
    flight = f"{row['carrier']}{row['flight']}/{row['origin']}/{day.isoformat()}"
    who = {
        "flight": flight,
        "carrier": row["carrier"],
        "origin": row["origin"],
        "dest": row["dest"],
    }
    scheduled = row["time_hour"] + timedelta(minutes=row["minute"])
    if row["dep_time"] is None:
        event = FlightCancelled(**who, day=day, scheduled=scheduled)
        yield scheduled, CANCELLED, flight, event
        return
    who["tailnum"] = row["tailnum"]
    departed = scheduled + timedelta(minutes=row["dep_delay"])
    yield (
        departed,
        DEPARTED,
        flight,
        FlightDeparted(
            **who, day=day, scheduled=scheduled, departed=departed, late_min=row["dep_delay"]
        ),
    )
    ahead_min = clock.ahead_of_new_york_min(row)
    if row["arr_delay"] is None:  # it landed elsewhere, if at all; noticed when it was expected
        flown = elapsed_min(row["sched_dep_time"], row["sched_arr_time"], ahead_min)
        lost = departed + timedelta(minutes=flown)
        yield lost, DIVERTED, flight, FlightDiverted(**who, day=day)
        return
    flown = elapsed_min(row["dep_time"], row["arr_time"], ahead_min)
    arrived = departed + timedelta(minutes=flown)
    yield (
        arrived,
        ARRIVED,
        flight,
        FlightArrived(
            **who, day=day, arrived=arrived, late_min=row["arr_delay"], air_min=row["air_time"]
        ),
    )


@dataclass(frozen=True, slots=True)
class Clock:
    """A destination's local time: hours from UTC in winter, and whether it has summer time."""

    hours: int
    summer: str

    def ahead_of_new_york_min(self, row: Row) -> int:
        """How far its clocks are ahead of New York's when the flight of `row` departs."""
        new_york: int = (row["hour"] - row["time_hour"].hour) % 24 - 24
        is_summer = new_york == -4
        here = self.hours + (1 if is_summer and self.summer == "A" else 0)
        return (here - new_york) * 60


def elapsed_min(left: int, reached: int, ahead_min: int) -> int:
    """Minutes from `left` to `reached`: local times as hhmm, on clocks that are `ahead_min` apart.

    All flights take less than a day, so the dates don't matter (2400 is midnight).
    """
    return (_minutes(reached) - _minutes(left) - ahead_min) % DAY_MIN


def _minutes(hhmm: int) -> int:
    return hhmm // 100 * 60 + hhmm % 100
