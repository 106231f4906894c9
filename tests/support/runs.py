"""Broker and log processes, as the supervisor starts them."""

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa

from flowc_dsl.plan import Plan
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.log.query import LiveLog
from flowc_engine.state import StateDir, broker_endpoint, query_endpoint
from flowc_engine.supervisor.compat import adopt_plan

DEADLINE_S = 20
_EAGER = """
import sys
from flowc_engine import limits
limits.LOG_CHECKPOINT_BYTES = 1
from flowc_engine.log.__main__ import main
sys.exit(main())
"""


def until(done, what: str, deadline_s: float = DEADLINE_S):
    """Poll until `done` is true; its value comes back."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = done()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not in {deadline_s} s: {what}")


class Run:
    """A state, held, with the processes that were asked for. A context manager."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self.plan = plan
        self.state = StateDir(root, plan.system)
        self.state.create()
        adopt_plan(self.state, plan)
        self.sockets = self.state.make_sockets()
        self.broker = broker_endpoint(self.sockets)
        self.query = query_endpoint(self.sockets)
        self._lock = None
        self.processes: list[subprocess.Popen] = []
        self.broker_process: subprocess.Popen | None = None
        self.log_process: subprocess.Popen | None = None

    def __enter__(self):
        self._lock = self.state.lock()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
        if self._lock is not None:
            self._lock.close()

    def start_broker(self) -> subprocess.Popen:
        process = self.spawn_broker()
        assert process.stdout.readline() == b"ready\n", self.said("broker")
        return process

    def spawn_broker(self) -> subprocess.Popen:
        """A broker that may not be ready yet."""
        listen = ["--listen", self.broker]
        self.broker_process = self._spawn("flowc_engine.broker", "broker", listen)
        return self.broker_process

    def start_log(
        self, preexec=None, *, eager: bool = False, code: str | None = None
    ) -> subprocess.Popen:
        """`eager`: with a checkpoint after each transaction. `code`: instead of the module."""
        args = ["--broker", self.broker, "--query", self.query]
        code = _EAGER if eager else code
        process = self.log_process = self._spawn("flowc_engine.log", "log", args, preexec, code)
        assert process.stdout.readline() == b"ready\n", self.said("log")
        return process

    def _spawn(
        self, module: str, name: str, args: list[str], preexec=None, code=None
    ) -> subprocess.Popen:
        start = ["-m", module] if code is None else ["-c", code]
        state = ["--state", str(self.state.path), "--plan", str(self.state.plan_file)]
        with (self.state.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", *start, *state, *args],
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=preexec,  # noqa: PLW1509 - the tests' threads hold no locks of ours
            )
        self.processes.append(process)
        return process

    def said(self, name: str = "log") -> str:
        return (self.state.logs / f"{name}.log").read_text()

    def source(self, name: str = "feed") -> "Source":
        return Source(self.broker, name, self.plan)

    def ask(self) -> LiveLog:
        return LiveLog(self.query)


def stop(process: subprocess.Popen) -> int:
    """SIGTERM; the exit code comes back."""
    process.send_signal(signal.SIGTERM)
    return process.wait(DEADLINE_S)


class Source:
    """A source that speaks the protocol itself."""

    def __init__(self, endpoint: str, name: str, plan: Plan) -> None:
        hello = wire.Hello("source", name, 0, secrets.token_hex(4), plan.hash, os.getpid())
        self._client = Client(endpoint, hello)
        self._name = name
        opened = self._await(wire.Opened)
        self._epoch, self._seq = opened.epoch, opened.seq

    def _await(self, kind):
        while True:
            got = self._client.receive(DEADLINE_S * 1000)
            assert got is not None, f"no {kind}"
            assert not isinstance(got[0], wire.Refused), got[0]
            if isinstance(got[0], kind):
                return got[0]

    def publish(self, event: str, batch: pa.RecordBatch) -> None:
        """Publish, and wait for the acknowledgement."""
        batches = [wire.Batch(event, batch.num_rows)]
        message = wire.Publish(self._name, self._epoch, self._seq, batches)
        self._client.send(message, [batch.serialize().to_pybytes()])
        self._seq += batch.num_rows
        while self._await(wire.Published).seq < self._seq:
            pass

    def close(self) -> None:
        self._client.close()
