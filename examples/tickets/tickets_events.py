"""The events of Tickets.

Written by `flowc types` from tickets.flow: don't edit, write it again.
"""

from __future__ import annotations

import decimal as _decimal

import flowc

SCHEMA = "e46cb09aa0de16c1"


class SalesCounted(flowc.Event, frozen=True, gc=False):
    """Once an hour, for the wall in the office."""

    tickets: int
    released: int


class SeatHeld(flowc.Event, frozen=True, gc=False):
    """Somebody has put a seat into the basket."""

    seat: str
    buyer: str


class SeatPaid(flowc.Event, frozen=True, gc=False):
    """The bank says so."""

    seat: str
    amount: _decimal.Decimal


class SeatReleased(flowc.Event, frozen=True, gc=False):
    """Nobody paid in time: others may have it."""

    seat: str
    buyer: str


class TicketIssued(flowc.Event, frozen=True, gc=False):
    """Held and paid."""

    seat: str
    buyer: str
    amount: _decimal.Decimal
