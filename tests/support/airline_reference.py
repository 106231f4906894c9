"""What the airline example must find: `reference.sql`, run by DuckDB over the raw files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from support.sources import ROOT

AIRLINE = ROOT / "examples" / "airline"
FOUND = (
    "FlightDelayed",
    "DelayRecovered",
    "ConnectionMissed",
    "HourRated",
    "WeatherAlertRaised",
    "WeatherAlertLifted",
    "DepartureExposed",
    "AirportDayPublished",
    "CarrierDayScored",
    "PassengersRebooked",
    "RebookingFailed",
    "NoticeSent",
)
"""All events that a service of the system emits."""


class Reference:
    """The expected rows of every event, computed when it is made."""

    def __init__(self, flights: Path, weather: Path, days: int = 0) -> None:
        self._connection = duckdb.connect()
        airports = AIRLINE / "data" / "airports.csv"
        for name, path in (("flights", flights), ("weather", weather), ("airports", airports)):
            self._connection.execute(f"SET VARIABLE {name} = '{path}'")
        self._connection.execute(f"SET VARIABLE days = {days}")
        self._connection.execute((AIRLINE / "reference.sql").read_text(encoding="utf-8"))

    def columns(self, event: str) -> list[str]:
        """The fields of an event."""
        return [row[0] for row in self._connection.execute(f"DESCRIBE {event}").fetchall()]

    def rows(self, event: str) -> list[tuple[Any, ...]]:
        """The rows of an event, sorted by their text."""
        return sorted(self._connection.execute(f"FROM {event}").fetchall(), key=repr)
