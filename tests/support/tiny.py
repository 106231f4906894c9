"""A tiny project on disk, run by the real `flowc` with real processes, and watched from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psutil
from click.testing import CliRunner, Result

from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.cli import main
from flowc_engine.state import StateDir, broker_endpoint

FLOWC = Path(sys.executable).with_name("flowc")
DEADLINE_S = 60
FLOW = """
system Tiny
external event Placed key k { k: string  n: int }
event Paid key k { k: string  n: int }
service Pay { run python "app.pay" on Placed -> Paid }
service Ship { run python "app.ship" on Paid }
"""
PAY = """
from flowc.events import Paid

def on_placed(event):
    return Paid(k=event.k, n=event.n)
"""
SHIP = """
def on_paid(event):
    pass
"""
FEED = """
import time
from flowc.events import Placed

def feed(count, pause_every=0, pause_s=0.05):
    for n in range(count):
        if pause_every and n % pause_every == 0:
            time.sleep(pause_s)
        yield Placed(k=f"k{n % 7}", n=n)
"""


class Tiny:
    """`Placed` → Pay → `Paid` → Ship, in a folder; each part can be written anew."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = StateDir(root, "Tiny")
        self._run: subprocess.Popen[str] | None = None
        (root / "app").mkdir(parents=True)
        self.write("main.flow", FLOW)
        self.write("app/pay.py", PAY)
        self.write("app/ship.py", SHIP)
        self.write("app/feed.py", FEED)
        self.write("flow.toml", "")

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(textwrap.dedent(text))

    def feed(self, count: int, **args: float) -> None:
        """Have a source of `count` events."""
        values = ", ".join(f"{name} = {value}" for name, value in {"count": count, **args}.items())
        self.write(
            "flow.toml", f'[sources.feed]\npython = "app.feed:feed"\nargs = {{ {values} }}\n'
        )

    # ---- running

    def flowc(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        return subprocess.run(
            [FLOWC, *args],
            cwd=self.root,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def start(self, *args: str) -> subprocess.Popen[str]:
        """A command in the background."""
        return subprocess.Popen(
            [FLOWC, *args],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, *args: str) -> Result:
        """A command that only looks, without a process of its own."""
        before = Path.cwd()
        os.chdir(self.root)
        try:
            return CliRunner().invoke(main, list(args))
        finally:
            os.chdir(before)

    def summary(self, *args: str) -> dict[str, Any]:
        """`flowc run --until-idle --json`; it must end well."""
        done = self.flowc("run", "main.flow", "--until-idle", "--json", *args)
        assert done.returncode == 0, done.stderr + self.logs()
        return json.loads(done.stdout)

    @contextmanager
    def up(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """A run in the background; it is killed at the end if it is still up."""
        process = subprocess.Popen(
            [FLOWC, "run", "main.flow", *args],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._run = process
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def finish(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        """What it writes until it ends."""
        return process.communicate(timeout=DEADLINE_S)

    # ---- watching

    def status(self) -> wire.Status | None:
        """What the broker says, if it answers."""
        sockets = self.state.sockets()
        if sockets is None or not (sockets / "broker.sock").exists():
            return None
        hello = wire.Hello("control", "test", 0, f"{time.monotonic_ns()}", "", os.getpid())
        with Client(broker_endpoint(sockets), hello) as client:
            client.send(wire.StatusRequest())
            got = client.receive(500)
            return got[0] if got is not None and isinstance(got[0], wire.Status) else None

    def wait_offset(self, offset: int) -> None:
        """Until the log has as many events."""
        self._wait(f"offset {offset}", lambda status: status.offset >= offset)

    def wait_ready(self) -> None:
        """Until every service is ready."""
        self._wait("all services ready", lambda status: all(slot.ready for slot in status.slots))

    def _wait(self, what: str, holds: Callable[[wire.Status], bool]) -> None:
        def look() -> bool:
            assert self._run is None or self._run.poll() is None, self._run.communicate()
            status = self.status()
            return status is not None and holds(status)

        until(what, look, self.logs)

    def pids(self, process: subprocess.Popen[str]) -> dict[str, int]:
        """The processes of a run, by the stem of the file that they log to."""
        found = {}
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                found[Path(f"/proc/{child.pid}/fd/2").readlink().stem] = child.pid
            except OSError:
                continue  # it has ended meanwhile
        return found

    def logs(self) -> str:
        """All that the processes wrote."""
        return "".join(f"--- {p.name}\n{p.read_text()}" for p in self.state.logs.glob("*.log"))

    # ---- results

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the log, when no run is up."""
        with duckdb.connect(str(self.state.log_file), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def assert_complete(self, count: int) -> None:
        """Every event of the source and every one that it caused is there once, in order per
        key."""
        for event in ("Placed", "Paid"):
            found = self.sql(f"SELECT count(*), count(DISTINCT n), min(n), max(n) FROM {event}")
            assert found == [(count, count, 0, count - 1)], f"{event}: {found}"
            jumps = self.sql(
                f"SELECT n FROM (SELECT n, lag(n) OVER (PARTITION BY k ORDER BY _offset) AS before "
                f"FROM {event}) WHERE n <= before"
            )
            assert jumps == []


def until(what: str, done: Callable[[], bool], said: Callable[[], str] = str) -> None:
    """Poll until `done`."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if done():
            return
        time.sleep(0.01)
    raise AssertionError(f"not within {DEADLINE_S} s: {what}\n{said()}")


def wait_said(process: subprocess.Popen[str], text: str) -> None:
    """Until a line on stderr has `text`; the lines up to it are gone then."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"ended without saying {text!r}")


def gone(pids: dict[str, int]) -> bool:
    """Whether none of the processes lives."""
    return not any(_lives(pid) for pid in pids.values())


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C."""
    process.send_signal(signal.SIGINT)
