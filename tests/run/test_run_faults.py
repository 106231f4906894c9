"""`flowc run` while processes are killed: nothing acknowledged is lost, nothing is doubled."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from support.figures import Figures, record
from support.tiny import FLOWC, Tiny, until

pytestmark = pytest.mark.slow
COUNT = 20_000
KILLS = """
import os
import signal
from flowc.events import Paid

def on_placed(event):
    if event.n == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return Paid(k=event.k, n=event.n)
"""
KILLS_BATCH = """
import os
import flowc
from flowc.events import Paid

def on_placed(batch):
    if 20 in batch["n"].to_pylist():
        os._exit(9)
    return flowc.Batch.of(Paid, {"k": batch["k"], "n": batch["n"]})
"""


@pytest.fixture
def project(tmp_path: Path) -> Tiny:
    made = Tiny(tmp_path / "p")
    made.feed(COUNT, pause_every=200, pause_s=0.02)
    return made


@pytest.mark.parametrize(
    "victim", ["service-Pay-0", "service-Ship-0", "source-feed", "log", "warm", "broker"]
)
def test_a_process_killed_under_load(project: Tiny, victim: str) -> None:
    with project.up("--until-idle", "--json") as run:
        for offset in (3_000, 15_000):
            project.wait_offset(offset)
            os.kill(project.pids(run)[victim], signal.SIGKILL)
            until(f"{victim} is back", lambda: victim in project.pids(run))
        out, err = project.finish(run)
    assert run.returncode == 0, err + project.logs()
    project.assert_complete(COUNT)
    summary = json.loads(out)
    assert summary["offset"] == 2 * COUNT
    restarts = {f"service-{s['name']}-0": s["restarts"] for s in summary["services"]}
    restarts |= {"source-feed": summary["sources"][0]["restarts"]}
    restarts |= {"broker": summary["broker_restarts"], "log": summary["log_restarts"]}
    assert restarts.get(victim, 2) == 2
    assert sum(restarts.values()) == (2 if victim != "warm" else 0)


def test_the_supervisor_killed_under_load_and_run_again(project: Tiny) -> None:
    for offset in (3_000, 15_000):
        with project.up("--until-idle") as run:
            project.wait_offset(offset)
            run.kill()
    project.summary()
    project.assert_complete(COUNT)


def test_a_run_interrupted_under_load_goes_on(project: Tiny) -> None:
    with project.up() as run:
        project.wait_offset(5_000)
        run.send_signal(signal.SIGTERM)
        _, err = project.finish(run)
    assert run.returncode == 0, err
    summary = project.summary()
    assert summary["events"] < 2 * COUNT
    project.assert_complete(COUNT)


def test_a_handler_that_raises_is_parked_and_the_rest_goes_on(project: Tiny) -> None:
    project.feed(100)
    project.write(
        "app/pay.py",
        """
        from flowc.events import Paid

        def on_placed(event):
            if event.n == 42:
                raise ValueError("no such card")
            return Paid(k=event.k, n=event.n)
        """,
    )
    summary = project.summary()
    assert summary["services"][0]["parked"] == 1
    assert project.sql("SELECT count(*), count(*) FILTER (n = 42) FROM Paid") == [(99, 0)]
    again = project.summary()
    assert again["services"][0]["parked"] == 1
    record("13.12", Figures("a handler that raises at one event", 1, 1, 100, 0, 0, 0))


def test_a_service_that_always_dies_fails_alone(project: Tiny) -> None:
    project.feed(50)
    project.write("app/ship.py", "import os\n\ndef on_paid(event):\n    os._exit(1)\n")
    done = project.flowc("run", "main.flow", "--until-idle")
    assert done.returncode == 3
    assert "service Ship failed: died 6 times in 60 s" in done.stderr
    assert project.sql("SELECT count(*) FROM Paid") == [(50,)]
    record("13.14", Figures("a service that dies at once, again and again", 1, 6, 50, 0, 0, 0))


def test_a_damaged_journal_stops_the_run_and_says_where(project: Tiny) -> None:
    project.feed(2_000)
    project.summary()
    (segment, *_) = sorted(project.state.journal.glob("*.seg"))
    with segment.open("r+b") as file:
        file.seek(4_000)
        byte = file.read(1)
        file.seek(4_000)
        file.write(bytes([byte[0] ^ 1]))
    done = project.flowc("run", "main.flow", "--until-idle")
    assert done.returncode == 3
    assert "the broker failed: journal: damaged" in done.stderr
    assert segment.name in done.stderr


def test_a_full_disk_stops_the_run_and_loses_nothing(project: Tiny) -> None:
    sandbox = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.call([*sandbox, "true"]) != 0:
        record("13.8", Figures("not run on this machine: no mount namespace", 0, 0))
        pytest.skip("needs a mount namespace of its own")
    count = 150_000
    project.feed(count)
    project.write(
        "full.sh",
        """
        mkdir .flow && mount -t tmpfs -o size=10m none .flow || exit 99
        "$1" run main.flow --until-idle; test $? = 3 || exit 98
        mount -o remount,size=500m .flow
        "$1" run main.flow --until-idle || exit 97
        cp -r .flow/. kept
        """,
    )
    done = subprocess.run(
        [*sandbox, "sh", "full.sh", FLOWC], cwd=project.root, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the disk is full; all that was acknowledged is safe" in done.stderr
    (project.root / "kept").rename(project.root / ".flow")
    project.assert_complete(count)
    record("13.8", Figures("a disk of 10 MiB that fills up, then grows", 1, 1, count, 0, 0, 0))


@pytest.mark.parametrize("batch", [False, True])
def test_an_event_that_kills_its_process_is_parked_and_the_rest_goes_on(
    project: Tiny, batch: bool
) -> None:
    """Spec 4.30: three deaths, whatever else was in the same delivery."""
    project.write("app/pay.py", KILLS_BATCH if batch else KILLS)
    project.feed(60)
    summary = project.summary()
    pay = summary["services"][0]
    assert (pay["name"], pay["parked"], pay["restarts"]) == ("Pay", 1, 3)
    paid = project.sql("SELECT count(*), count(DISTINCT n) FROM Paid")
    assert paid == [(59, 59)]
    (parked,) = project.sql("SELECT _offset, event, error FROM _parked_now")
    assert parked[1] == "Placed"
    assert project.sql(f"SELECT n FROM Placed WHERE _offset = {parked[0]}") == [(20,)]
    assert "the process died each time that Pay.on_placed handled this event" in parked[2]
    record("13.12", Figures("an event that kills its process", 1, 3, 60, 0, 0, 0))
