"""Service processes on a real broker (spec: services, delivery)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flowc.exits import FINAL, Exit
from flowc_engine.bus import wire
from support.broker import DEADLINE_S, wait_for
from support.plans import pipeline
from support.project import Project

SERVICES = """
    from flowc.events import Paid

    class Pay:
        def on_placed(self, event):
            return Paid(k=event.k, n=event.n * 10)

    class Ship:
        total = 0
        def on_paid(self, event, ctx):
            self.total += event.n
            ctx.log.info("n %s cause %s root %s replaying %s total %s",
                         event.n, ctx.cause, ctx.root, ctx.replaying, self.total)
"""


def test_a_pipeline_survives_the_death_of_each_process(tmp_path):
    """Spec 4.3, 4.8, 4.14: nothing is lost, nothing is doubled, memory is rebuilt."""
    with Project(tmp_path, pipeline(), app=SERVICES) as project:
        project.start("Pay")
        project.start("Ship")
        project.publish(("Placed", {"k": ["a", "b"], "n": [1, 2]}))
        project.wait_idle()
        project.kill("Pay")
        project.kill("Ship")
        project.broker.kill()
        project.broker.start()
        project.publish(("Placed", {"k": ["c"], "n": [3]}))
        project.start("Pay")
        project.start("Ship")
        project.wait_idle()
        project.broker.kill()  # while its services live
        project.broker.start()
        project.publish(("Placed", {"k": ["d"], "n": [4]}))
        project.wait_idle()
        paid = project.events("Paid")
        assert [(e["k"], e["n"], e["_cause"], e["_root"]) for e in paid] == [
            ("a", 10, 0, 0), ("b", 20, 1, 1), ("c", 30, 4, 4), ("d", 40, 6, 6),
        ]  # fmt: skip
        with project.broker.hello("control", "test") as client:
            client.send(wire.Drain())
            assert project.wait_exit("Pay") == Exit.DONE
            assert project.wait_exit("Ship") == Exit.DONE
    log = project.log("Ship")
    assert "[2] n 10 cause 0 root 0 replaying False total 10" in log
    assert "[2] n 10 cause 0 root 0 replaying True total 10" in log
    assert "replaying False total 100" in log, "its memory is that of one that never died"


def test_how_a_service_process_ends(tmp_path):
    with Project(tmp_path, pipeline(), app=SERVICES) as project:
        first = project.start("Pay")
        wait_for("it is ready", lambda: project.broker.status().slots[0].ready)
        second = project.start("Pay")
        assert first.wait(DEADLINE_S) == Exit.FENCED
        assert "another process has taken this replica over" in project.log("Pay")
        second.terminate()
        assert second.wait(DEADLINE_S) == Exit.DONE
        project.write("app", "import nothing_of_that_name")
        project.start("Pay")
        assert project.wait_exit("Pay") == Exit.CODE
        assert "error: service Pay: importing app raised ModuleNotFoundError" in project.log("Pay")
        assert 'app.py", line 1' in project.log("Pay")
        project.start("Nobody")
        assert project.wait_exit("Nobody") == Exit.CODE
        assert "Pipeline has no service Nobody" in project.log("Nobody")
        project.processes.clear()
    assert Exit.CODE in FINAL
    assert Exit.CRASHED not in FINAL


# ---- the warm parent


@pytest.fixture
def warm():
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "flowc.warm"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.stdin.close()
    process.wait(DEADLINE_S)
    process.stdout.close()


def say(process, **command) -> None:
    process.stdin.write(json.dumps(command) + "\n")
    process.stdin.flush()


def test_the_warm_parent_forks_reports_and_takes_its_children_along(warm, tmp_path):
    assert json.loads(warm.stdout.readline()) == {"ready": True}
    with Project(tmp_path, pipeline(), app=SERVICES) as project:
        options = ["--plan", str(tmp_path / "plan.json"), "--root", str(tmp_path),
                   "--broker", project.broker.endpoint, "--slot", "0"]  # fmt: skip

        def start(number: int, service: str) -> dict:
            say(warm, id=number, module="flowc.host", argv=["--service", service, *options],
                log=str(tmp_path / f"{service}.log"))  # fmt: skip
            return json.loads(warm.stdout.readline())

        pay, ship = start(1, "Pay")["pid"], start(2, "Ship")["pid"]
        project.publish(("Placed", {"k": ["a"], "n": [1]}))
        wait_for("it is paid", lambda: all(
            s.ready and s.handled for s in project.broker.status().slots))  # fmt: skip
        assert os.getsid(pay) == pay
        say(warm, signal=signal.SIGTERM, pid=pay)
        assert json.loads(warm.stdout.readline()) == {"pid": pay, "exit": 0}
        say(warm, signal=signal.SIGTERM, pid=pay)  # it is gone: not sent to anybody
        nobody = start(3, "Nobody")["pid"]
        assert json.loads(warm.stdout.readline()) == {"pid": nobody, "exit": int(Exit.CODE)}
        assert "no service Nobody" in (tmp_path / "Nobody.log").read_text()
        say(warm, id=4, module="os", argv=[], log=str(tmp_path / "os.log"))
        assert "os is none of" in json.loads(warm.stdout.readline())["error"]
        warm.kill()
        wait_for("its children end with it", lambda: not _runs(ship))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
