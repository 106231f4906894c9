"""A `flowc run` whose processes can be killed while it works."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

DEADLINE_S = 60


class KillableRun:
    """The processes are those of this run alone: children of its supervisor, and theirs."""

    def __init__(self, file: str, root: Path) -> None:
        self._said = root / "said.txt"
        start = "from flowc_engine.cli import main; main()"
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-c", start, "run", file, "--until-idle"],
                cwd=root,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        self._tree = psutil.Process(self._process.pid)

    def is_up(self) -> bool:
        return self._process.poll() is None

    def output(self) -> str:
        return self._said.read_text(encoding="utf-8")

    def wait(self, timeout_s: float) -> int:
        """The exit code."""
        return self._process.wait(timeout_s)

    def wait_for_processes(self, count: int) -> None:
        """Until there are so many of services and sources."""
        end = time.monotonic() + DEADLINE_S
        while len(self._found("flowc.warm")) < count:
            assert self.is_up(), self.output()
            assert time.monotonic() < end, self.output()
            time.sleep(0.01)

    def kill_one(self, chance: random.Random) -> list[int]:
        """Kill the broker, or one process of a service or source; its id comes back, if any."""
        module = chance.choice(["flowc.warm", "flowc.warm", "flowc_engine.broker"])
        found = self._found(module)
        if not found:
            return []
        one = chance.choice(found)
        try:
            one.kill()
        except psutil.NoSuchProcess:
            return []
        return [one.pid]

    def replicas_of(self, service: str, count: int) -> list[psutil.Process]:
        """Its processes, once there are so many."""
        end = time.monotonic() + DEADLINE_S
        while True:
            logs = ((one, _log_of(one)) for one in self._found("flowc.warm"))
            found = [one for one, log in logs if log.startswith(f"service-{service}-")]
            if len(found) == count:
                return found
            assert self.is_up(), self.output()
            assert time.monotonic() < end, self.output()
            time.sleep(0.01)

    def _found(self, module: str) -> list[psutil.Process]:
        """Forked processes have their parent's command line, so those are its children."""
        found = []
        try:
            for child in self._tree.children():
                if module in child.cmdline():
                    found += child.children() if module == "flowc.warm" else [child]
        except psutil.NoSuchProcess:
            return []
        return sorted(found, key=lambda process: process.pid)

    def close(self) -> None:
        if self.is_up():
            self._process.kill()
        self._process.wait()


def _log_of(process: psutil.Process) -> str:
    """The file that it logs to; "" for one that has ended."""
    try:
        return Path(f"/proc/{process.pid}/fd/2").readlink().name
    except OSError:
        return ""


@contextmanager
def killable_run(file: str, root: Path) -> Iterator[KillableRun]:
    """Start `flowc run FILE --until-idle` in `root`; it is gone at the end."""
    run = KillableRun(file, root)
    try:
        yield run
    finally:
        run.close()
