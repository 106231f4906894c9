"""The events of Accounts.

Written by `flowc types` from accounts.flow: don't edit, write it again.
"""

from __future__ import annotations

import flowc

SCHEMA = "733b836e1e16253f"


class BalanceChanged(flowc.Event, frozen=True, gc=False):
    """The account has this much now."""

    account: str
    by_cents: int
    balance_cents: int


class MoneyPaidIn(flowc.Event, frozen=True, gc=False):
    account: str
    cents: int


class MoneyPaidOut(flowc.Event, frozen=True, gc=False):
    """Somebody wants to pay; the ledger says whether there is enough."""

    account: str
    cents: int


class PaymentRefused(flowc.Event, frozen=True, gc=False):
    """There was less than that in the account."""

    account: str
    cents: int
    balance_cents: int
