"""Statements of account: the lines of each, in the order in which things happened."""

from __future__ import annotations

import sqlite3

from accounts_events import BalanceChanged, PaymentRefused

from flowc import Context


def setup_store(store: sqlite3.Connection) -> None:
    store.execute("CREATE TABLE lines (account TEXT, text TEXT, balance_cents INTEGER)")


def on_balance_changed(event: BalanceChanged, ctx: Context) -> None:
    write(ctx, event.account, f"{event.by_cents / 100:+.2f}", event.balance_cents)


def on_payment_refused(event: PaymentRefused, ctx: Context) -> None:
    write(ctx, event.account, f"refused: {event.cents / 100:.2f}", event.balance_cents)


def write(ctx: Context, account: str, text: str, balance_cents: int) -> None:
    ctx.store.execute("INSERT INTO lines VALUES (?, ?, ?)", (account, text, balance_cents))
