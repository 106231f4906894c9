"""What an hour's weather means for flying, and when an airport is under an alert."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from airline_events import (
    HourRated,
    Sky,
    WeatherAlertLifted,
    WeatherAlertRaised,
    WeatherObserved,
)

WIND_POSSIBLE_MPH = 200  # a station once said 1048: more than that is a broken instrument


def rate(event: WeatherObserved) -> tuple[Sky, str]:
    """How bad it is, and the worst of the reasons."""
    winds = [w for w in (event.wind_mph, event.gust_mph) if w and w <= WIND_POSSIBLE_MPH]
    wind, rain, visib = max(winds, default=0), event.rain_in, event.visib_mi
    reasons = [
        (visib < 0.5, Sky.SEVERE, "fog"),
        (wind >= 45, Sky.SEVERE, "storm"),
        (rain >= 0.3, Sky.SEVERE, "downpour"),
        (visib < 2, Sky.ROUGH, "low visibility"),
        (wind >= 30, Sky.ROUGH, "strong wind"),
        (rain >= 0.1, Sky.ROUGH, "rain"),
    ]
    return next(((sky, why) for holds, sky, why in reasons if holds), (Sky.CLEAR, ""))


class Forecast:
    def __init__(self) -> None:
        self.alerts: dict[str, datetime] = {}  # by airport: since when

    def on_weather_observed(
        self, event: WeatherObserved
    ) -> Iterator[HourRated | WeatherAlertRaised | WeatherAlertLifted]:
        """An alert is raised by a severe hour and lifted by a clear one; rough ones keep it."""
        sky, why = rate(event)
        yield HourRated(origin=event.origin, hour=event.hour, sky=sky, why=why)
        since = self.alerts.get(event.origin)
        if sky is Sky.SEVERE and since is None:
            self.alerts[event.origin] = event.hour
            yield WeatherAlertRaised(origin=event.origin, since=event.hour, why=why)
        elif sky is Sky.CLEAR and since is not None:
            del self.alerts[event.origin]
            yield WeatherAlertLifted(origin=event.origin, since=since, until=event.hour)
