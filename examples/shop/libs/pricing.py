"""What an order costs."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from shop_events import Line

CENT = Decimal("0.01")
COUPONS = {"WELCOME10": Decimal("0.10"), "LOYAL15": Decimal("0.15")}


def total(lines: Iterable[Line], coupon: str | None) -> Decimal:
    """The sum of all lines, less the coupon's share; an unknown coupon is worth nothing."""
    whole = sum((line.price * line.qty for line in lines), Decimal(0))
    off = COUPONS.get(coupon or "", Decimal(0))
    return (whole * (1 - off)).quantize(CENT, ROUND_HALF_EVEN)
