"""What a run is made of, and what the supervisor knows of each part."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from flowc_engine.supervisor.restarts import Restarts


class Kind(StrEnum):
    BROKER = "broker"
    LOG = "log"
    WARM = "warm"
    HOST = "host"
    SOURCE = "source"


WORKERS = (Kind.HOST, Kind.SOURCE)


class Child(NamedTuple):
    """One process of a run; `slot` is the replica of a service."""

    kind: Kind
    name: str = ""
    slot: int = 0

    @property
    def file_stem(self) -> str:
        """The name of its log file, without `.log`."""
        match self.kind:
            case Kind.HOST:
                return f"service-{self.name}-{self.slot}"
            case Kind.SOURCE:
                return f"source-{self.name}"
            case _:
                return self.kind.value

    def __str__(self) -> str:
        match self.kind:
            case Kind.HOST:
                return f"service {self.name}" + (f" (replica {self.slot})" if self.slot else "")
            case Kind.SOURCE:
                return f"source {self.name}"
            case Kind.LOG:
                return "the log process"
            case Kind.WARM:
                return "the warm parent"
            case _:
                return "the broker"


BROKER, LOG, WARM = Child(Kind.BROKER), Child(Kind.LOG), Child(Kind.WARM)


class Life(StrEnum):
    WAITING = "waiting"  # for its turn to start
    STARTING = "starting"
    UP = "up"
    BACKOFF = "restarting"
    DONE = "done"  # a source that is exhausted
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(slots=True)
class ChildState:
    """`due_ms`: when to start it again. `kill_ms`: when its patience after SIGTERM ends.

    `reason`: why it failed: in its own words if it said any, else how it ended and the last lines
    that it wrote. `in_short`: the same in one line.
    """

    child: Child
    life: Life = Life.WAITING
    restarts: Restarts = field(default_factory=Restarts)
    due_ms: int | None = None
    kill_ms: int | None = None
    was_up: bool = False
    elsewhere: bool = False
    """It is not ours to start or to stop; how it lives is what the broker sees of it."""
    reason: str = ""
    in_short: str = ""

    def own_words(self, tail: str) -> str:
        """What it said was wrong, in the last lines that it wrote; "" if it did not."""
        who = "source" if self.child.kind is Kind.SOURCE else "service"
        _, said, words = tail.rpartition(f"error: {who} {self.child.name}: ")
        return words.strip() if said else ""

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        return self.life in (Life.STARTING, Life.UP)

    @property
    def pending(self) -> bool:
        """Whether there will be one."""
        return self.life in (Life.WAITING, Life.BACKOFF)


class Exit(NamedTuple):
    """How a process ended: `code` as of `Popen.returncode`, negative for a signal.

    `hopeless`: starting it again can't help. `tail`: the last lines of its log file.
    """

    code: int
    tail: str = ""
    hopeless: bool = False

    def __str__(self) -> str:
        if self.code < 0:
            try:
                return f"killed by {signal.Signals(-self.code).name}"
            except ValueError:
                return f"killed by signal {-self.code}"
        return f"exit code {self.code}"
