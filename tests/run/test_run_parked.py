"""`flowc parked`: looking at what failed, and having it handled again (spec 4.22, 4.23, 9.26)."""

import json
from pathlib import Path

import pytest

from support.tiny import Tiny, until

FAILS = """
from flowc.events import Paid

def on_placed(event):
    if event.n % 10 == 3:
        raise ValueError(f"no {event.n}")
    return Paid(k=event.k, n=event.n)
"""
AT_ONCE = """
import flowc
from flowc.events import Placed

def feed(count):
    columns = {"k": [f"k{n % 7}" for n in range(count)], "n": list(range(count))}
    yield flowc.Batch.of(Placed, columns)
"""  # so that no offset between them is another event's, however slow the machine is
FLOW = """
system Tiny
external event Placed key k { k: string  n: int }
event Paid key k { k: string  n: int }
service Pay { run python "app.pay" on Placed -> Paid  retry 1 backoff 1ms to 2ms then park }
service Ship { run python "app.ship" on Paid }
"""


@pytest.fixture
def failed(tmp_path: Path) -> Tiny:
    return make_failed(tmp_path / "p")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_failed(tmp_path_factory.mktemp("parked") / "p")


def make_failed(root: Path) -> Tiny:
    """Of 30 events, 3, 13 and 23 are parked."""
    project = Tiny(root)
    project.write("main.flow", FLOW)
    project.write("app/mended.py", project.root.joinpath("app/pay.py").read_text())
    project.write("app/pay.py", FAILS)
    project.write("app/feed.py", AT_ONCE)
    project.feed(30)
    summary = project.summary()
    assert [s["parked"] for s in summary["services"]] == [3, 0]
    return project


def mend(project: Tiny) -> None:
    project.write("app/pay.py", project.root.joinpath("app/mended.py").read_text())


@pytest.mark.slow  # a run after a run
def test_without_a_run(failed: Tiny) -> None:
    listed = json.loads(failed.flowc("parked", "list", "main.flow", "--json").stdout)
    assert sorted(p["offset"] for p in listed["parked"]) == [3, 13, 23]
    assert {p["error"].splitlines()[0] for p in listed["parked"]} == {
        "ValueError: no 3", "ValueError: no 13", "ValueError: no 23",
    }  # fmt: skip
    shown = failed.flowc("parked", "show", "main.flow", "13")
    assert "n: 13\n" in shown.stdout
    assert "gave up after 2 attempts" in shown.stdout
    assert "on_placed" in shown.stdout

    tried = failed.flowc("parked", "retry", "main.flow", "--all", "--dry-run")
    assert tried.stdout.splitlines() == ["3  Placed  Pay", "13  Placed  Pay", "23  Placed  Pay"]
    dropped = failed.flowc("parked", "drop", "main.flow", "23")
    assert dropped.stdout == "1 event of Pay is dropped\n"

    retried = failed.flowc("parked", "retry", "main.flow", "3", "13")
    assert retried.stdout == "2 events of Pay are handled again\n"
    assert "flowc run main.flow` will handle them" in retried.stderr
    failed.summary()  # it still fails, and parks them again
    again = json.loads(failed.flowc("parked", "list", "main.flow", "--json").stdout)
    assert [(p["offset"], p["times"]) for p in sorted(again["parked"], key=str)] == [
        (13, 2), (3, 2),
    ]  # fmt: skip

    mend(failed)
    assert failed.flowc("parked", "retry", "main.flow", "--service", "Pay").returncode == 0
    failed.summary()
    empty = failed.flowc("parked", "list", "main.flow")
    assert (empty.stdout, empty.stderr) == ("", "nothing is parked\n")
    assert failed.sql("SELECT count(*), count(DISTINCT n) FROM Paid") == [(29, 29)]
    assert failed.sql("SELECT count(*) FROM Paid WHERE n = 23") == [(0,)]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["retry", "main.flow"], 2, "name offsets, --service, --event or --all"),
        (["retry", "main.flow", "--all", "3"], 2, "--all takes all"),
        (["retry", "main.flow", "3", "4", "5"], 1, "not parked: 4, 5; `flowc parked list`"),
        (["drop", "main.flow", "--service", "Pai"], 1, "did you mean `Pay`?"),
        (["show", "main.flow", "4"], 1, "event 4 was never parked"),
        (["list", "other.flow"], 2, "can't read"),
    ],
)
def test_what_it_refuses(untouched: Tiny, args: list[str], code: int, message: str) -> None:
    done = untouched.ask("parked", *args)
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr


def test_before_any_run(tmp_path: Path) -> None:
    done = Tiny(tmp_path / "p").ask("parked", "list", "main.flow")
    assert done.exit_code == 2
    assert "start it with `flowc run main.flow`" in done.stderr


def test_into_a_run(untouched: Tiny) -> None:
    """The last of this file: it takes the events away."""
    mend(untouched)
    with untouched.up():
        untouched.wait_ready()
        done = untouched.flowc("parked", "retry", "main.flow", "--event", "Placed", "--json")
        answer = json.loads(done.stdout)
        assert answer["services"]["Pay"] == {"done": [3, 13, 23], "later": [], "gone": []}

        def handled() -> bool:
            found = untouched.flowc("log", "main.flow", "SELECT count(*) FROM Paid", "--csv")
            return found.stdout == "count_star()\n30\n"

        until("they are handled", handled, untouched.logs)
