"""The weather stations' feed: one observation an hour and airport, as far as there are any."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import islice
from typing import Any

from airline_events import WeatherObserved

from sources.dataset import read_weather


def observations(*, year: bool = False, days: int = 0, skip: int = 0) -> Iterator[WeatherObserved]:
    """All observations by hour and airport, as far as the first `days` go (0: all)."""
    table = read_weather(year=year).sort_by([("time_hour", "ascending"), ("origin", "ascending")])
    rows = (row for batch in table.to_batches(max_chunksize=4_096) for row in batch.to_pylist())
    wanted = (row for row in rows if not days or _day_of_year(row) <= days)
    return (_observed(row) for row in islice(wanted, skip, None))


def _day_of_year(row: dict[str, Any]) -> int:
    return date(row["year"], row["month"], row["day"]).timetuple().tm_yday


def _observed(row: dict[str, Any]) -> WeatherObserved:
    return WeatherObserved(
        origin=row["origin"],
        hour=row["time_hour"],
        wind_mph=row["wind_speed"],
        gust_mph=row["wind_gust"],
        rain_in=row["precip"],
        visib_mi=row["visib"],
    )
