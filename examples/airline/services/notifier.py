"""Who is told what. What is too small to be worth a notice gets none."""

from __future__ import annotations

from airline_events import (
    Audience,
    ConnectionMissed,
    DelayRecovered,
    FlightDelayed,
    NoticeSent,
    PassengersRebooked,
    RebookingFailed,
    Severity,
    WeatherAlertLifted,
    WeatherAlertRaised,
)


def _notice(about: str, audience: Audience, text: str) -> NoticeSent:
    return NoticeSent(about=about, audience=audience, text=text)


def on_flight_delayed(event: FlightDelayed) -> NoticeSent | None:
    if event.severity is Severity.MINOR:
        return None
    phase = event.phase.value.lower()
    return _notice(event.flight, Audience.PASSENGERS, f"{phase} {event.late_min} min late")


def on_delay_recovered(event: DelayRecovered) -> NoticeSent | None:
    if event.was is Severity.MINOR:
        return None
    return _notice(event.flight, Audience.PASSENGERS, "arriving on time after all")


def on_connection_missed(event: ConnectionMissed) -> NoticeSent:
    text = f"{event.tailnum} is {event.short_min} min short, in from {event.inbound}"
    return _notice(event.outbound, Audience.CREW, text)


def on_weather_alert_raised(event: WeatherAlertRaised) -> NoticeSent:
    return _notice(event.origin, Audience.DISPATCH, f"{event.why} since {event.since:%d %b %H:%M}Z")


def on_weather_alert_lifted(event: WeatherAlertLifted) -> NoticeSent:
    return _notice(event.origin, Audience.DISPATCH, f"clear since {event.until:%d %b %H:%M}Z")


def on_passengers_rebooked(event: PassengersRebooked) -> NoticeSent:
    text = f"you fly with {event.onto}, {event.wait_min} min later"
    return _notice(event.flight, Audience.PASSENGERS, text)


def on_rebooking_failed(event: RebookingFailed) -> NoticeSent:
    text = f"no seat to {event.dest} within a day; your fare is returned"
    return _notice(event.flight, Audience.PASSENGERS, text)
