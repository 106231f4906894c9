"""`flowc run` and `flowc emit` with real processes, none of which is killed."""

import json
from pathlib import Path

import pytest

from support.tiny import PAY, Tiny, gone, interrupt, until, wait_said


@pytest.fixture
def project(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path / "p")


def test_runs_to_the_end(project: Tiny) -> None:
    project.feed(300)
    first = project.summary()
    project.assert_complete(300)
    assert first["format_version"] == "1.0"
    assert first["events"] == first["offset"] == first["in_log"] == 600
    handled = {s["name"]: (s["handled"], s["emitted"], s["lag"]) for s in first["services"]}
    assert handled == {"Pay": (300, 300, 0), "Ship": (300, 0, 0)}
    assert [(s["name"], s["events"], s["state"]) for s in first["sources"]] == [
        ("feed", 300, "done")
    ]


@pytest.mark.slow
def test_goes_on_where_it_stopped_and_fresh_starts_over(project: Tiny) -> None:
    project.feed(300)
    project.summary()
    again = project.summary()
    assert (again["events"], again["offset"], again["in_log"]) == (0, 600, 600)
    project.feed(400)
    assert project.summary()["events"] == 0  # this source was done
    assert project.summary("--fresh")["events"] == 800
    project.assert_complete(400)


@pytest.mark.slow
def test_emit_without_a_run_waits_for_the_next(project: Tiny) -> None:
    done = project.flowc("emit", "main.flow", "Placed", '{"k": "a", "n": 0}')
    assert (done.returncode, done.stdout) == (0, "Placed durable at offset 0\n")
    assert "no run is up" in done.stderr
    lines = '{"k": "a", "n": 1}\n{"k": "b", "n": 2}\n'
    done = project.flowc("emit", "main.flow", "Placed", "-", stdin=lines)
    assert done.stdout == "2 Placed durable at offsets 1 to 2\n"
    assert project.summary()["events"] == 3
    project.assert_complete(3)


def test_interrupt_drains_and_a_second_run_meanwhile_is_refused(project: Tiny) -> None:
    with project.up() as run:
        project.wait_ready()
        second = project.flowc("run", "main.flow")
        assert second.returncode == 3
        assert f"is held by process {run.pid} (flowc run since " in second.stderr
        done = project.flowc("emit", "main.flow", "Placed", '{"k": "a", "n": 0}')
        assert (done.returncode, done.stderr) == (0, "")
        project.wait_offset(2)
        pids = project.pids(run)
        interrupt(run)
        out, err = project.finish(run)
    assert run.returncode == 0, err
    assert "draining" in err
    assert "Ship" in out
    assert gone(pids)
    project.assert_complete(1)


@pytest.mark.slow
def test_a_second_interrupt_kills_and_loses_nothing(project: Tiny) -> None:
    project.write("app/pay.py", "import time\ndef on_placed(event):\n    time.sleep(60)\n")
    with project.up() as run:
        project.wait_ready()
        project.flowc("emit", "main.flow", "Placed", '{"k": "a", "n": 0}')
        pids = project.pids(run)
        interrupt(run)
        wait_said(run, "draining")
        interrupt(run)
        project.finish(run)
    assert run.returncode == 130
    until("no process is left", lambda: gone(pids))
    project.write("app/pay.py", PAY)
    project.summary()
    project.assert_complete(1)


def test_a_killed_supervisor_leaves_no_process(project: Tiny) -> None:
    with project.up() as run:
        project.wait_ready()
        pids = project.pids(run)
        assert set(pids) == {"broker", "log", "warm", "service-Pay-0", "service-Ship-0"}
        run.kill()
        until("no process is left", lambda: gone(pids))


@pytest.mark.slow
def test_code_that_raises_on_import_fails_alone(project: Tiny) -> None:
    project.feed(20)
    project.write("app/pay.py", "import no_such_module\n")
    done = project.flowc("run", "main.flow", "--until-idle", "--json")
    assert done.returncode == 3
    assert "No module named 'no_such_module'" in done.stderr
    assert "service-Pay-0.log" in done.stderr or "logs" in done.stderr
    summary = json.loads(done.stdout)
    pay, ship = summary["services"]
    assert (pay["name"], pay["state"], pay["restarts"], pay["lag"]) == ("Pay", "failed", 0, 20)
    assert ship["state"] == "stopped"
    project.write("app/pay.py", PAY)
    project.summary()
    project.assert_complete(20)
