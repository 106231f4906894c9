"""The events of Airline.

Written by `flowc types` from airline.flow: don't edit, write it again.
"""

from __future__ import annotations

import datetime as _datetime
import enum as _enum

import flowc

SCHEMA = "431fd0dce9b0530d"


class Audience(_enum.StrEnum):
    PASSENGERS = "PASSENGERS"
    CREW = "CREW"
    DISPATCH = "DISPATCH"


class Phase(_enum.StrEnum):
    DEPARTURE = "DEPARTURE"
    ARRIVAL = "ARRIVAL"


class Severity(_enum.StrEnum):
    MINOR = "MINOR"
    MAJOR = "MAJOR"
    SEVERE = "SEVERE"


class Sky(_enum.StrEnum):
    CLEAR = "CLEAR"
    ROUGH = "ROUGH"
    SEVERE = "SEVERE"


class AirportDayPublished(flowc.Event, frozen=True, gc=False):
    """A day of an airport, once it is over."""

    origin: str
    day: _datetime.date
    departures: int
    on_time: int
    cancelled: int
    mean_late_min: float | None = None
    worst_flight: str | None = None
    worst_late_min: int | None = None


class CarrierDayScored(flowc.Event, frozen=True, gc=False):
    """A day of a carrier, and where it stands since the first day."""

    carrier: str
    day: _datetime.date
    flights: int
    on_time: int
    cancelled: int
    diverted: int
    on_time_share: float
    """Of all its flights so far."""
    rank: int


class ConnectionMissed(flowc.Event, frozen=True, gc=False):
    """An aircraft came in too late to be back for its next departure, which was late as well."""

    tailnum: str
    inbound: str
    inbound_late_min: int
    outbound: str
    outbound_late_min: int
    origin: str
    short_min: int
    """How much later than scheduled it could leave at the earliest."""


class DayClosed(flowc.Event, frozen=True, gc=False):
    """All that was scheduled for `day` has departed and arrived, or never will."""

    day: _datetime.date


class DelayRecovered(flowc.Event, frozen=True, gc=False):
    """A flight that departed late arrived on time."""

    flight: str
    carrier: str
    was: Severity
    departed_late_min: int
    arrived_late_min: int


class DepartureExposed(flowc.Event, frozen=True, gc=False):
    """A flight departed in bad weather."""

    flight: str
    origin: str
    hour: _datetime.datetime
    sky: Sky
    why: str
    late_min: int


class FlightArrived(flowc.Event, frozen=True, gc=False):
    """A flight reached the gate of its destination."""

    flight: str
    tailnum: str
    carrier: str
    origin: str
    dest: str
    day: _datetime.date
    arrived: _datetime.datetime
    late_min: int
    air_min: int
    """Time in the air."""


class FlightCancelled(flowc.Event, frozen=True, gc=False):
    """A flight never left. Often no aircraft had been assigned, so there is no `tailnum`."""

    flight: str
    carrier: str
    origin: str
    dest: str
    day: _datetime.date
    scheduled: _datetime.datetime


class FlightDelayed(flowc.Event, frozen=True, gc=False):
    """A flight is late, and more so than was said before."""

    flight: str
    carrier: str
    origin: str
    dest: str
    phase: Phase
    late_min: int
    severity: Severity


class FlightDeparted(flowc.Event, frozen=True, gc=False):
    """A flight left the gate."""

    flight: str
    """Carrier and number, origin and day: UA1545/EWR/2013-01-01."""
    tailnum: str
    """The aircraft's registration."""
    carrier: str
    origin: str
    dest: str
    day: _datetime.date
    """That it was scheduled for, in New York."""
    scheduled: _datetime.datetime
    departed: _datetime.datetime
    late_min: int
    """Negative when it was early."""


class FlightDiverted(flowc.Event, frozen=True, gc=False):
    """A flight departed and did not arrive where it was to."""

    flight: str
    tailnum: str
    carrier: str
    origin: str
    dest: str
    day: _datetime.date


class HourRated(flowc.Event, frozen=True, gc=False):
    """What an hour's weather means for flying."""

    origin: str
    hour: _datetime.datetime
    sky: Sky
    why: str


class NoticeSent(flowc.Event, frozen=True, gc=False):
    """Somebody was told something."""

    about: str
    audience: Audience
    text: str


class PassengersRebooked(flowc.Event, frozen=True, gc=False):
    flight: str
    onto: str
    wait_min: int


class RebookingFailed(flowc.Event, frozen=True, gc=False):
    flight: str
    dest: str


class WeatherAlertLifted(flowc.Event, frozen=True, gc=False):
    origin: str
    since: _datetime.datetime
    until: _datetime.datetime


class WeatherAlertRaised(flowc.Event, frozen=True, gc=False):
    origin: str
    since: _datetime.datetime
    why: str


class WeatherObserved(flowc.Event, frozen=True, gc=False, kw_only=True):
    """An hour's weather at an airport. Stations skip hours, and instruments fail."""

    origin: str
    hour: _datetime.datetime
    wind_mph: float | None = None
    gust_mph: float | None = None
    rain_in: float
    visib_mi: float
