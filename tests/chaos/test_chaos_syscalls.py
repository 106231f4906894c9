"""The broker is killed at each write, sync and rename that it makes (spec: guarantees)."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from support.audit import events_of
from support.bodies import body
from support.broker import DEADLINE_S, BrokerProcess, expect
from support.figures import Figures, record
from support.plans import pipeline

pytestmark = pytest.mark.slow
PLAN = pipeline()
ROWS, MESSAGES = 300, 9  # over two segments
DOOMED = [sys.executable, "-I", str(Path(__file__).parents[1] / "support/doomed_broker.py")]
CALLS = ("pwritev,pwritev2", "fdatasync", "fsync", "rename")


class Tally:
    """What came of all the kills of a test."""

    def __init__(self) -> None:
        self.kills = self.acknowledged = self.lost = self.doubled = self.disordered = 0
        self.recovery_ms = 0

    def keep(self, clause: str, what: str) -> None:
        record(
            clause,
            Figures(
                what, self.kills, self.kills, self.acknowledged, self.lost, self.doubled,
                self.disordered, self.recovery_ms,
            ),
        )  # fmt: skip
        assert self.lost == self.doubled == self.disordered == 0


def publish(broker: BrokerProcess, client: Client) -> int:
    """All messages, one after the other, or as many as a broker that dies lets through; how many
    events were acknowledged comes back."""
    acknowledged, epoch = 0, None
    end = time.monotonic() + DEADLINE_S
    while acknowledged < ROWS * MESSAGES and time.monotonic() < end:
        got = client.receive(5)
        if got is None:
            if broker.process.poll() is not None:
                break
            continue
        if isinstance(got[0], wire.Opened):
            epoch = got[0].epoch
        assert not isinstance(got[0], wire.Refused), got[0]
        if isinstance(got[0], wire.Opened | wire.Published):
            acknowledged = got[0].seq
            if acknowledged < ROWS * MESSAGES:
                numbers = list(range(acknowledged, acknowledged + ROWS))
                message = wire.Publish("gen", epoch, acknowledged, [wire.Batch("Placed", ROWS)])
                client.send(message, [body(PLAN, "Placed", numbers)])
    return acknowledged


def killed_once(command: list[str], tally: Tally) -> bool:
    """One run in which the broker is killed, if it comes to that, and one that goes on from there;
    whether it came to that."""
    with tempfile.TemporaryDirectory() as folder:
        broker = BrokerProcess(Path(folder), PLAN)
        broker.command = command
        broker.process = broker.popen()
        with broker.hello("source", "gen") as client:
            acknowledged = publish(broker, client)
            code = broker.stop()
            died = time.monotonic_ns()
            broker.command = [*DOOMED, "never"]
            broker.start()
            opened, _ = expect(client, wire.Opened)
            back_ms = (time.monotonic_ns() - died) // 1_000_000
            lost = acknowledged - opened.seq
            with broker.hello("source", "gen") as again:
                assert publish(broker, again) == ROWS * MESSAGES
        assert broker.stop() == 0
        found = events_of(Path(folder) / "journal", PLAN, "Placed").n
        if code == -9:
            tally.kills += 1
            tally.acknowledged += acknowledged
            tally.recovery_ms = max(tally.recovery_ms, back_ms)
            tally.lost += max(0, lost) + ROWS * MESSAGES - len(np.unique(found))
            tally.doubled += len(found) - len(np.unique(found))
            tally.disordered += int((np.diff(found) < 0).sum())
        else:
            assert code == 0
        return code == -9


@pytest.mark.parametrize("point", ["before", "within", "after"])
def test_killed_at_each_file_operation(point: str) -> None:
    """Spec 13.2: also with half of a write made."""
    tally = Tally()
    for number in itertools.count(1):
        if not killed_once([*DOOMED, f"{point}:{number}"], tally):
            break
    assert tally.kills > 2 * MESSAGES
    tally.keep("13.2", "the broker killed before, in and after each of its file operations")


def test_killed_at_each_system_call() -> None:
    """Spec 13.2: as the kernel sees it, whatever the broker calls them itself."""
    trace = ["strace", "-D", "-f", "-o", "/dev/null"]
    if shutil.which("strace") is None or subprocess.call([*trace, "true"]) != 0:
        record("13.2", Figures("not run on this machine: it has no strace", 0, 0))
        pytest.skip("needs strace, and the right to trace")
    tally = Tally()
    for call in CALLS:
        for number in itertools.count(1):
            inject = f"inject={call}:signal=SIGKILL:when={number}"
            command = [*trace, "-e", f"trace={call}", "-e", inject, *DOOMED, "never"]
            if not killed_once(command, tally):
                break
        assert number > 1, f"no {call} was seen"
    tally.keep("13.2", "the broker killed as it enters each write, sync and rename (strace)")
