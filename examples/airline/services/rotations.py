"""Each aircraft from flight to flight: does coming in late make it miss its next departure?

The data has departures from New York alone; the flight back is not in it. An aircraft that landed
somewhere can be back at the earliest after it was turned around there, flew for as long as on the
way out, and was turned around again. If it was late, and that is past the time of its next
departure, and that departure was late as well, then the connection was missed.
"""

from __future__ import annotations

from datetime import timedelta

from airline_events import ConnectionMissed, FlightArrived, FlightDeparted, FlightDiverted

LATE_MIN = 15
TURNAROUND_MIN = 30
SAME_ROTATION = timedelta(hours=12)  # a longer stay on the ground absorbs any delay


class Rotations:
    def __init__(self) -> None:
        self.arrived: dict[
            str, FlightArrived
        ] = {}  # by tailnum: where it is since its last arrival

    def on_flight_arrived(self, event: FlightArrived) -> None:
        self.arrived[event.tailnum] = event

    def on_flight_diverted(self, event: FlightDiverted) -> None:
        self.arrived.pop(event.tailnum, None)  # it is nobody knows where

    def on_flight_departed(self, event: FlightDeparted) -> ConnectionMissed | None:
        inbound = self.arrived.pop(event.tailnum, None)
        if inbound is None or inbound.late_min < LATE_MIN or event.late_min < LATE_MIN:
            return None
        if event.scheduled - inbound.arrived >= SAME_ROTATION:
            return None
        needs_min = TURNAROUND_MIN + inbound.air_min + TURNAROUND_MIN
        back = inbound.arrived + timedelta(minutes=needs_min)
        short_min = (back - event.scheduled) // timedelta(minutes=1)
        if short_min <= 0:
            return None
        return ConnectionMissed(
            tailnum=event.tailnum,
            inbound=inbound.flight,
            inbound_late_min=inbound.late_min,
            outbound=event.flight,
            outbound_late_min=event.late_min,
            origin=event.origin,
            short_min=short_min,
        )
