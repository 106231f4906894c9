"""How late is a flight?

Said at departure, said again at arrival if it got worse, and taken back if the time was made up.
"""

from __future__ import annotations

from collections.abc import Iterator

from airline_events import (
    DelayRecovered,
    FlightArrived,
    FlightDelayed,
    FlightDeparted,
    FlightDiverted,
    Phase,
    Severity,
)

FROM_MIN = {Severity.SEVERE: 180, Severity.MAJOR: 60, Severity.MINOR: 15}


def severity(late_min: int) -> Severity | None:
    """None below the quarter of an hour that counts as on time."""
    return next((level for level, least in FROM_MIN.items() if late_min >= least), None)


class Delays:
    def __init__(self) -> None:
        self.departed_late: dict[str, int] = {}  # minutes, by flight; those in the air

    def on_flight_departed(self, event: FlightDeparted) -> FlightDelayed | None:
        how = severity(event.late_min)
        if how is None:
            return None
        self.departed_late[event.flight] = event.late_min
        return _delayed(event, Phase.DEPARTURE, how)

    def on_flight_arrived(self, event: FlightArrived) -> Iterator[FlightDelayed | DelayRecovered]:
        departed_late = self.departed_late.pop(event.flight, 0)
        before, now = severity(departed_late), severity(event.late_min)
        if now is None and before is not None:
            yield DelayRecovered(
                flight=event.flight,
                carrier=event.carrier,
                was=before,
                departed_late_min=departed_late,
                arrived_late_min=event.late_min,
            )
        elif now is not None and (before is None or FROM_MIN[now] > FROM_MIN[before]):
            yield _delayed(event, Phase.ARRIVAL, now)

    def on_flight_diverted(self, event: FlightDiverted) -> None:
        self.departed_late.pop(event.flight, None)


def _delayed(event: FlightDeparted | FlightArrived, phase: Phase, how: Severity) -> FlightDelayed:
    return FlightDelayed(
        flight=event.flight,
        carrier=event.carrier,
        origin=event.origin,
        dest=event.dest,
        phase=phase,
        late_min=event.late_min,
        severity=how,
    )
