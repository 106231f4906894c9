"""Service processes with stores, killed while they handle and while they commit (spec: 8.25)."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from flowc_dsl import compile_program
from support.broker import wait_for
from support.project import Project

FLOW = """
system Tiny
external event Placed key k { k: string  n: int }
event Paid key k { k: string  n: int }
service Pay { run python "app:Pay"  store sums  on Placed -> Paid }
service Ship { run python "app:Ship"  replicas 2  store shipped per partition  on Paid }
"""
APP = """
    from flowc.events import Paid

    class Pay:
        def setup_store(self, store):
            store.execute("CREATE TABLE sums (k TEXT PRIMARY KEY, events INTEGER, total INTEGER)")

        def on_placed(self, event, ctx):
            ctx.store.execute(
                "INSERT INTO sums VALUES (?, 1, ?) ON CONFLICT (k) DO UPDATE SET "
                "events = events + 1, total = total + excluded.total", (event.k, event.n)
            )
            return Paid(k=event.k, n=event.n)

    class Ship:
        def setup_store(self, store):
            store.execute("CREATE TABLE shipped (o INTEGER, n INTEGER)")

        def on_paid(self, event, ctx):
            ctx.store.execute("INSERT INTO shipped VALUES (?, ?)", (ctx.offset, event.n))
"""
SLOTS = (("Pay", 0), ("Ship", 0), ("Ship", 1))
KILLS, CHUNK = 60, 300


@pytest.mark.slow
def test_processes_killed_at_random_while_they_commit(tmp_path: Path) -> None:
    """What is in the files is the sum of all events, exactly; so is what was emitted."""
    dice = random.Random(4)
    plan = compile_program({"m": FLOW}, "m").plan()
    with Project(tmp_path, plan, app=APP) as project:
        for slot in SLOTS:
            project.start(*slot)
        count = 0
        for kill in range(KILLS):
            numbers = range(count, count + CHUNK)
            columns = {"k": [f"k{n % 23}" for n in numbers], "n": list(numbers)}
            project.publish(("Placed", columns))
            count += CHUNK
            goal = sum(size(tmp_path)) + dice.randrange(CHUNK)
            wait_for("it has gone on", lambda g=goal, c=count: sum(size(tmp_path)) >= min(g, 2 * c))
            victim = SLOTS[kill % len(SLOTS)]
            project.kill(*victim)
            project.start(*victim)
            if kill % 20 == 19:
                project.broker.kill()
                project.broker.start()
        project.wait_idle()
        paid = [e["n"] for e in project.events("Paid")]
    assert sorted(paid) == list(range(count))
    with sqlite3.connect(tmp_path / "stores" / "Pay" / "sums.db") as db:
        found = db.execute("SELECT sum(events), sum(total) FROM sums").fetchone()
    assert found == (count, count * (count - 1) // 2)
    assert sorted(shipped(tmp_path)) == list(range(count))
    print(f"{KILLS} kills, {count} events, sums exact")


def size(folder: Path) -> list[int]:
    """How much there is, so far: of Pay, and of Ship."""
    return [pay(folder), len(shipped(folder))]


def pay(folder: Path) -> int:
    path = folder / "stores" / "Pay" / "sums.db"
    return sum(n for (n,) in rows(path, "SELECT sum(events) FROM sums") if n is not None)


def shipped(folder: Path) -> list[int]:
    paths = (folder / "stores" / "Ship" / "shipped").glob("*.db")
    return [n for path in paths for (n,) in rows(path, "SELECT n FROM shipped")]


def rows(path: Path, sql: str) -> list[tuple[int | None]]:
    """What another process reads meanwhile; nothing, before there is something to read."""
    if not path.exists():
        return []
    db = sqlite3.connect(path, timeout=30)
    try:
        return db.execute(sql).fetchall()
    except sqlite3.OperationalError as error:
        assert "no such table" in str(error)
        return []
    finally:
        db.close()
