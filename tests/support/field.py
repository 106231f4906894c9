"""The processes of a run without their supervisor: whoever tests kills and starts them itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from flowc_engine.cli.planned import plan_program
from support.audit import Verdict, assert_log_is_journal, judge
from support.runs import Run, stop, until
from support.tiny import FLOWC, Tiny

SOURCE = Path(__file__).with_name("acked_source.py")
_DOOMED = """
import os, signal, sys
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client

point, number = sys.argv.pop(1).split(":")
left = int(number)
send, receive = Client.send, Client.receive

def reached(at, kind, message):
    global left
    if at == point and isinstance(message, kind):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

def doomed_send(self, message, bodies=()):
    reached("before", wire.Step, message)
    send(self, message, bodies)
    reached("after", wire.Step, message)

def doomed_receive(self, timeout_ms):
    got = receive(self, timeout_ms)
    reached("confirmed", wire.Stepped, got and got[0])
    return got

Client.send, Client.receive = doomed_send, doomed_receive
from flowc.host import main
sys.exit(main())
"""


class Ack(NamedTuple):
    """All events of the source below `seq` are durable, as it heard at this time."""

    seq: int
    ns: int


class Field(Run):
    """The project `Tiny` in a folder. Held, as by a run; a context manager."""

    def __init__(self, root: Path) -> None:
        self.tiny = Tiny(root)
        super().__init__(root, plan_program(root / "main.flow", skip_unsupported=False).plan)
        self.root = root
        self.hosts: dict[str, subprocess.Popen] = {}
        self.feed: subprocess.Popen | None = None

    # ---- processes

    def start_host(self, service: str, doom: str = "") -> subprocess.Popen:
        """`doom`: "before:3" is killed before it sends its third step, "after:3" right behind
        that, "confirmed:3" when it hears that its third is durable."""
        suspects = str(self.state.logs / f"{service}.suspects")
        args = ["--service", service, "--slot", "0", "--suspects", suspects]
        start = ["-c", _DOOMED, doom] if doom else ["-m", "flowc.host"]
        host = self.hosts[service] = self._popen(start, args, service)
        return host

    def start_feed(self, per_s: int, count: int | None = None) -> None:
        """The source; without a count it publishes until `end_feed`."""
        args = [self.broker, str(self.state.plan_file), str(self.root), str(per_s)]
        with (self.state.logs / "feed.log").open("ab") as log:
            self.feed = subprocess.Popen(
                [sys.executable, SOURCE, *args, *([str(count)] if count else [])],
                stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self.processes.append(self.feed)

    def _popen(self, start: list[str], args: list[str], name: str) -> subprocess.Popen:
        where = ["--plan", str(self.state.plan_file), "--root", str(self.root)]
        with (self.state.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", *start, *args, *where, "--broker", self.broker],
                stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def end_feed(self) -> None:
        """It publishes no more, and all that it published is acknowledged."""
        (self.root / "stop").touch()
        assert self.feed is not None
        assert self.feed.wait(60) == 0, self.said("feed")

    def start_emit(self, n: int) -> subprocess.Popen:
        """`flowc emit` of one event."""
        event = f'{{"k": "a", "n": {n}}}'
        process = subprocess.Popen(
            [FLOWC, "emit", "main.flow", "Placed", event], cwd=self.root, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.processes.append(process)
        return process

    # ---- watching

    def acks(self) -> list[Ack]:
        """What the source has heard, in order."""
        try:
            lines = (self.root / "acks").read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [Ack(*map(int, line.split())) for line in lines if line.endswith("\n")]

    def acknowledged(self) -> int:
        """How many events of the source."""
        return max((ack.seq for ack in self.last_acks()), default=0)

    def last_acks(self) -> list[Ack]:
        """The newest of them: cheap, whatever came before."""
        try:
            with (self.root / "acks").open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - 4096))
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [Ack(*map(int, x.split())) for x in lines[-20:] if x.endswith(b"\n")][-19:]

    def wait_acknowledged(self, more: int = 1) -> None:
        """Until so many more events are acknowledged than now."""
        target = self.acknowledged() + more

        def there() -> bool:
            assert self.feed is None or self.feed.poll() in (None, 0), self.everything_said()
            return self.acknowledged() >= target

        until(there, f"{target} events acknowledged", 60)

    def wait_ready(self) -> None:
        """Until every service has its place."""

        def ready() -> bool:
            status = self.tiny.status()
            return status is not None and all(s.ready for s in status.slots)

        until(ready, "all are ready", 60)

    def wait_handled(self) -> None:
        """Until every service has handled all there is."""

        def idle() -> bool:
            status = self.tiny.status()
            return status is not None and status.idle and all(s.ready for s in status.slots)

        until(idle, "all is handled", 120)

    # ---- the end

    def verdict(self) -> Verdict:
        """Of the journal, by an independent reader, and of the log, which must be the same."""
        self.wait_handled()
        for process in (*self.hosts.values(), self.log_process, self.broker_process):
            assert stop(process) == 0, self.everything_said()
        assert_log_is_journal(self.state.log_file, self.state.journal, self.plan)
        return judge(self.state.journal, self.plan, self.acknowledged())

    def everything_said(self) -> str:
        return "\n".join(f"{p.name}: {p.read_text()[-2000:]}" for p in self.state.logs.iterdir())


def worst_recovery_ms(faults_ns: list[int], acks: list[Ack]) -> int:
    """The longest time from a fault to the next event that was acknowledged for the first time."""
    news: list[int] = []
    highest = 0
    for ack in acks:
        if ack.seq > highest:
            highest = ack.seq
            news.append(ack.ns)
    waits = [next((ns for ns in news if ns > fault), fault) - fault for fault in faults_ns]
    return max(waits) // 1_000_000


def kill(process: subprocess.Popen) -> int:
    """SIGKILL; when that was comes back, in ns."""
    killed = time.monotonic_ns()
    process.send_signal(signal.SIGKILL)
    process.wait()
    return killed
