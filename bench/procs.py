"""What processes use, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Cpu:
    """The CPU time of a process from now on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._begun = cpu_seconds(pid)

    def seconds(self) -> float:
        """User and system, all threads."""
        return cpu_seconds(self._pid) - self._begun


def cpu_seconds(pid: int) -> float:
    """User and system time since its start; ns resolution where the kernel has it."""
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
    """The memory that would be free if this process ended."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
