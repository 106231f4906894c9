"""The accounts, with processes that are killed: the ledger's files and the log agree."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.console import Command, flowc, run
from support.examples import copy_example, set_args
from support.killing import KillableRun, killable_run
from support.tiny import until

PAYMENTS = 30_000
KILLS = 4
BOOKS = """
    SELECT account, sum(cents)::BIGINT FROM (
        SELECT account, cents FROM MoneyPaidIn
        UNION ALL SELECT account, -cents FROM MoneyPaidOut
        UNION ALL SELECT account, cents FROM PaymentRefused
    ) GROUP BY account ORDER BY account
"""
MISBOOKED = """
    SELECT count(*) FROM (
        SELECT balance_cents, sum(by_cents) OVER (PARTITION BY account ORDER BY _offset) AS sum
        FROM BalanceChanged
    ) WHERE sum <> balance_cents OR balance_cents < 0
"""
ANSWERS = """
    SELECT (SELECT count(*) FROM MoneyPaidIn) + (SELECT count(*) FROM MoneyPaidOut),
           (SELECT count(*) FROM BalanceChanged) + (SELECT count(*) FROM PaymentRefused)
"""


def rows(root: Path, sql: str) -> list[list[Any]]:
    done = flowc("log", "accounts.flow", sql, "--json", cwd=root)
    assert done.returncode == 0, done.stderr
    found: list[list[Any]] = json.loads(done.stdout)["rows"]
    return found


def balances(root: Path) -> list[list[Any]]:
    """What `balances.py` of the example reads from the ledger's files."""
    done = run(Command("python balances.py"), root)
    assert done.returncode == 0, done.stderr
    return [[account, int(cents)] for account, cents in map(str.split, done.stdout.splitlines())]


def lines(root: Path) -> int:
    """How many lines of statements are committed."""
    path = root / ".flow/Accounts/stores/Statements/statements.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'lines'").fetchall():
            return 0  # its first transaction is on its way
        count: int = db.execute("SELECT count(*) FROM lines").fetchone()[0]
        return count


def wait_lines(up: KillableRun, root: Path, count: int) -> None:
    def look() -> bool:
        assert up.is_up(), f"over before a process could be killed\n{up.output()}"
        return lines(root) >= count

    until(f"{count} lines", look, up.output)


@pytest.mark.slow
def test_a_ledger_that_is_killed_counts_each_payment_once(tmp_path: Path) -> None:
    """Spec 8.22, 8.25: both replicas are killed in turns, each time further on."""
    root = copy_example("accounts", tmp_path)
    set_args(root, "payments = 3000", f"payments = {PAYMENTS}")
    with killable_run("accounts.flow", root) as up:
        for number in range(KILLS):
            wait_lines(up, root, 1 + number * PAYMENTS // (2 * KILLS))
            up.kill_replica("Ledger", number % 2)
        code = up.wait(timeout_s=120)
    assert code == 0, up.output()
    assert rows(root, ANSWERS) == [[PAYMENTS, PAYMENTS]]
    assert rows(root, MISBOOKED) == [[0]]
    assert balances(root) == rows(root, BOOKS)
    assert lines(root) == PAYMENTS
