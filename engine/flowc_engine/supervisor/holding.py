"""Holding a system's state, and clearing it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from flowc_engine import limits
from flowc_engine.state import STORES_FOLDER, StateDir, StateHeldError

_POLL_S = 0.05
_OWN_NAMES = (
    "plan.json", "plan.json.new", "schemas.json", "plans.txt", "sockets", "broker.sock", "log.sock",
)  # fmt: skip
_OWN_FOLDERS = ("journal", "logs")


class HeldError(Exception):
    """The state is another process's; the text says whose."""


@contextmanager
def hold(state: StateDir) -> Iterator[None]:
    """Hold the state; a command that holds it for a moment only is waited for.

    Raises `HeldError`, and `OSError` where the folder can't be made.
    """
    state.create()
    deadline = time.monotonic() + limits.HOLD_MS_MAX / 1000
    while True:
        try:
            handle = state.lock()
            break
        except StateHeldError as error:
            if not _is_brief(error.pid) or time.monotonic() > deadline:
                raise HeldError(_who(error)) from None
        time.sleep(_POLL_S)
    with handle:
        yield


def clear(state: StateDir) -> None:
    """Delete what flowc has made in the state's folder, and nothing else. It must be held."""
    for name in _OWN_FOLDERS:
        shutil.rmtree(state.path / name)
    for path in list(state.path.iterdir()):
        if path.name in _OWN_NAMES or path.name.startswith("log.duckdb"):
            path.unlink()
    for name in ("log.spill", "archive", STORES_FOLDER):
        shutil.rmtree(state.path / name, ignore_errors=True)
    state.create()


def _command(pid: int) -> list[str]:
    """The words of a process's command line; none if it is gone or not to be seen."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [word.decode(errors="replace") for word in raw.split(b"\0") if word]


def _verb(pid: int) -> str:
    """`flowc run`, or whatever the process is."""
    words = _command(pid)
    for index, word in enumerate(words):
        if Path(word).name in ("flowc", "flowc.exe") and index + 1 < len(words):
            return f"flowc {words[index + 1]}"
    return Path(words[0]).name if words else ""


def _is_brief(pid: int) -> bool:
    return _verb(pid) in ("flowc emit", "flowc parked", "flowc replay")


def _who(error: StateHeldError) -> str:
    if not error.pid:
        return f"{error.path} is held by another process; stop it first"
    verb = _verb(error.pid)
    try:
        ago = Path(f"/proc/{error.pid}").stat().st_mtime
        since = f" since {datetime.fromtimestamp(ago).astimezone():%Y-%m-%d %H:%M:%S}"
    except OSError:
        since = ""
    about = f" ({verb}{since})" if verb else ""
    return (
        f"{error.path} is held by process {error.pid}{about}; "
        f"stop it first (Ctrl-C there, or `kill {error.pid}`)"
    )


@contextmanager
def sockets_of(state: StateDir) -> Iterator[Path]:
    """The folder of a run's sockets, for as long as it is up."""
    folder = state.make_sockets()
    try:
        yield folder
    finally:
        if folder != state.path:  # made because the state's path is too long for a socket
            shutil.rmtree(folder, ignore_errors=True)
