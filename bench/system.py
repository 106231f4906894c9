"""A system under test: a program in its own folder, run by `flowc run`, watched from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from procs import Usage

from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.state import StateDir, broker_endpoint

APP = Path(__file__).parent / "app"
NAME = "Bench"
POLL_S = 0.01


class BenchError(Exception):
    """The system did not do what the workload needs; the end of its logs is in the message."""


class System:
    """One temporary project. `start` and `stop` may be repeated; the state stays until the end."""

    def __init__(self, flow: str, toml: str, config: dict[str, Any]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="flowc-bench-"))
        shutil.copytree(APP, self.folder, dirs_exist_ok=True, ignore=lambda *_: {"__pycache__"})
        shutil.copy(APP.parent / "orders.py", self.folder)
        self.reports = self.folder / "reports"
        self.reports.mkdir()
        self.write(flow, toml)
        config = {**config, "reports": str(self.reports)}
        (self.folder / "bench.json").write_text(json.dumps(config))
        self.state = StateDir(self.folder, NAME)
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None
        self.usage = Usage(0)

    def write(self, flow: str, toml: str) -> None:
        """The program and its deployment; a later `start` takes the new ones."""
        (self.folder / "main.flow").write_text(flow)
        (self.folder / "flow.toml").write_text(toml)

    # ---- running

    def start(self) -> int:
        """Start it; the time in ns comes back. Ready is another matter."""
        flowc = Path(sys.executable).with_name("flowc")
        begun = time.monotonic_ns()
        with (self.folder / "run.log").open("ab") as log:
            self._process = subprocess.Popen(
                [flowc, "run", "main.flow"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.usage = Usage(self._process.pid)
        return begun

    def stop(self, wait_s: float = 60) -> None:
        """Drain it, as Ctrl-C does."""
        self._disconnect()
        process, self._process = self._process, None
        if process is None:
            return
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        psutil.wait_procs(children, timeout=5)
        for child in children:
            if child.is_running():
                child.kill()

    def status(self) -> wire.Status | None:
        """What the broker says, or None while it does not answer."""
        sockets = self.state.sockets()
        if sockets is None or not (sockets / "broker.sock").exists():
            self._alive()
            return None
        if self._client is None:
            hello = wire.Hello("control", "bench", 0, str(os.getpid()), "", os.getpid())
            self._client = Client(broker_endpoint(sockets), hello)
        self._client.send(wire.StatusRequest())
        got = self._client.receive(200)
        while got is not None and not isinstance(got[0], wire.Status):
            got = self._client.receive(200)
        return got[0] if got is not None and isinstance(got[0], wire.Status) else None

    def wait(self, what: str, done: Callable[[wire.Status], bool], limit_s: float) -> wire.Status:
        """Poll until the status is as wanted. Raises `BenchError` in the end."""
        until = time.monotonic() + limit_s
        status = None
        while time.monotonic() < until:
            self.usage.sample()
            status = self.status()
            if status is not None and done(status):
                return status
            self._alive()
            time.sleep(POLL_S)
        raise BenchError(f"not {what} after {limit_s:.0f} s: {status}\n{self.log_tails()}")

    def wait_ready(self, services: int, limit_s: float = 60) -> wire.Status:
        """All services are up and past their replay."""
        return self.wait(
            "ready",
            lambda s: len(s.slots) == services and all(slot.ready for slot in s.slots),
            limit_s,
        )

    def wait_idle(self, sources: int, limit_s: float = 180) -> wire.Status:
        """All sources are exhausted, and everything is handled and durable."""
        return self.wait(
            "idle",
            lambda s: s.idle and len(s.sources) == sources and all(x.done for x in s.sources),
            limit_s,
        )

    def _alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise BenchError(f"flowc run has ended\n{self.log_tails()}")

    def log_tails(self) -> str:
        """The last lines of what its processes said."""
        tails = []
        for path in [self.folder / "run.log", *sorted(self.state.logs.glob("*"))]:
            if path.is_file() and path.stat().st_size:
                lines = path.read_text(errors="replace").splitlines()[-15:]
                tails.append("\n".join([f"--- {path.name}", *lines]))
        return "\n".join(tails)

    def read_reports(self) -> dict[str, dict[str, Any]]:
        """What handlers and sources wrote about themselves, by name."""
        return {p.stem: json.loads(p.read_text()) for p in self.reports.glob("*.json")}

    # ---- the end

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        """Stop it and remove the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
