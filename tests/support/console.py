"""The ```console blocks of a README, as commands that can be run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Command:
    """A line that began with `$`, and what is shown below it."""

    line: str
    shown: list[str] = field(default_factory=list)


def commands(readme: str) -> list[Command]:
    """All commands of a README in order; a line that ends in `\\` goes on."""
    found: list[Command] = []
    goes_on = False
    for line in "".join(_BLOCK.findall(readme)).splitlines():
        if goes_on:
            found[-1].line += line
        elif line.startswith("$ "):
            found.append(Command(line[2:]))
        else:
            found[-1].shown.append(line.rstrip())
            continue
        goes_on = found[-1].line.endswith("\\")
        found[-1].line = found[-1].line.removesuffix("\\")
    return found


def flowc(*arguments: str, cwd: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the command line, as `python -m` would; the exit code is the caller's to look at."""
    return subprocess.run(
        [sys.executable, "-c", "from flowc_engine.cli import main; main()", *arguments],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def run(command: Command, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command; only flowc's own are known."""
    program, *arguments = shlex.split(command.line)
    assert program == "flowc", command.line
    return flowc(*arguments, cwd=cwd, timeout_s=300)


def shows(output: str, shown: list[str]) -> bool:
    """Whether `shown` came out. A line `…` stands for any lines, `…` in a line for anything."""
    pattern = "".join(_line_pattern(line) for line in shown if line)
    text = "".join(f"{line.rstrip()}\n" for line in output.splitlines() if line.strip())
    return re.fullmatch(pattern, text) is not None


def _line_pattern(line: str) -> str:
    if line.strip() == "…":
        return r"(?:.*\n)*?"
    return ".*?".join(re.escape(part) for part in line.split("…")) + r"\n"
