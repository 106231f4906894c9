"""Waits: for time, for a partner, and for the hour."""

from __future__ import annotations

from tickets_events import SalesCounted, SeatHeld, SeatPaid, SeatReleased, TicketIssued


class BoxOffice:
    def __init__(self) -> None:
        self.tickets = self.released = 0

    def after_seat_held(self, held: SeatHeld) -> SeatReleased:
        """A second has passed, and no payment came."""
        self.released += 1
        return SeatReleased(seat=held.seat, buyer=held.buyer)

    def issue(self, held: SeatHeld, paid: SeatPaid) -> TicketIssued:
        """Both are there, whichever came first."""
        self.tickets += 1
        return TicketIssued(seat=held.seat, buyer=held.buyer, amount=paid.amount)

    def count(self) -> SalesCounted:
        return SalesCounted(tickets=self.tickets, released=self.released)
