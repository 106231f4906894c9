"""What is in the accounts, as the ledger's files say: anybody may read them, at any time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

LEDGER = Path(__file__).resolve().parent / ".flow/Accounts/stores/Ledger/ledger"


def balances() -> list[tuple[str, int]]:
    """The accounts with their cents, from the files of all partitions."""
    found: list[tuple[str, int]] = []
    for path in LEDGER.glob("*.db"):
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            found += db.execute("SELECT account, cents FROM balances")
    return sorted(found)


if __name__ == "__main__":
    for account, cents in balances():
        print(f"{account:<10}{cents:>8}")
