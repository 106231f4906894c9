"""Handlers that wait, in a real run: what is killed between setting a deadline and meeting it
(spec 4.25 to 4.29)."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.tiny import Tiny, until

FLOW = """
system Tiny
external event Placed key k { k: string  n: int }
external event Paid key k { k: string  n: int }
event Late key k { k: string  n: int }
event Paired key k { k: string  n: int }
event Ticked key k { k: string }
service Watch {
  run python "app.watch" STATELESS
  after 2s of Placed unless Paid -> Late
  on Placed & Paid by k -> Paired
  every 1h -> Ticked
}
service Ship { run python "app.ship"  on Late | Paired | Ticked as take }
"""
WATCH = """
from flowc.events import Paired, Late, Ticked

def after_placed(placed, ctx):
    return Late(k=placed.k, n=placed.n)

def on_placed_and_paid(placed, paid):
    return Paired(k=placed.k, n=100 * placed.n + paid.n)

def every_1h():
    return Ticked(k="hour")
"""
SHIP = """
def take(event):
    pass
"""
COUNT = 20


def flow(after: str = "2s", stateless: str = "") -> str:
    return FLOW.replace("2s of", f"{after} of").replace("STATELESS", stateless)


def made(folder: Path, text: str, watch: str = WATCH) -> Tiny:
    project = Tiny(folder / "p")
    project.write("main.flow", text)
    project.write("app/watch.py", watch)
    project.write("app/ship.py", SHIP)
    return project


@pytest.fixture(params=["", "stateless"], ids=["remembers", "stateless"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Tiny:
    return made(tmp_path, flow(stateless=request.param))


def emit(project: Tiny, event: str, numbers: range) -> None:
    lines = "".join(f'{{"k": "k{n}", "n": {n}}}\n' for n in numbers)
    done = project.flowc("emit", "main.flow", event, "-", stdin=lines)
    assert done.returncode == 0, done.stderr


def rows(project: Tiny, query: str) -> list[tuple[Any, ...]]:
    """Of the whole log, which a short run leaves behind."""
    assert project.flowc("log", "main.flow").returncode == 0
    return project.sql(query)


def waiting(project: Tiny) -> int:
    status = project.status()
    return sum(slot.open for slot in status.slots) if status is not None else -1


@pytest.mark.slow
@pytest.mark.parametrize("victims", [["service-Watch-0", "broker"], ["broker"], ["all"]])
def test_deadlines_and_joins_survive_what_is_killed(project: Tiny, victims: list[str]) -> None:
    """Each is met once, or cancelled; each pair is joined once."""
    paid = range(0, COUNT, 2)
    with project.up() as run:
        project.wait_ready()
        emit(project, "Placed", range(COUNT))
        until("deadlines are set", lambda: waiting(project) >= COUNT, project.logs)
        for victim in victims:
            if victim == "all":
                run.kill()
            else:
                os.kill(project.pids(run)[victim], signal.SIGKILL)
        if victims != ["all"]:
            emit(project, "Paid", paid)
            project.wait_offset(3 * COUNT)
            run.send_signal(signal.SIGINT)
            project.finish(run)
    if victims == ["all"]:
        emit(project, "Paid", paid)
        with project.up() as run:
            project.wait_offset(3 * COUNT)
            run.send_signal(signal.SIGINT)
            project.finish(run)
    project.summary()
    late = rows(project, "SELECT n FROM Late ORDER BY n")
    cancelled = set(paid) - {n for (n,) in late}
    assert len(late) == len(set(late))
    assert {n for (n,) in late} | cancelled == set(range(COUNT))
    behind = rows(
        project,
        'SELECT Late.n FROM Late JOIN "Watch.after_placed" AS due ON Late._cause = due._offset '
        "JOIN Paid ON Paid.k = Late.k WHERE Paid._offset < due._offset",
    )
    assert behind == []
    both = rows(project, "SELECT n FROM Paired ORDER BY n")
    assert both == [(101 * n,) for n in paid]
    due = rows(project, 'SELECT count(*), count(DISTINCT _cause) FROM "Watch.after_placed"')
    assert due[0][0] == due[0][1]
    early = rows(
        project,
        'SELECT * FROM "Watch.after_placed" AS due JOIN Placed ON due._cause = Placed._offset '
        "WHERE due._time < Placed._time + INTERVAL 2 SECONDS",
    )
    assert early == []
    ticks = rows(project, 'SELECT count(*), count(DISTINCT number) FROM "Watch.every_1h"')
    assert ticks[0][0] == ticks[0][1] >= 1
    assert rows(project, "SELECT count(*) FROM _parked") == [(0,)]
    drift = json.loads(project.flowc("drift", "main.flow", "--json").stdout)
    assert (drift["coverage"]["undeclared"], drift["coverage"]["seen"]) == (0, 4)


def test_a_run_until_idle_says_what_is_still_out(tmp_path: Path) -> None:
    project = made(tmp_path, flow("1h"))
    emit(project, "Placed", range(3))
    done = project.flowc("run", "main.flow", "--until-idle")
    assert done.returncode == 0, done.stderr
    assert "Watch: 6 events for which a deadline or a partner is still out" in done.stdout
    assert project.summary()["services"][0]["waiting"] == 6


@pytest.mark.slow
def test_a_deadline_that_is_no_longer_declared_is_no_change_of_the_log(tmp_path: Path) -> None:
    declared = flow("1ms")
    project = made(tmp_path, declared)
    emit(project, "Placed", range(3))
    project.summary()
    assert rows(project, "SELECT n FROM Late ORDER BY n") == [(0,), (1,), (2,)]
    without = [line for line in declared.splitlines() if not line.startswith("  after")]
    gone = "\n".join(without).replace("event Late", "external event Late")
    project.write("main.flow", gone)
    emit(project, "Placed", range(3, 5))
    project.summary()
    project.write("main.flow", declared)
    emit(project, "Placed", range(5, 6))
    project.summary()
    assert rows(project, "SELECT n FROM Late ORDER BY n") == [(0,), (1,), (2,), (5,)]


def test_what_is_missing_in_the_code_is_said(tmp_path: Path) -> None:
    project = made(tmp_path, flow(), WATCH.replace("after_placed", "after_place"))
    done = project.flowc("run", "main.flow", "--until-idle")
    assert done.returncode == 3
    assert "Watch handles a deadline of Placed" in done.stderr
    assert "no function after_placed; did you mean after_place" in done.stderr


@pytest.mark.slow
def test_a_deadline_of_an_older_version_is_met_in_the_one_declared_now(tmp_path: Path) -> None:
    """Spec 4.19, 4.29."""
    project = made(tmp_path, flow("1h"))
    emit(project, "Placed", range(2))
    project.summary()
    lifted = flow("1ms").replace(
        "Placed key k { k: string  n: int }",
        "Placed v2 key k { k: string  m: int  upcast v1 { rename n to m } }",
    )
    project.write("main.flow", lifted)
    project.write("app/watch.py", WATCH.replace("placed.n", "placed.m"))
    project.summary()
    assert rows(project, "SELECT n FROM Late ORDER BY n") == [(0,), (1,)]


@pytest.mark.slow
def test_a_join_whose_events_get_other_fields_needs_another_name(tmp_path: Path) -> None:
    """Spec 4.29."""
    project = made(tmp_path, flow("1h"))
    emit(project, "Placed", range(2))
    emit(project, "Paid", range(2))
    project.summary()
    lifted = flow("1h").replace(
        "Placed key k { k: string  n: int }",
        "Placed v2 key k { k: string  m: int  upcast v1 { rename n to m } }",
    )
    project.write("main.flow", lifted)
    refused = project.flowc("run", "main.flow", "--until-idle")
    assert refused.returncode == 3, refused.stderr
    assert "Placed & Paid were joined with other fields" in refused.stderr
    assert "give the handler another name with `as NAME`" in refused.stderr
    project.write("main.flow", lifted.replace("by k ->", "by k as pair ->"))
    project.write(
        "app/watch.py",
        WATCH.replace("placed.n", "placed.m").replace("def on_placed_and_paid", "def pair"),
    )
    project.summary()
    assert rows(project, "SELECT n FROM Paired ORDER BY n") == [(0,), (101,)]
