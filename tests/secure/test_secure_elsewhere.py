"""Services on other machines than the broker (spec 7.13, 9.36 to 9.38)."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowc import Publisher
from flowc_dsl.plan import Plan
from support.elsewhere import Elsewhere, host_pid, ip, two_networks
from support.invoking import flowc
from support.tiny import until, wait_said

COUNT = 3_000


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Elsewhere]:
    system = Elsewhere(tmp_path)
    yield system
    system.close()


def finished(system: Elsewhere, process, code: int = 0) -> str:
    out, err = process.communicate(timeout=90)
    assert process.returncode == code, f"{out}{err}{system.logs()}"
    return out + err


def emit(system: Elsewhere, numbers: range) -> None:
    """Events by hand, durable."""
    lines = "\n".join(json.dumps({"k": f"k{n % 7}", "n": n}) for n in numbers)
    done = system.here.flowc("emit", "main.flow", "Placed", "-", stdin=lines)
    assert done.returncode == 0, done.stderr


# ---- what is refused at once


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["broker", "main.flow", "--listen", "10.0.0.1:5"], "is no endpoint like tcp://"),
        (["broker", "main.flow", "--listen", "tcp://127.0.0.1:0"], "is no endpoint"),
        (["broker", "main.flow", "--listen", "ipc:///tmp/x"], "is no endpoint"),
        (["broker", "main.flow"], "Missing option '--listen'"),
        (["run", "main.flow", "--without", "Pays"], "did you mean `Pay`?"),
        (["service", "main.flow", "Pays", "--connect", "tcp://h:1", "--key", "k"], "mean `Pay`?"),
        (["service", "main.flow", "Pay", "--connect", "tcp://h:1", "--key", "k"], "no key file k"),
        (["service", "main.flow", "Pay", "--connect", "tcp://h:1", "--key", "ship.key"],
         "ship.key is the key of service Ship of Tiny, not of service Pay"),
        (["service", "main.flow", "Pay", "--connect", "tcp://h:1", "--key", "pay.key",
          "--replica", "1"], "has the replicas 0 to 0, and no 1"),
        (["service", "main.flow", "Pay", "--connect", "tcp://h:1", "--key",
          ".flow/Tiny/keys/service-Pay.key"], "take a file that `flowc keys export` has written"),
    ],
)  # fmt: skip
def test_what_cant_be_meant_is_refused(shared, monkeypatch, words, said):
    """Spec 9.36, 9.37."""
    monkeypatch.chdir(shared)
    done = flowc(*words)
    assert done.exit_code in (2, 3)
    assert said in done.stderr


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = Elsewhere(tmp_path_factory.mktemp("refusals")).here
    for name in ("Pay", "Ship"):
        here.flowc("keys", "export", "main.flow", name, "-o", f"{name.lower()}.key")
    return here.root


def test_without_keys_nothing_listens(tmp_path, monkeypatch):
    """Spec 7.7: there is no open TCP, not even for a moment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.flow").write_text(
        "system S external event A key k { k: string } service X { run mock on A }"
    )
    done = flowc("broker", "s.flow", "--listen", "tcp://127.0.0.1:1")
    assert done.exit_code == 3
    assert "`flowc keys init s.flow` makes them" in done.stderr


# ---- real processes


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_through_kills(system):
    """Spec 9.38: of the broker, and of a service's process."""
    system.here.feed(COUNT, pause_every=100)
    broker = system.broker("--without", "Pay", "--without", "Ship", "--until-idle")
    pay, ship = system.service("Pay"), system.service("Ship")
    system.here._run = broker
    system.here.wait_offset(400)
    os.kill(host_pid(system.root / "there-Pay", "Pay"), signal.SIGKILL)
    system.here.wait_offset(1_500)
    os.kill(system.here.pids(broker)["broker"], signal.SIGKILL)
    said = finished(system, broker)
    assert "the broker died" in said
    system.here.assert_complete(COUNT)
    code, wrote = system.stop(pay)
    assert code == 0
    assert "died (killed by SIGKILL); starting it again" in wrote
    assert "drained by the broker; waiting for the next" in wrote
    assert system.stop(ship)[0] == 0


@pytest.mark.slow
def test_a_service_waits_for_its_broker_and_outlives_it(system):
    """Spec 9.37, 9.38: it may be there first, and goes on with the next; Ctrl-C drains it."""
    pay = system.service("Pay")
    wait_said(pay, "no answer yet")
    for begin in (0, 60):
        emit(system, range(begin, begin + 60))
        finished(system, system.broker("--without", "Pay", "--until-idle"))
    system.here.assert_complete(120)
    assert system.stop(pay)[0] == 0


@pytest.mark.slow
def test_a_revoked_service_ends_and_says_why(system):
    """Spec 7.11."""
    broker = system.broker("broker")
    pay = system.service("Pay")
    system.here._run = broker
    system.wait_connected("Pay")
    assert system.here.flowc("keys", "revoke", "main.flow", "Pay").returncode == 0
    assert "this key was revoked" in finished(system, pay, code=3)
    system.wait_connected("Pay", ready=False)
    assert system.stop(broker)[0] == 0


@pytest.mark.slow
def test_the_older_side_is_named(system):
    """Spec 7.13."""
    system.machine("Pay")
    broker = system.broker("broker")
    pay = system.service("Pay")
    system.here._run = broker
    system.wait_connected("Pay")
    system.stop(broker)
    system.stop(pay)
    old = (system.here.root / "main.flow").read_text()
    system.here.write(
        "main.flow",
        old + "event Extra key k { k: string }\n"
        "service More { run mock on Paid -> Extra }\nservice End { run mock on Extra }\n",
    )
    assert system.here.flowc("keys", "init", "main.flow").returncode == 0
    new = (system.here.root / "main.flow").read_text()
    broker = system.broker("broker")
    until("broker up", lambda: system.here.status() is not None, system.logs)
    system.here.write("main.flow", old)  # of which the service's machine gets a copy
    said = finished(system, system.service("Pay"), code=3)
    assert "and older: it was here until" in said
    system.here.write(
        "main.flow",
        new + "// \n" + "event Never key k { k: string }\n"
        "service Later { run mock on Paid -> Never }\nservice L { run mock on Never }\n",
    )
    said = finished(system, system.service("Pay"), code=3)
    assert "one that has not run here yet" in said
    assert system.stop(broker)[0] == 0


PAYS_NOTED = """
from flowc.events import Paid

def on_placed(event):
    return Paid(k=event.k, n=event.n, note="new")
"""
SHIP_KEEPS = """
import pathlib

def on_paid(event):
    with pathlib.Path(__file__).with_name("seen").open("a") as file:
        file.write(f"{event.n} {event.note}\\n")
"""


@pytest.mark.slow
def test_older_events_are_read_as_they_are_declared_now(system):
    """Spec 7.13, 4.19: what the broker's machine knows of them comes over the wire."""
    emit(system, range(20))
    finished(system, system.broker("--until-idle"))
    flow = (system.here.root / "main.flow").read_text()
    newer = 'event Paid v2 key k { k: string  n: int  note: string  upcast v1 { note = "old" } }'
    system.here.write("main.flow", re.sub(r"event Paid .*", newer, flow))
    system.here.write("app/pay.py", PAYS_NOTED)
    system.here.write("app/ship.py", SHIP_KEEPS)
    emit(system, range(20, 30))
    broker = system.broker("--until-idle", "--without", "Ship")
    ship = system.service("Ship")
    finished(system, broker)
    seen = (system.root / "there-Ship/app/seen").read_text().splitlines()
    # Its memory was rebuilt from the first 20, which is a replay, and then came 10.
    assert seen == [f"{n} old" for n in range(20)] + [f"{n} new" for n in range(20, 30)]
    assert system.stop(ship)[0] == 0


@pytest.mark.slow
def test_a_state_that_was_started_over_is_noticed(system):
    """Spec 7.13: a process that lives forgets what it learned of another journal."""
    ship = system.service("Ship")
    pay = system.service("Pay")
    for fresh in ([], ["--fresh"]):
        system.here.feed(200)
        args = ["--without", "Pay", "--without", "Ship", "--until-idle", *fresh]
        finished(system, system.broker(*args))
        system.here.assert_complete(200)
    for process in (pay, ship):
        assert system.stop(process)[0] == 0


@pytest.mark.slow
def test_a_source_on_another_machine(system):
    """Spec 9.39: the SDK's publisher takes the file of a key."""
    system.here.feed(1)  # which declares the source `feed`
    assert system.here.flowc("keys", "init", "main.flow").returncode == 0
    key = system.root / "feed.key"
    assert system.here.flowc("keys", "export", "main.flow", "feed", "-o", str(key)).returncode == 0
    broker = system.broker("--no-sources")
    until("up", lambda: system.here.status() is not None, system.logs)
    plan = Plan.from_json(system.here.state.plan_file.read_text())
    with Publisher(system.endpoint, plan, "feed", key=key) as source:
        from flowc.events import Placed

        for n in range(500):
            source.publish(Placed(k=f"k{n % 7}", n=n))
        source.flush(30)
    system.here._run = broker
    system.here.wait_offset(1_000)
    assert system.stop(broker)[0] == 0
    system.here.assert_complete(500)


@pytest.mark.slow
def test_across_networks_with_the_cable_pulled(tmp_path):
    """Spec 9.38: once for so long that both sides notice, once for a moment; nothing is lost,
    doubled or out of order."""
    with two_networks() as (one, two, address):
        prefixes = (["ip", "netns", "exec", one], ["ip", "netns", "exec", two])
        system = Elsewhere(tmp_path, address, prefixes)
        try:
            system.here.feed(6_000, pause_every=40, pause_s=0.15)
            broker = system.broker("--without", "Pay", "--until-idle")
            pay = system.service("Pay")
            system.here._run = broker
            system.here.wait_offset(400)
            assert ip("-n", two, "link", "set", "v2", "down").returncode == 0
            wait_said(pay, "waiting for the broker: the connection broke")
            system.wait_connected("Pay", ready=False)
            assert ip("-n", two, "link", "set", "v2", "up").returncode == 0
            wait_said(pay, "connected again")
            system.wait_connected("Pay")
            status = system.here.status()
            assert status is not None
            assert status.offset < 12_000, "it was over before the cable was pulled again"
            assert ip("-n", two, "link", "set", "v2", "down").returncode == 0
            system.here.wait_offset(status.offset + 200)
            assert ip("-n", two, "link", "set", "v2", "up").returncode == 0
            finished(system, broker)
            system.here.assert_complete(6_000)
            assert system.stop(pay)[0] == 0
        finally:
            system.close()
