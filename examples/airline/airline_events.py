"""Event classes of Airline."""

from __future__ import annotations

import datetime as dt
import enum

import msgspec


class Phase(enum.StrEnum):
    DEPARTURE = "DEPARTURE"
    ARRIVAL = "ARRIVAL"


class Severity(enum.StrEnum):
    MINOR = "MINOR"
    MAJOR = "MAJOR"
    SEVERE = "SEVERE"


class Sky(enum.StrEnum):
    CLEAR = "CLEAR"
    ROUGH = "ROUGH"
    SEVERE = "SEVERE"


class Audience(enum.StrEnum):
    PASSENGERS = "PASSENGERS"
    CREW = "CREW"
    DISPATCH = "DISPATCH"


class FlightDeparted(msgspec.Struct, kw_only=True, frozen=True):
    flight: str
    tailnum: str
    carrier: str
    origin: str
    dest: str
    day: dt.date
    scheduled: dt.datetime
    departed: dt.datetime
    late_min: int


class FlightArrived(msgspec.Struct, kw_only=True, frozen=True):
    flight: str
    tailnum: str
    carrier: str
    origin: str
    dest: str
    day: dt.date
    arrived: dt.datetime
    late_min: int
    air_min: int


class FlightDiverted(msgspec.Struct, kw_only=True, frozen=True):
    flight: str
    tailnum: str
    carrier: str
    origin: str
    dest: str
    day: dt.date


class FlightCancelled(msgspec.Struct, kw_only=True, frozen=True):
    flight: str
    carrier: str
    origin: str
    dest: str
    day: dt.date
    scheduled: dt.datetime


class DayClosed(msgspec.Struct, kw_only=True, frozen=True):
    day: dt.date


class WeatherObserved(msgspec.Struct, kw_only=True, frozen=True):
    origin: str
    hour: dt.datetime
    wind_mph: float | None = None
    gust_mph: float | None = None
    rain_in: float
    visib_mi: float


class FlightDelayed(msgspec.Struct, kw_only=True, frozen=True):
    flight: str
    carrier: str
    origin: str
    dest: str
    phase: Phase
    late_min: int
    severity: Severity


class DelayRecovered(msgspec.Struct, kw_only=True, frozen=True):
    flight: str
    carrier: str
    was: Severity
    departed_late_min: int
    arrived_late_min: int


class ConnectionMissed(msgspec.Struct, kw_only=True, frozen=True):
    tailnum: str
    inbound: str
    inbound_late_min: int
    outbound: str
    outbound_late_min: int
    origin: str
    short_min: int


class HourRated(msgspec.Struct, kw_only=True, frozen=True):
    origin: str
    hour: dt.datetime
    sky: Sky
    why: str


class WeatherAlertRaised(msgspec.Struct, kw_only=True, frozen=True):
    origin: str
    since: dt.datetime
    why: str


class WeatherAlertLifted(msgspec.Struct, kw_only=True, frozen=True):
    origin: str
    since: dt.datetime
    until: dt.datetime


class DepartureExposed(msgspec.Struct, kw_only=True, frozen=True):
    flight: str
    origin: str
    hour: dt.datetime
    sky: Sky
    why: str
    late_min: int


class PassengersRebooked(msgspec.Struct, kw_only=True, frozen=True):
    flight: str
    onto: str
    wait_min: int


class RebookingFailed(msgspec.Struct, kw_only=True, frozen=True):
    flight: str
    dest: str


class NoticeSent(msgspec.Struct, kw_only=True, frozen=True):
    about: str
    audience: Audience
    text: str


class AirportDayPublished(msgspec.Struct, kw_only=True, frozen=True):
    origin: str
    day: dt.date
    departures: int
    on_time: int
    cancelled: int
    mean_late_min: float | None = None
    worst_flight: str | None = None
    worst_late_min: int | None = None


class CarrierDayScored(msgspec.Struct, kw_only=True, frozen=True):
    carrier: str
    day: dt.date
    flights: int
    on_time: int
    cancelled: int
    diverted: int
    on_time_share: float
    rank: int
