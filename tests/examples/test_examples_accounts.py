"""The accounts, with processes that are killed: the ledger's files and the log agree."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.console import Command, flowc, run
from support.examples import copy_example, set_args
from support.killing import DEADLINE_S, KillableRun, killable_run
from support.tiny import until

PAYMENTS = 30_000
KILLS = 2  # a replica: what a process dies of three times is parked (4.30)
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


def read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)


def lines(root: Path) -> int:
    """How many lines of statements are committed."""
    path = root / ".flow/Accounts/stores/Statements/statements.db"
    if not path.exists():
        return 0
    with closing(read_only(path)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'lines'").fetchall():
            return 0  # its first transaction is on its way
        count: int = db.execute("SELECT count(*) FROM lines").fetchone()[0]
        return count


def wait_commits(up: KillableRun, root: Path, count: int) -> None:
    """Until so many commits of the ledger were seen: the step of the last is hardly sent."""

    def look() -> bool:
        assert up.is_up(), f"over before a process could be killed\n{up.output()}"
        return lines(root) > 0

    until("a line", look, up.output)
    paths = (root / ".flow/Accounts/stores/Ledger/ledger").glob("*.db")
    with ExitStack() as stack:
        files = [stack.enter_context(closing(read_only(path))) for path in paths]

        def versions() -> list[Any]:
            return [file.execute("PRAGMA data_version").fetchone() for file in files]

        end = time.monotonic() + DEADLINE_S
        for _ in range(count):
            before = versions()
            while versions() == before:  # no pause: what comes next takes milliseconds
                assert up.is_up(), up.output()
                assert time.monotonic() < end, up.output()


@pytest.mark.slow
def test_a_ledger_that_is_killed_counts_each_payment_once(tmp_path: Path) -> None:
    """Spec 8.22, 8.25: the replicas are killed right behind a commit of one."""
    root = copy_example("accounts", tmp_path)
    set_args(root, "payments = 3000", f"payments = {PAYMENTS}")
    with killable_run("accounts.flow", root) as up:
        for _ in range(KILLS):
            replicas = up.replicas_of("Ledger", 2)
            wait_commits(up, root, 10)
            for replica in replicas:
                replica.kill()
            assert not psutil.wait_procs(replicas, timeout=DEADLINE_S)[1]
        code = up.wait(timeout_s=120)
    assert code == 0, up.output()
    assert rows(root, ANSWERS) == [[PAYMENTS, PAYMENTS]]
    assert rows(root, MISBOOKED) == [[0]]
    assert balances(root) == rows(root, BOOKS)
    assert lines(root) == PAYMENTS
