"""`flowc run` of services with stores (spec: 8.20 to 8.29)."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from support.tiny import Tiny

FLOW = """
system Tiny
external event Placed key k {{ k: string  n: int }}
event Paid key k {{ k: string  n: int }}
service Pay {{ run python "app.pay"  store {store}  on Placed -> Paid }}
service Ship {{ run python "app.ship"  replicas {replicas}  store shipped per partition  on Paid }}
"""
PAY = """
from flowc.events import Paid

def setup_store(store):
    store.execute("CREATE TABLE sums (k TEXT PRIMARY KEY, events INTEGER, total INTEGER)")

def on_placed(event, ctx):
    (count,) = ctx.store.execute(
        "INSERT INTO sums VALUES (?, 1, ?) ON CONFLICT (k) DO UPDATE SET events = events + 1, "
        "total = total + excluded.total RETURNING events", (event.k, event.n)
    ).fetchone()
    return Paid(k=event.k, n=event.n)
"""
SHIP = """
def setup_store(store):
    store.execute("CREATE TABLE shipped (k TEXT, n INTEGER)")

def on_paid(batch, ctx):
    rows = zip(batch["k"].to_pylist(), batch["n"].to_pylist())
    ctx.store.executemany("INSERT INTO shipped VALUES (?, ?)", rows)
"""


class Stored(Tiny):
    """`Placed` → Pay, which sums up → `Paid` → Ship, which writes down; each in its store."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.declare()
        self.write("app/pay.py", PAY)
        self.write("app/ship.py", SHIP)

    def declare(self, store: str = "sums", replicas: int = 1) -> None:
        self.write("main.flow", FLOW.format(store=store, replicas=replicas))

    def emit(self, begin: int, end: int) -> None:
        lines = "".join(f'{{"k": "k{n % 7}", "n": {n}}}\n' for n in range(begin, end))
        done = self.flowc("emit", "main.flow", "Placed", "-", stdin=lines)
        assert done.returncode == 0, done.stderr

    @property
    def stores(self) -> Path:
        return self.state.path / "stores"

    def assert_once(self, count: int, store: str = "sums") -> None:
        """The files say that each event was handled once, and in the order of its key."""
        self.assert_complete(count)
        with sqlite3.connect(self.stores / "Pay" / f"{store}.db") as db:
            found = db.execute("SELECT sum(events), sum(total) FROM sums").fetchone()
        assert found == (count, count * (count - 1) // 2)
        shipped = []
        for path in (self.stores / "Ship" / "shipped").glob("*.db"):
            with sqlite3.connect(path) as db:
                rows = db.execute("SELECT k, n FROM shipped ORDER BY rowid").fetchall()
            for key in {k for k, _ in rows}:
                own = [n for k, n in rows if k == key]
                assert own == sorted(own)
            shipped += [n for _, n in rows]
        assert sorted(shipped) == list(range(count))


@pytest.fixture
def project(tmp_path: Path) -> Stored:
    return Stored(tmp_path / "p")


@pytest.mark.slow
def test_a_store_that_is_gone_is_told_and_goes_on_once_it_is_back(project: Stored) -> None:
    """Spec 8.26, 8.29: and a new run goes on where the last one ended."""
    project.emit(0, 300)
    project.summary()
    project.assert_once(300)
    folder = project.stores / "Pay"
    folder.rename(project.root / "away")
    project.emit(300, 500)
    done = project.flowc("run", "main.flow", "--until-idle")
    assert done.returncode == 3
    assert "sums.db is gone: Pay had handled the events up to offset" in done.stderr
    assert "give the store another name in the declaration" in done.stderr
    assert done.stderr.count("is gone") < 5, "another start would end the same way"
    shutil.rmtree(folder, ignore_errors=True)
    (project.root / "away").rename(folder)
    project.summary()
    project.assert_once(500)


@pytest.mark.slow
def test_a_new_store_is_filled_from_the_log(project: Stored) -> None:
    """Spec 8.28: so is one with another name, and `--fresh` begins with none (8.29)."""
    project.emit(0, 2_000)
    project.summary()
    project.declare("totals", replicas=2)
    project.emit(2_000, 3_000)
    project.summary()
    project.assert_once(3_000, "totals")
    assert (project.stores / "Pay" / "sums.db").exists(), "what was there is not deleted"
    project.feed(500)
    project.summary("--fresh")
    project.assert_once(500, "totals")
    assert not (project.stores / "Pay" / "sums.db").exists()


@pytest.mark.slow
def test_replicas_come_and_go(project: Stored) -> None:
    """Spec 8.25: a partition's file goes with it."""
    for begin, replicas in ((0, 1), (2_000, 2), (4_000, 3), (6_000, 1)):
        project.declare(replicas=replicas)
        project.emit(begin, begin + 2_000)
        project.summary()
        project.assert_once(begin + 2_000)
