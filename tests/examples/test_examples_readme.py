"""What the READMEs show is what happens: their commands are run in order, in a copy."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from support.console import commands, run, shows
from support.examples import EXAMPLES, copy_example, project


def follow_readme(name: str, to: Path, exit_code: int = 0) -> Path:
    """Do what an example's README does, in a copy of it; its root comes back."""
    root = copy_example(name, to)
    shown = commands((EXAMPLES / name / "README.md").read_text(encoding="utf-8"))
    assert shown
    for command in shown:
        done = run(command, root)
        assert done.returncode == exit_code, f"{command.line}\n{done.stdout}{done.stderr}"
        assert shows(done.stdout, command.shown), f"$ {command.line}\n{done.stdout}"
    return root


@pytest.mark.slow  # a month
def test_the_airline(tmp_path: Path) -> None:
    follow_readme("airline", tmp_path)


def test_the_broken_shop(tmp_path: Path) -> None:
    follow_readme("broken", tmp_path, exit_code=1)


def test_the_shop_and_its_promises(tmp_path: Path) -> None:
    """Orders end, and stock is not oversold, in whatever order payments and stock took turns."""
    root = follow_readme("shop", tmp_path)
    with duckdb.connect(str(root / ".flow/Shop/log.duckdb"), read_only=True) as log:
        assert log.execute(
            "SELECT count(*), count(DISTINCT order_id) FROM OrderPlaced"
        ).fetchall() == [(2000, 2000)]
        ends = "SELECT order_id FROM OrderShipped UNION ALL SELECT order_id FROM OrderCancelled"
        assert not log.execute(
            f"SELECT order_id FROM OrderPlaced EXCEPT ALL ({ends})"
        ).fetchall(), "an order without an end"
        assert log.execute(f"SELECT count(*) FROM ({ends})").fetchall() == [(2000,)]
        assert not log.execute(
            "SELECT * FROM PaymentTaken JOIN OrderPlaced USING (order_id) WHERE amount <> total"
        ).fetchall()
        sold = log.execute(
            "SELECT line.sku, sum(line.qty)::INTEGER FROM (SELECT unnest(lines) AS line "
            "FROM OrderPlaced SEMI JOIN OrderShipped USING (order_id)) GROUP BY ALL"
        ).fetchall()
    with project("shop") as shop:
        shelves = shop.load("services.stock").SHELVES
    assert {sku for sku, _ in sold} == set(shelves)
    assert all(qty <= shelves[sku] for sku, qty in sold)


@pytest.mark.slow  # a run after a run
def test_the_tickets(tmp_path: Path) -> None:
    """Deadlines that are out when a run ends are met by the next (4.25, 9.15)."""
    root = follow_readme("tickets", tmp_path)
    with duckdb.connect(str(root / ".flow/Tickets/log.duckdb"), read_only=True) as log:
        both = "SELECT seat FROM TicketIssued UNION ALL SELECT seat FROM SeatReleased"
        assert log.execute(f"SELECT count(*), count(DISTINCT seat) FROM ({both})").fetchall() == [
            (6, 6)
        ]
        assert log.execute("SELECT count(*) FROM SalesCounted").fetchone() in {(1,), (2,)}


def test_the_accounts(tmp_path: Path) -> None:
    """What is in the ledger's files is what the log says (8.20, 8.25)."""
    follow_readme("accounts", tmp_path)


@pytest.mark.parametrize(
    ("shown", "is_so"),
    [
        (["a 1", "b #2"], True),
        (["a 1", "b #3"], True),
        (["a 1", "…"], True),
        (["…"], True),
        (["…", "b #2"], True),
        (["a 1"], False),
        (["b …", "…"], False),
        (["b #2", "a 1"], False),
    ],
)
def test_the_comparison_can_fail(shown: list[str], is_so: bool) -> None:
    assert shows("a 1\nb #2\n", shown) is is_so


def test_branches_come_in_any_order() -> None:
    tree = "a #1\n├── b #2  +1.5 ms\n│   └── c #4  +2.0 ms\n└── d #3  +1.0 ms\n"
    assert shows(tree, ["a #9", "├── d #8  +1.0 ms", "└── b #7  +0.1 ms", "    └── c #6  +9.0 ms"])
    assert not shows(tree, ["a #9", "└── b #7  +0.1 ms", "    └── c #6  +9.0 ms"])
