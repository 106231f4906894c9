"""A system that evolves while its state stays: real processes, two versions (spec 4.19 to 4.21,
5.10, 6.8, 9.13)."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from flowc_engine.generations import read_history, stored_plan
from support.tiny import FLOW, Tiny, interrupt, until

SECOND = """
system Tiny
external event Placed v2 key k {
  k: string  amount: float  unit: string  note: string?
  upcast v1 { rename n to amount  unit = "EUR" }
}
event Paid v2 key id {
  id: string  n: float
  upcast v1 { rename k to id }
}
service Pay { run python "app.pay" on Placed -> Paid }
service Ship { run python "app.ship" on Paid }
service Audit { run python "app.audit" on Placed on Paid }
"""
SECOND_PAY = """
from flowc.events import Paid

def on_placed(event):
    return Paid(id=event.k, n=event.amount)
"""
SECOND_FEED = """
from flowc.events import Placed

def feed(count):
    for n in range(count):
        yield Placed(k=f"k{n % 7}", amount=n + 0.5, unit="USD")
"""
SEEN = """
import json

def _write(event, ctx):
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    with open("seen-%s.jsonl" % __name__.rpartition(".")[2], "a") as file:
        said = [ctx.offset, type(event).__name__, ctx.replaying, fields]
        file.write(json.dumps(said) + "\\n")

def on_placed(event, ctx):
    _write(event, ctx)

def on_paid(event, ctx):
    _write(event, ctx)
"""
OLD, NEW = 50, 30


@pytest.fixture
def project(tmp_path: Path) -> Tiny:
    """After a run of the first version."""
    made = Tiny(tmp_path / "p")
    made.feed(OLD)
    made.summary()
    return made


def evolve(project: Tiny, count: int = NEW) -> None:
    """Write the second version, with a source of its own."""
    project.write("main.flow", SECOND)
    project.write("app/pay.py", SECOND_PAY)
    project.write("app/ship.py", SEEN)
    project.write("app/audit.py", SEEN)
    project.write("app/feed.py", SECOND_FEED)
    project.write(
        "flow.toml", f'[sources.more]\npython = "app.feed:feed"\nargs = {{ count = {count} }}\n'
    )


def settled(project: Tiny) -> dict[str, Any]:
    """After a run, with all of it in the log's file."""
    summary = project.summary()
    done = project.flowc("log", "main.flow")
    assert done.returncode == 0, done.stderr
    return summary


def seen(project: Tiny, service: str) -> list[tuple[int, str, bool, dict[str, Any]]]:
    text = (project.root / f"seen-{service}.jsonl").read_text()
    return [tuple(json.loads(line)) for line in text.splitlines()]


def expected(event: str) -> list[dict[str, Any]]:
    """All events of a type in the second version, in their order."""
    old = [(f"k{n % 7}", float(n)) for n in range(OLD)]
    new = [(f"k{n % 7}", n + 0.5) for n in range(NEW)]
    if event == "Paid":
        return [{"id": k, "n": n} for k, n in (*old, *new)]
    return [
        {"k": k, "amount": n, "unit": unit, "note": None}
        for unit, rows in (("EUR", old), ("USD", new))
        for k, n in rows
    ]


def test_services_and_the_log_get_old_events_as_they_are_declared_now(project: Tiny) -> None:
    evolve(project)
    summary = settled(project)
    assert summary["events"] == 2 * NEW
    assert sum(service["parked"] for service in summary["services"]) == 0
    audit = seen(project, "audit")  # it is new: it catches up with everything
    for event in ("Placed", "Paid"):
        assert [fields for _, name, _, fields in audit if name == event] == expected(event)
    assert not any(replaying for _, _, replaying, _ in audit)
    ship = seen(project, "ship")  # it was there: its memory is rebuilt
    assert [fields for *_, fields in ship] == expected("Paid")
    assert [replaying for _, _, replaying, _ in ship] == [True] * OLD + [False] * NEW
    for event in ("Placed", "Paid"):
        rows = project.sql(f"SELECT * EXCLUDE (_offset, _time, _source, _cause, _root, _partition) "
                           f"FROM {event} ORDER BY _offset")  # fmt: skip
        versions = [1] * OLD + [2] * NEW
        assert rows == [(*e.values(), v) for e, v in zip(expected(event), versions, strict=True)]
    listed = project.flowc("log", "main.flow", "SELECT key FROM _events", "--json").stdout
    assert len(json.loads(listed)["rows"]) == 2 * (OLD + NEW)
    [(k, n)] = project.sql('SELECT k, n FROM "Paid@v1" ORDER BY _offset LIMIT 1')
    assert (k, n) == ("k0", 0)


@pytest.mark.slow
def test_a_log_that_is_rebuilt_has_the_same_rows(project: Tiny) -> None:
    evolve(project)
    settled(project)
    queries = [f"SELECT * FROM {event} ORDER BY _offset" for event in ("Placed", "Paid", "_events")]
    before = [project.sql(query) for query in queries]
    project.state.log_file.unlink()
    done = project.flowc("log", "main.flow")
    assert done.returncode == 0, done.stderr
    assert [project.sql(query) for query in queries] == before


@pytest.mark.slow
def test_a_broker_that_is_killed_meanwhile_changes_nothing(project: Tiny) -> None:
    evolve(project, count=2_000)
    with project.up() as run:
        for offset in (2 * OLD + 1, 2 * OLD + 500):
            project.wait_offset(offset)
            os.kill(project.pids(run)["broker"], signal.SIGKILL)
        project.wait_offset(2 * OLD + 4_000)
        until("audit has seen all", lambda: len(audit_offsets(project)) == 2 * OLD + 4_000)
        interrupt(run)
        project.finish(run)
    assert project.flowc("log", "main.flow").returncode == 0
    history = read_history(project.state.schemas_file, stored_plan(project.state))
    assert [g.begin for g in history.generations] == [0, 2 * OLD]
    for event in ("Placed", "Paid"):
        assert project.sql(f"SELECT _version, count(*) FROM {event} GROUP BY ALL ORDER BY ALL") == [
            (1, OLD), (2, 2_000),
        ]  # fmt: skip
    first = [fields for _, name, _, fields in seen(project, "audit") if name == "Placed"][:OLD]
    assert first == expected("Placed")[:OLD]


def audit_offsets(project: Tiny) -> set[int]:
    try:
        return {offset for offset, *_ in seen(project, "audit")}
    except (FileNotFoundError, json.JSONDecodeError):
        return set()


@pytest.mark.slow
def test_a_state_of_an_older_flowc_is_read_and_evolves(project: Tiny) -> None:
    """What it wrote has no registry, and a plan without upcasts."""
    plan = json.loads(project.state.plan_file.read_text())
    for event in plan["events"]:
        del event["upcasts"]
    project.state.plan_file.write_text(json.dumps(plan | {"format": 1}))
    project.state.schemas_file.unlink()
    sql = "SELECT count(*), sum(n) FROM Placed"
    assert project.flowc("log", "main.flow", sql, "--csv").stdout.splitlines()[1] == (
        f"{OLD},{sum(range(OLD))}"
    )
    evolve(project)
    project.summary()
    audit = seen(project, "audit")
    assert [fields for _, name, _, fields in audit if name == "Placed"] == expected("Placed")


@pytest.mark.slow
def test_emit_adopts_what_a_run_would(project: Tiny) -> None:
    evolve(project)
    event = '{"k": "a", "amount": 1.5, "unit": "GBP"}'
    done = project.flowc("emit", "main.flow", "Placed", event)
    assert (done.returncode, done.stdout) == (0, f"Placed durable at offset {2 * OLD}\n")
    sql = "SELECT unit, _version, count(*) AS n FROM Placed GROUP BY ALL ORDER BY ALL"
    done = project.flowc("log", "main.flow", sql, "--csv")
    assert done.stdout.splitlines()[1:] == [f"EUR,1,{OLD}", "GBP,2,1"]


OLD_PAID = "event Paid key k { k: string  n: int }"
REFUSED = {
    "event Paid key k { k: string  n: int  m: int? }": (
        "event Paid: v1 is stored with other fields (m is new); declare it as v2, with "
        "`upcast v1 { }`"
    ),
    "event Paid v2 key k { k: string  cents: int }": (
        "event Paid: v1 has no cents, which is not optional; write "
        "`upcast v1 { rename n to cents }` if `n` became `cents`, else `cents = …`"
    ),
    "event Paid v2 key n { k: string  n: int }": (
        "event Paid: the key of v1 was k, and now is n; order hangs on it: keep it, rename it in "
        "an upcast, or declare a new event beside"
    ),
}


@pytest.mark.slow
def test_what_can_not_be_lifted_is_refused(project: Tiny) -> None:
    for new, message in REFUSED.items():
        project.write("main.flow", FLOW.replace(OLD_PAID, new))
        for command in ("run main.flow --until-idle", 'emit main.flow Placed {"k":"a","n":1}'):
            done = project.ask(*command.split())
            assert done.exit_code == 3
            held = f"{project.state.path} holds events that can't be read as they are declared now:"
            assert done.stderr.splitlines()[-3:] == [
                f"error: {held}",
                f"  {message}",
                "or start over with `--fresh` (it deletes the journal and the log)",
            ]
    project.write("app/pay.py", "def on_placed(event):\n    return None\n")
    project.write("flow.toml", "")
    project.summary("--fresh")
