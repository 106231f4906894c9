"""The ```console blocks of a README, as commands that can be run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CHANGES = re.compile(r"#\d+|\+[\d.]+ ms")  # offsets and times of a trace
_BRANCHES = str.maketrans("├└│─", "    ")


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
            found[-1].line += f"\n{line}"
        elif line.startswith("$ "):
            found.append(Command(line[2:]))
        else:
            found[-1].shown.append(line)
            continue
        goes_on = found[-1].line.endswith("\\")
    return found


def flowc(*arguments: str, cwd: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the command line; the exit code is the caller's to look at."""
    start = "from flowc_engine.cli import main; main()"
    return _run([sys.executable, "-c", start, *arguments], cwd, timeout_s)


def run(command: Command, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell, as its reader would."""
    return _run(["sh", "-c", command.line], cwd, timeout_s=300)


def _run(command: list[str], cwd: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120", "PATH": path}
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def shows(output: str, shown: list[str]) -> bool:
    """Whether `shown` came out, but for offsets and times; a line `…` stands for any lines."""
    pattern = "".join(_pattern(line) for line in _lines("\n".join(shown)))
    text = "".join(f"{line}\n" for line in _lines(output))
    return re.fullmatch(pattern, text) is not None


def _lines(text: str) -> list[str]:
    """What is compared of a text. Branches of a tree come in any order."""
    lines = [_CHANGES.sub("#", line.rstrip()) for line in text.splitlines() if line.strip()]
    if not any(branch in text for branch in "├└│"):
        return lines
    return sorted(line.translate(_BRANCHES).strip() for line in lines)


def _pattern(line: str) -> str:
    return r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line) + r"\n"
