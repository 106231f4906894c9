"""Customers who fill carts, and check out. All chance comes from the seed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from random import Random
from uuid import UUID

from shop_events import CheckoutSubmitted, Currency, Line

PRICES = {"A-1": "9.90", "B-2": "24.50", "C-3": "79.00", "D-4": "189.00"}
POPULARITY = (10, 6, 3, 1)
COUPONS = (None, None, None, "WELCOME10", "LOYAL15", "EXPIRED99")
NAMES = ("ada", "barbara", "donald", "edsger", "grace", "leslie", "niklaus", "tony")


def checkouts(carts: int, seed: int) -> Iterator[CheckoutSubmitted]:
    """`carts` checkouts; the same arguments give the same ones."""
    chance = Random(seed)
    for _ in range(carts):
        yield CheckoutSubmitted(
            cart_id=UUID(int=chance.getrandbits(128), version=4),
            customer=chance.choice(NAMES),
            currency=chance.choice(list(Currency)),
            coupon=chance.choice(COUPONS),
            lines=[_line(chance) for _ in range(chance.randint(1, 3))],
        )


def _line(chance: Random) -> Line:
    (sku,) = chance.choices(list(PRICES), weights=POPULARITY)
    return Line(sku=sku, qty=chance.randint(1, 3), price=Decimal(PRICES[sku]))
