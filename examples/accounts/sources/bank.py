"""People who are paid, and pay. All chance comes from the seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from accounts_events import MoneyPaidIn, MoneyPaidOut

NAMES = ("ada", "barbara", "donald", "edsger", "grace", "leslie", "niklaus", "tony")


def payments(payments: int, seed: int) -> Iterator[MoneyPaidIn | MoneyPaidOut]:
    """So many, of up to 100.00 each; the same arguments give the same ones."""
    chance = Random(seed)
    for _ in range(payments):
        account, cents = chance.choice(NAMES), chance.randint(1, 100_00)
        if chance.random() < 0.5:
            yield MoneyPaidIn(account=account, cents=cents)
        else:
            yield MoneyPaidOut(account=account, cents=cents)
