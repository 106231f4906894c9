"""Each service of the airline is an object with methods: events in, events out, no engine."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from support.examples import Project, project

DAY = date(2013, 1, 1)
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def airline() -> Iterator[Project]:
    with project("airline") as loaded:
        yield loaded


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def departed(airline: Project, flight: str, minute: int, late: int = 0, **other: Any) -> Any:
    values = {
        "flight": flight,
        "tailnum": "N1",
        "carrier": "UA",
        "origin": "EWR",
        "dest": "BOS",
        "day": DAY,
        "scheduled": at(minute),
        "departed": at(minute + late),
        "late_min": late,
    }
    return airline.events.FlightDeparted(**{**values, **other})


def arrived(airline: Project, flight: str, minute: int, late: int = 0, **other: Any) -> Any:
    values = {
        "flight": flight,
        "tailnum": "N1",
        "carrier": "UA",
        "origin": "EWR",
        "dest": "BOS",
        "day": DAY,
        "arrived": at(minute),
        "late_min": late,
        "air_min": 60,
    }
    return airline.events.FlightArrived(**{**values, **other})


def cancelled(airline: Project, flight: str, minute: int, **other: Any) -> Any:
    values = {"flight": flight, "carrier": "UA", "origin": "EWR", "dest": "BOS", "day": DAY}
    return airline.events.FlightCancelled(**{**values, "scheduled": at(minute), **other})


# ---- Delays


def test_a_delay_is_told_again_when_it_is_worse(airline: Project) -> None:
    delays = airline.load("services.delays").Delays()
    first = delays.on_flight_departed(departed(airline, "a", 0, late=20))
    (second,) = delays.on_flight_arrived(arrived(airline, "a", 90, late=75))
    assert (first.phase.value, first.severity.value) == ("DEPARTURE", "MINOR")
    assert (second.phase.value, second.severity.value) == ("ARRIVAL", "MAJOR")


def test_a_delay_that_stays_as_it_is_is_told_once(airline: Project) -> None:
    delays = airline.load("services.delays").Delays()
    assert delays.on_flight_departed(departed(airline, "a", 0, late=20))
    assert not list(delays.on_flight_arrived(arrived(airline, "a", 90, late=40)))


def test_a_delay_that_was_made_up_is_taken_back(airline: Project) -> None:
    delays = airline.load("services.delays").Delays()
    delays.on_flight_departed(departed(airline, "a", 0, late=20))
    (recovered,) = delays.on_flight_arrived(arrived(airline, "a", 90, late=14))
    assert (recovered.departed_late_min, recovered.arrived_late_min) == (20, 14)
    assert delays.departed_late == {}


def test_on_time_is_no_news(airline: Project) -> None:
    delays = airline.load("services.delays").Delays()
    assert delays.on_flight_departed(departed(airline, "a", 0, late=14)) is None
    assert not list(delays.on_flight_arrived(arrived(airline, "a", 90, late=-3)))


# ---- Rotations: 30 min on the ground, 60 in the air, 30 on the ground


@pytest.mark.parametrize(
    ("next_at", "inbound_late", "outbound_late", "short"),
    [(119, 20, 15, 1), (120, 20, 15, None), (100, 14, 30, None), (100, 20, 14, None)],
)
def test_a_connection_is_missed(
    airline: Project, next_at: int, inbound_late: int, outbound_late: int, short: int | None
) -> None:
    rotations = airline.load("services.rotations").Rotations()
    rotations.on_flight_arrived(arrived(airline, "in", 0, late=inbound_late))
    found = rotations.on_flight_departed(departed(airline, "out", next_at, late=outbound_late))
    assert (found and found.short_min) == short


def test_another_aircraft_misses_nothing(airline: Project) -> None:
    rotations = airline.load("services.rotations").Rotations()
    rotations.on_flight_arrived(arrived(airline, "in", 0, late=50))
    other = departed(airline, "out", 60, late=50, tailnum="N2")
    assert rotations.on_flight_departed(other) is None


def test_one_late_arrival_is_blamed_once(airline: Project) -> None:
    rotations = airline.load("services.rotations").Rotations()
    rotations.on_flight_arrived(arrived(airline, "in", 0, late=50))
    assert rotations.on_flight_departed(departed(airline, "b", 60, late=50))
    assert rotations.on_flight_departed(departed(airline, "c", 61, late=50)) is None


# ---- Forecast


def observed(airline: Project, hour: int, **weather: Any) -> Any:
    calm = {"wind_mph": 5.0, "gust_mph": None, "rain_in": 0.0, "visib_mi": 10.0}
    when = NOON + timedelta(hours=hour)
    return airline.events.WeatherObserved(origin="EWR", hour=when, **{**calm, **weather})


@pytest.mark.parametrize(
    ("weather", "sky", "why"),
    [
        ({}, "CLEAR", ""),
        ({"wind_mph": 1048.4}, "CLEAR", ""),
        ({"wind_mph": 1048.4, "gust_mph": 50.0}, "SEVERE", "storm"),
        ({"wind_mph": None}, "CLEAR", ""),
        ({"gust_mph": 30.0}, "ROUGH", "strong wind"),
        ({"visib_mi": 0.25, "rain_in": 0.5}, "SEVERE", "fog"),
    ],
)
def test_an_hour_is_rated(airline: Project, weather: dict[str, Any], sky: str, why: str) -> None:
    rating, reason = airline.load("services.forecast").rate(observed(airline, 0, **weather))
    assert (rating.value, reason) == (sky, why)


def test_an_alert_lasts_until_it_is_clear(airline: Project) -> None:
    forecast = airline.load("services.forecast").Forecast()
    miles = [10.0, 0.25, 1.0, 0.25, 10.0, 10.0]
    said = [
        [type(e).__name__ for e in forecast.on_weather_observed(observed(airline, i, visib_mi=v))]
        for i, v in enumerate(miles)
    ]
    alerts = [names[1:] for names in said]
    assert alerts == [[], ["WeatherAlertRaised"], [], [], ["WeatherAlertLifted"], []]


# ---- Exposure


def interleaved(sides: list[list[Any]], chance: random.Random) -> Iterator[Any]:
    left = [list(reversed(side)) for side in sides if side]
    while left:
        side = chance.choice(left)
        yield side.pop()
        left = [s for s in left if s]


def test_a_join_is_the_same_in_any_interleaving(airline: Project) -> None:
    exposure, events = airline.load("services.exposure"), airline.events
    skies = [events.Sky.SEVERE, events.Sky.ROUGH, events.Sky.CLEAR]
    hours = [h for h in range(24) if h not in {3, 9, 10, 23}]  # hours that were not observed
    ratings = [
        events.HourRated(origin="EWR", hour=at(60 * h), sky=skies[h % 3], why=f"h{h}")
        for h in hours
    ]
    departures = [departed(airline, f"f{i}", 17 * i) for i in range(80)]
    expected = {
        (f"f{i}", f"h{17 * i // 60}")
        for i in range(80)
        if 17 * i // 60 in hours and 17 * i // 60 % 3 != 2
    }
    chance = random.Random(1)
    for _ in range(50):
        service = exposure.Exposure()
        found = []
        for event in interleaved([ratings, departures], chance):
            if isinstance(event, events.HourRated):
                found += service.on_hour_rated(event)
            elif one := service.on_flight_departed(event):
                found.append(one)
        assert len(found) == len(expected)
        assert {(e.flight, e.why) for e in found} == expected


# ---- AirportDays, Scorecards


def test_a_day_is_published_when_it_is_over(airline: Project) -> None:
    service = airline.load("services.airport_days").AirportDays()
    tomorrow = DAY + timedelta(days=1)
    for event in (
        departed(airline, "a", 0, late=-5),
        departed(airline, "c", 0, late=30),
        departed(airline, "b", 0, late=30),
        departed(airline, "next", 0, late=99, day=tomorrow),
        cancelled(airline, "d", 0),
    ):
        service.count(event)
    (day,) = service.on_day_closed(airline.events.DayClosed(day=DAY))
    assert (day.departures, day.on_time, day.cancelled) == (3, 1, 1)
    assert (day.mean_late_min, day.worst_flight, day.worst_late_min) == (20.0, "b", 30)
    assert list(service.days) == [tomorrow]


def test_a_day_of_cancellations_has_no_mean(airline: Project) -> None:
    service = airline.load("services.airport_days").AirportDays()
    service.count(cancelled(airline, "d", 0))
    (day,) = service.on_day_closed(airline.events.DayClosed(day=DAY))
    assert (day.departures, day.mean_late_min, day.worst_flight) == (0, None, None)


def ranks(days: Iterable[Any]) -> dict[str, int]:
    return {day.carrier: day.rank for day in days}


def test_carriers_are_ranked_by_all_closed_days(airline: Project) -> None:
    service = airline.load("services.scorecards").Scorecards()
    tomorrow = DAY + timedelta(days=1)
    service.count(arrived(airline, "a", 0, carrier="UA"))
    service.count(arrived(airline, "b", 0, carrier="AA", late=60))
    service.count(arrived(airline, "c", 0, carrier="AA", day=tomorrow))
    service.count(cancelled(airline, "d", 0, carrier="B6", day=tomorrow))
    closed = airline.events.DayClosed
    assert ranks(service.on_day_closed(closed(day=DAY))) == {"UA": 1, "AA": 2}
    second = list(service.on_day_closed(closed(day=tomorrow)))
    assert ranks(second) == {"AA": 2, "B6": 3}  # UA is still first, and did not fly
    assert [day.on_time_share for day in second] == [0.5, 0.0]


# ---- Rebooking


def test_passengers_take_the_next_flight_of_the_route(airline: Project) -> None:
    service = airline.load("services.rebooking").Rebooking()
    service.on_flight_cancelled(cancelled(airline, "gone", 0))
    earlier = departed(airline, "before", -60, late=70)  # left later, but was to leave before
    elsewhere = departed(airline, "elsewhere", 60, dest="MIA")
    assert not list(service.on_flight_departed(earlier))
    assert not list(service.on_flight_departed(elsewhere))
    (rebooked,) = service.on_flight_departed(departed(airline, "next", 90, late=5))
    assert (rebooked.flight, rebooked.onto, rebooked.wait_min) == ("gone", "next", 95)
    assert not list(service.on_flight_departed(departed(airline, "later", 200)))


def test_passengers_give_up_after_the_next_day(airline: Project) -> None:
    service = airline.load("services.rebooking").Rebooking()
    service.on_flight_cancelled(cancelled(airline, "gone", 0))
    closed = airline.events.DayClosed
    assert not list(service.on_day_closed(closed(day=DAY)))
    (failed,) = service.on_day_closed(closed(day=DAY + timedelta(days=1)))
    assert failed.flight == "gone"
    assert service.stranded == {}
