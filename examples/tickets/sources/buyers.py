"""Buyers who take a seat each, and of whom every other pays."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from tickets_events import SeatHeld, SeatPaid

NAMES = ("ada", "barbara", "donald", "edsger", "grace", "leslie")


def buyers() -> Iterator[SeatHeld | SeatPaid]:
    """Six seats, three payments."""
    for number, buyer in enumerate(NAMES, 1):
        yield SeatHeld(seat=f"A{number}", buyer=buyer)
        if number % 2 == 0:
            yield SeatPaid(seat=f"A{number}", amount=Decimal("24.50"))
