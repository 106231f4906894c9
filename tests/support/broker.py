"""A real broker process, and raw clients for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from flowc_dsl.plan import Plan
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client

DEADLINE_S = 20
M = TypeVar("M", bound=wire.Message)


def wait_for(what: str, condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> object:
    """Poll until the condition holds; its value comes back."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {deadline_s} s: {what}")


class BrokerProcess:
    """One state folder, and a broker on it that can be killed and started again."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        (folder / "journal").mkdir(exist_ok=True)
        (folder / "plan.json").write_text(plan.to_json())
        self.endpoint = f"ipc://{folder}/b.sock"
        self.process: subprocess.Popen[str] | None = None
        self.command: list[str | Path] = [sys.executable, "-I", "-m", "flowc_engine.broker"]

    def start(self) -> None:
        self.process = self.popen()
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]

    def popen(self) -> subprocess.Popen[str]:
        options = ["--state", self.folder, "--plan", self.folder / "plan.json"]
        return subprocess.Popen(
            [*self.command, *options, "--listen", self.endpoint],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self._close()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self._close()

    def _close(self) -> int:
        assert self.process is not None
        code = self.process.wait(DEADLINE_S)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        self.process = None
        return code

    def hello(self, role: str, name: str) -> Client:
        hello = wire.Hello(role, name, 0, uuid.uuid4().hex, self.plan.hash, os.getpid())
        return Client(self.endpoint, hello)

    def status(self) -> wire.Status:
        with self.hello("control", "test") as client:
            client.send(wire.StatusRequest())
            return expect(client, wire.Status)[0]


def expect(
    client: Client, kind: type[M], ok: Callable[[M], bool] = lambda _: True
) -> tuple[M, list[bytes]]:
    """The next message of a kind; others are passed over."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        got = client.receive(200)
        if got is not None and isinstance(got[0], kind) and ok(got[0]):
            return got[0], got[1]
    raise AssertionError(f"no {kind.__name__} within {DEADLINE_S} s")
