"""Graphviz's `dot`, run as a process that is killed when its time is up."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

VERSION = re.compile(r"graphviz version ([\d.]+)")


class DotError(Exception):
    """`dot` is missing, failed, or took too long; the message says which."""


def find_dot() -> str | None:
    """The path of the `dot` program, if there is one."""
    return shutil.which("dot")


def run_dot(
    text: str, kinds: tuple[Literal["svg", "png"], ...], budget_ms: int
) -> dict[str, bytes]:
    """Lay the DOT text out once, and write each kind of picture. Raises `DotError`.

    The whole process group is killed after `budget_ms`: some pictures take Graphviz minutes.
    """
    dot = find_dot()
    if dot is None:
        raise DotError("no dot program")
    with TemporaryDirectory(prefix="flowc-dot-") as folder:
        outputs = {kind: Path(folder, f"picture.{kind}") for kind in kinds}
        options = [part for kind in kinds for part in (f"-T{kind}", f"-o{outputs[kind]}")]
        errors = _run([dot, *options], text.encode(), budget_ms)
        try:
            return {kind: path.read_bytes() for kind, path in outputs.items()}
        except FileNotFoundError as error:
            raise DotError(f"dot wrote no picture: {_last_line(errors)}") from error


def dot_version() -> str:
    """The version of the installed `dot`, or "" if it does not say."""
    dot = find_dot()
    if dot is None:
        return ""
    try:
        done = subprocess.run([dot, "-V"], capture_output=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = VERSION.search((done.stderr + done.stdout).decode(errors="replace"))
    return found[1] if found else ""


def _run(command: list[str], text: bytes, budget_ms: int) -> str:
    """What the process wrote to stderr, once it ended well."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise DotError(f"dot does not start: {error.strerror or error}") from error
    with process:
        try:
            _, errors = process.communicate(text, timeout=budget_ms / 1000)
        except subprocess.TimeoutExpired:
            raise DotError(f"dot took more than {budget_ms / 1000:g} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    message = errors.decode(errors="replace")
    if process.returncode:
        raise DotError(f"dot failed: {_last_line(message) or f'exit code {process.returncode}'}")
    return message


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:200]
