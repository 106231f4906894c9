"""Where a system's state lives on disk, and who holds it.

`.flow/<system>/` under the project's root:

    lock            held (flock) by the supervisor of the run; holds its pid as text
    plan.json       the plan in force
    schemas.json    the plans that the stored events were written with, see `generations`
    journal/        segments, see `flowc_engine.journal`
    log.duckdb      the event log, touched by the log process only (DuckDB loses its lock if another
                    descriptor of the same process is closed)
    services/       of replicas that run here while the broker is elsewhere, a folder each
    keys/           who may come over TCP, see `keys`; outlives `--fresh`
    archive/        Parquet files, see `flowc_engine.log.archive`
    logs/           one text file a process
    stores/         a folder a service with a store, see `flowc.stores`
    sockets         a text file: the folder of the run's ipc sockets
    replays/        forks of the log, see `flowc_engine.replaying.fork`
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SCHEMAS_FILE = "schemas.json"
STORES_FOLDER = "stores"
SOCKET_PATH_MAX = 100  # of the kernel's 107 bytes


class StateHeldError(Exception):
    """Another process holds this state; `pid` is its process id, or 0 if unknown."""

    def __init__(self, path: Path, pid: int) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"{path} is held by {who}")
        self.path = path
        self.pid = pid


@dataclass(frozen=True, slots=True)
class StateDir:
    """The paths of one system's state. Nothing is made before `create`."""

    root: Path  # the project's root
    system: str

    @property
    def path(self) -> Path:
        return self.root / ".flow" / self.system

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def log_file(self) -> Path:
        return self.path / "log.duckdb"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def replays(self) -> Path:
        return self.path / "replays"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def plan_file(self) -> Path:
        return self.path / "plan.json"

    @property
    def schemas_file(self) -> Path:
        return self.path / SCHEMAS_FILE

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def sockets_file(self) -> Path:
        return self.path / "sockets"

    def create(self) -> None:
        """Make the folders, private to the user: whoever can enter can talk to the broker."""
        os.umask(0o077)
        for folder in (self.path, self.journal, self.logs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if folder.stat().st_mode & 0o077:  # made by hand, or copied
                folder.chmod(0o700)

    def lock(self) -> IO[str]:
        """Hold the state until the returned file is closed. Raises `StateHeldError`."""
        handle = self.lock_file.open("a+", encoding="utf-8")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            text = handle.read().strip()
            handle.close()
            raise StateHeldError(self.path, int(text) if text.isdigit() else 0) from None
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        return handle

    def make_sockets(self) -> Path:
        """Make a 0700 folder short enough for socket paths, and note it for other commands."""
        folder = self.path
        if len(str(folder / "broker.sock").encode()) > SOCKET_PATH_MAX:
            folder = Path(tempfile.mkdtemp(prefix="flowc-"))
        self.sockets_file.write_text(f"{folder}\n", encoding="utf-8")
        return folder

    def sockets(self) -> Path | None:
        """The folder of the sockets of the run that is up, or was last; None before the first."""
        try:
            return Path(self.sockets_file.read_text(encoding="utf-8").strip())
        except FileNotFoundError:
            return None


@dataclass(frozen=True, slots=True)
class ServiceDir(StateDir):
    """What one replica of a service keeps on a machine that is not the broker's."""

    service: str
    slot: int

    @property
    def path(self) -> Path:
        return self.root / ".flow" / self.system / "services" / f"{self.service}-{self.slot}"


def broker_endpoint(sockets: Path) -> str:
    """Where the broker listens."""
    return f"ipc://{sockets / 'broker.sock'}"


def query_endpoint(sockets: Path) -> str:
    """Where the log process answers queries."""
    return f"ipc://{sockets / 'log.sock'}"
