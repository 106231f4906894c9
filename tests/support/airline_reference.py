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

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query over the expected tables."""
        return self._connection.execute(query).fetchall()

    def compare(self, log_file: Path) -> dict[str, Difference]:
        """How the log of a run that is over differs, by event; empty if it does not."""
        self._connection.execute(f"ATTACH '{log_file}' AS log (READ_ONLY)")
        found = {event: self._difference(event) for event in FOUND}
        self._connection.execute("DETACH log")
        return {event: difference for event, difference in found.items() if any(difference)}

    def _difference(self, event: str) -> Difference:
        columns = ", ".join(f'"{row[0]}"' for row in self.rows(f"DESCRIBE {event}"))
        want = f"SELECT {columns} FROM {event}"
        got = f"SELECT {columns} FROM log.main.{event}"
        # As text, because DuckDB gives times with a zone only where pytz is installed.
        return (
            self.rows(f"SELECT d::VARCHAR FROM ({want} EXCEPT ALL {got} LIMIT 3) d"),
            self.rows(f"SELECT d::VARCHAR FROM ({got} EXCEPT ALL {want} LIMIT 3) d"),
        )


Difference = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]
"""Some rows that are missing, and some that are too many."""
