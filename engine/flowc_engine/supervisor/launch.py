"""Starting and watching the processes of a run.

The broker, the log process and the warm parent are children of this process, each in a process
group of its own, so that Ctrl-C on the terminal reaches nobody but the supervisor. Services and
sources are children of the warm parent (its protocol: `flowc.warm`). Each has a text file for what
it writes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from flowc_engine import limits
from flowc_engine.config import SourceConfig
from flowc_engine.process import STARTER_VARIABLE
from flowc_engine.state import StateDir, broker_endpoint, query_endpoint
from flowc_engine.supervisor.children import BROKER, LOG, WARM, WORKERS, Child, Exit, Kind

_TAIL_BYTES_MAX: Final = 16 * limits.KIB
_HOPELESS: Final = {
    Kind.BROKER: frozenset({3, 4}),
    Kind.LOG: frozenset({2, 3, 4}),
    Kind.WARM: frozenset[int](),
    Kind.HOST: frozenset(
        {2, 10, 11, 13, 14}
    ),  # of `flowc.exits`: usage, code, halted, refused, store
    Kind.SOURCE: frozenset({2, 10, 11, 13}),
}
"""Exit codes after which another start would end the same way."""


@dataclass(frozen=True, slots=True)
class Ready:
    child: Child


@dataclass(frozen=True, slots=True)
class Ended:
    child: Child
    how: Exit


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Where a run lives: the project's root, its state (held, with its plan written), sockets.

    `listen`: where the broker listens besides. `remote`: the broker is there, on another machine,
    and `key` is the file with the key for it.
    """

    root: Path
    state: StateDir
    sockets: Path
    listen: str | None = None
    remote: str | None = None
    key: Path | None = None

    @property
    def broker(self) -> str:
        """The broker's endpoint."""
        return self.remote or broker_endpoint(self.sockets)

    def log_path(self, child: Child) -> Path:
        """The file for what a process writes."""
        return self.state.logs / f"{child.file_stem}.log"

    def suspects_path(self, child: Child) -> Path:
        """The file in which a replica's processes note what they are at (`flowc.suspects`)."""
        return self.state.logs / f"{child.file_stem}.suspects"


class Processes:
    """The processes of one run. `fds` are to be polled; `news` says what happened to them."""

    def __init__(self, files: RunFiles, sources: tuple[SourceConfig, ...]) -> None:
        self._files = files
        self._sources = {s.name: s for s in sources}
        self._own: dict[Child, subprocess.Popen[bytes]] = {}
        self._rest: dict[Child, bytes] = {}
        self._asked: dict[int, Child] = {}  # of the warm parent, by request
        self._workers: dict[int, Child] = {}  # by process id
        self._pending_signals: dict[Child, int] = {}
        self._log_start: dict[Child, int] = {}
        self._requests = 0
        self._news: list[Ready | Ended] = []

    # ---- doing

    def spawn(self, child: Child) -> None:
        """Start a process; how that went comes as news."""
        path = self._files.log_path(child)
        if child not in self._log_start:  # the first of this run follows nobody
            self._files.suspects_path(child).unlink(missing_ok=True)
        self._log_start[child] = _open_log(path)
        if child.kind in WORKERS:
            self._spawn_worker(child, path)
            return
        with path.open("ab") as log:
            self._own[child] = subprocess.Popen(
                [sys.executable, "-I", *self._command(child)],
                stdin=subprocess.PIPE if child == WARM else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,
                env={**os.environ, STARTER_VARIABLE: str(os.getpid())},
            )
        self._rest[child] = b""
        os.set_blocking(_stdout(self._own[child]).fileno(), False)

    def signal(self, child: Child, number: int) -> None:
        """Send a signal; SIGKILL goes to the whole process group."""
        if child in self._own:
            if number == signal.SIGKILL:
                _kill_group(self._own[child].pid)
            else:
                self._own[child].send_signal(number)
            return
        for pid, worker in self._workers.items():
            if worker == child:
                self._signal_worker(pid, number)
                return
        if child in self._asked.values():  # asked for, and not there yet
            self._pending_signals[child] = number

    def kill_all(self) -> None:
        """SIGKILL for every process and its group, and wait for those that are our children."""
        for pid in self._workers:
            _kill_group(pid)
        for process in self._own.values():
            _kill_group(process.pid)
        for child in list(self._own):
            self._own[child].wait()
            self._close(child)
        self._workers.clear()

    # ---- what happened

    def fds(self) -> list[int]:
        """Readable when there is news."""
        return [_stdout(p).fileno() for p in self._own.values()]

    def pid(self, child: Child) -> int | None:
        """The process id of a child, if it runs."""
        if child in self._own:
            return self._own[child].pid
        return next((pid for pid, worker in self._workers.items() if worker == child), None)

    def news(self) -> list[Ready | Ended]:
        """What has happened since the last call."""
        for child, process in list(self._own.items()):
            code = process.poll()  # before reading: what it wrote last is then there
            for line in self._lines(child, process):
                self._heard(child, line)
            if code is not None:
                self._ended(child, code)
                self._close(child)
        news, self._news = self._news, []
        return news

    # ---- inside

    def _command(self, child: Child) -> list[str]:
        state = self._files.state
        shared = ["--state", str(state.path), "--plan", str(state.plan_file)]
        if child == BROKER:
            tcp = ["--tcp", self._files.listen] if self._files.listen else []
            return ["-m", "flowc_engine.broker", *shared, "--listen", self._files.broker, *tcp]
        if child == LOG:
            query = query_endpoint(self._files.sockets)
            listen = ["--broker", self._files.broker, "--query", query]
            return ["-m", "flowc_engine.log", *shared, *listen]
        return ["-m", "flowc.warm"]

    def _spawn_worker(self, child: Child, log: Path) -> None:
        self._requests += 1
        self._asked[self._requests] = child
        plan, root = str(self._files.state.plan_file), str(self._files.root)
        argv = ["--plan", plan, "--broker", self._files.broker, "--root", root]
        argv += ["--key", str(self._files.key)] if self._files.key else []
        argv += ["--name" if child.kind is Kind.SOURCE else "--service", child.name]
        if child.kind is Kind.SOURCE:
            source = self._sources[child.name]
            argv += ["--target", source.target, "--args", json.dumps(source.args, default=str)]
            argv += ["--emits", ",".join(source.emits)] if source.emits else []
        else:
            suspects = str(self._files.suspects_path(child))
            argv += ["--slot", str(child.slot), "--suspects", suspects]
        module = "flowc.source" if child.kind is Kind.SOURCE else "flowc.host"
        command = {"id": self._requests, "module": module, "argv": argv, "log": str(log)}
        self._tell_warm(command)

    def _tell_warm(self, command: dict[str, Any]) -> None:
        process = self._own.get(WARM)
        if process is None:
            return  # it has died: its news tells what becomes of its children
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # the same
            process.stdin.write(json.dumps(command).encode() + b"\n")
            process.stdin.flush()

    def _signal_worker(self, pid: int, number: int) -> None:
        if number == signal.SIGKILL:
            _kill_group(pid)
        else:
            self._tell_warm({"signal": int(number), "pid": pid})

    def _lines(self, child: Child, process: subprocess.Popen[bytes]) -> list[bytes]:
        fd = _stdout(process).fileno()
        while True:
            try:
                data = os.read(fd, 65_536)
            except BlockingIOError:
                break
            if not data:
                break
            self._rest[child] += data
        *lines, self._rest[child] = self._rest[child].split(b"\n")
        return lines

    def _heard(self, child: Child, line: bytes) -> None:
        if child != WARM:
            if line == b"ready":
                self._news.append(Ready(child))
            return
        said = json.loads(line)
        if "ready" in said:
            self._news.append(Ready(WARM))
        elif "error" in said:
            worker = self._asked.pop(said["id"])
            self._news.append(Ended(worker, Exit(1, said["error"])))
        elif "id" in said:
            worker = self._asked.pop(said["id"])
            self._workers[said["pid"]] = worker
            if worker in self._pending_signals:
                self._signal_worker(said["pid"], self._pending_signals.pop(worker))
        else:
            _kill_group(said["pid"])  # what it may have started itself
            code = said["exit"] if "exit" in said else -said["signal"]
            self._ended(self._workers.pop(said["pid"]), code)

    def _ended(self, child: Child, code: int) -> None:
        tail = _tail(self._files.log_path(child), self._log_start[child])
        how = Exit(code, tail, hopeless=code in _HOPELESS[child.kind])
        self._news.append(Ended(child, how))
        if child == WARM:
            for pid in self._workers:
                _kill_group(pid)
            self._workers.clear()
            self._asked.clear()
            self._pending_signals.clear()

    def _close(self, child: Child) -> None:
        process = self._own.pop(child)
        _stdout(process).close()
        if process.stdin is not None:
            with suppress(BrokenPipeError):  # what was not read by the dead
                process.stdin.close()


def _stdout(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left in it
        os.killpg(pid, signal.SIGKILL)


def _open_log(path: Path) -> int:
    """Where the file ends now; an old one that has grown large makes room."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    if size > limits.PROCESS_LOG_BYTES_MAX:
        path.replace(path.with_name(path.name + ".old"))
        return 0
    return size


def _tail(path: Path, start: int) -> str:
    """The last lines written behind byte `start`."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - _TAIL_BYTES_MAX))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-limits.LOG_TAIL_LINES :])
