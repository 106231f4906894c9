"""What processes use, read from /proc."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import psutil

SAMPLE_S = 0.1


def cpu_seconds(pid: int) -> float:
    """User and system time of all live threads since the start, with the scheduler's ns."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def status_kib(pid: int, name: str) -> int:
    """A line of /proc/PID/status that is in KiB: VmHWM, VmRSS."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)


def private_kib(pid: int) -> int:
    """The memory that would be free if this process ended: its private pages."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def role(pid: int) -> str:
    """What a process of a run is, from the file that it logs to: broker, log, service-NAME-0."""
    target = Path(f"/proc/{pid}/fd/2").readlink()
    return target.stem if target.parent.name == "logs" else "supervisor"


UNSETTLED = (None, "supervisor", "warm")  # a process that was just forked looks like its parent


class Usage:
    """CPU time by role of the processes below `pid`, since the last `begin`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._roles: dict[int, str] = {}
        self._now: dict[int, float] = {}
        self._base: dict[int, float] = {}
        self._next = 0.0

    def sample(self, *, force: bool = False) -> None:
        """Read, if it is time: a process that ends keeps what was read last."""
        if not self._pid or (time.monotonic() < self._next and not force):
            return
        self._next = time.monotonic() + SAMPLE_S
        try:
            root = psutil.Process(self._pid)
            for process in [root, *root.children(recursive=True)]:
                if self._roles.get(process.pid) in UNSETTLED:
                    self._roles[process.pid] = role(process.pid)
                self._now[process.pid] = cpu_seconds(process.pid)
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            return

    def begin(self) -> None:
        """Count from here."""
        self.sample(force=True)
        self._base = dict(self._now)

    def us_per_event(self, events: int) -> dict[str, float]:
        """CPU µs an event, by role."""
        self.sample(force=True)
        found: dict[str, float] = {}
        for pid, seconds in self._now.items():
            used = seconds - self._base.get(pid, 0.0)
            found[self._roles[pid]] = found.get(self._roles[pid], 0.0) + used * 1e6 / events
        return {name: round(us, 3) for name, us in sorted(found.items())}

    def pids(self, prefix: str) -> list[int]:
        """The live processes of a role."""
        self.sample(force=True)
        return [p for p, r in self._roles.items() if r.startswith(prefix) and psutil.pid_exists(p)]


def machine() -> dict[str, object]:
    """Where it was measured."""
    cpu = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    packages = ("flowc", "pyzmq", "pyarrow", "duckdb", "msgspec")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


class Noise:
    """The share of all cores that others used: what is busy and not below our pid."""

    def __init__(self) -> None:
        self._busy, self._begun = _busy_seconds(), time.monotonic()

    def share(self, own_seconds: float) -> float:
        """Since the start; `own_seconds` of CPU were ours."""
        wall = (time.monotonic() - self._begun) * (os.cpu_count() or 1)
        return round(max(0.0, _busy_seconds() - self._busy - own_seconds) / wall, 3)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
