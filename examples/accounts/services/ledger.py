"""What is in each account. Its store has it, so there is nothing to rebuild after a crash."""

from __future__ import annotations

import sqlite3

from accounts_events import BalanceChanged, MoneyPaidIn, MoneyPaidOut, PaymentRefused

from flowc import Context


class Ledger:
    def setup_store(self, store: sqlite3.Connection) -> None:
        """Once for each file: each partition has one."""
        store.execute(
            "CREATE TABLE balances (account TEXT PRIMARY KEY, cents INTEGER CHECK (cents >= 0))"
        )

    def on_money_paid_in(self, event: MoneyPaidIn, ctx: Context) -> BalanceChanged:
        return book(ctx.store, event.account, event.cents)

    def on_money_paid_out(
        self, event: MoneyPaidOut, ctx: Context
    ) -> BalanceChanged | PaymentRefused:
        there = balance(ctx.store, event.account)
        if there < event.cents:
            return PaymentRefused(account=event.account, cents=event.cents, balance_cents=there)
        return book(ctx.store, event.account, -event.cents)


def balance(store: sqlite3.Connection, account: str) -> int:
    """In cents; 0 for an account that was never seen."""
    row = store.execute("SELECT cents FROM balances WHERE account = ?", (account,)).fetchone()
    return row[0] if row else 0


def book(store: sqlite3.Connection, account: str, by_cents: int) -> BalanceChanged:
    """Add to the account. No commit: flowc does that, together with the event."""
    now = balance(store, account) + by_cents
    store.execute("INSERT OR REPLACE INTO balances VALUES (?, ?)", (account, now))
    return BalanceChanged(account=account, by_cents=by_cents, balance_cents=now)
