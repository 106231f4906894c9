"""How far the log is, shared between the thread that applies and those that answer queries."""

from __future__ import annotations

import os
import time
from threading import Condition
from typing import Final, NamedTuple

from flowc_engine.bus import wire
from flowc_engine.log.readers import QueryError, Readers

_ASK_AGAIN_S = 0.5


class Reached(NamedTuple):
    """All events below `offset` and all records below `record`: what is parked is a record, and no
    event."""

    offset: int = 0
    record: int = 0

    def covers(self, other: Reached) -> bool:
        """Whether this is as far as the other."""
        return self.offset >= other.offset and self.record >= other.record


NOTHING: Final = Reached(-1, -1)


class Progress:
    """The applying thread says where it is; the others wait, and wake it through `wake_fd`."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._applied = NOTHING
        self._readers: Readers | None = None
        self._target = Reached()  # the log should hurry to here
        self._asked = 0  # counts the questions where the broker is
        self._answered = 0
        self._end = Reached()  # where it was at the last answer
        self._asked_now = False
        self.damaged = False
        self.wake_fd, self._wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # ---- the applying thread

    def opened(self, readers: Readers, applied: Reached) -> None:
        """Queries can be answered."""
        with self._changed:
            self._readers, self._applied, self.damaged = readers, applied, False
            self._changed.notify_all()

    def closed(self) -> None:
        """They can't, for now."""
        with self._changed:
            self._readers, self._applied = None, NOTHING
            self._changed.notify_all()

    def applied(self, applied: Reached) -> None:
        """So much is in the log."""
        with self._changed:
            self._applied = applied
            self._changed.notify_all()

    def take_question(self) -> bool:
        """Whether someone wants to know where the broker is; once for all who ask by now."""
        drain(self.wake_fd)
        with self._changed:
            asked, self._asked_now = self._asked_now, False
            return asked

    def answer(self, status: wire.Status, asked: int) -> None:
        """What was acknowledged when question `asked` was put."""
        with self._changed:
            self._end = Reached(status.offset, status.record)
            self._answered = asked
            self._changed.notify_all()

    @property
    def asked(self) -> int:
        """The number of the last question."""
        return self._asked

    @property
    def hurry(self) -> bool:
        """Whether a query waits for what was not applied yet."""
        return not self._applied.covers(self._target)

    # ---- the answering threads

    def readers_at(self, wanted: Reached, timeout_ms: int) -> tuple[Readers, int, bool]:
        """The open log's readers, the offset it is at, and whether it is as far as `wanted`: after
        `timeout_ms` it may not be.

        Raises `QueryError` when the log stays closed.
        """
        with self._changed:
            self._target = Reached(*map(max, self._target, wanted))
            self.wake()
            self._changed.wait_for(
                lambda: self._readers is not None and self._applied.covers(wanted),
                timeout_ms / 1000,
            )
            if self._readers is None:
                raise QueryError("unavailable", "the log is not open: see logs/log.log")
            return self._readers, self._applied.offset, self._applied.covers(wanted)

    def acknowledged(self, timeout_ms: int) -> Reached | None:
        """What was acknowledged by now; None if the broker does not say."""
        deadline = time.monotonic() + timeout_ms / 1000
        with self._changed:
            mine = self._asked + 1
            while self._answered < mine:
                if time.monotonic() > deadline:
                    return None
                self._asked += 1  # and again, when the broker is not there to answer
                self._asked_now = True
                self.wake()
                self._changed.wait_for(lambda: self._answered >= mine, _ASK_AGAIN_S)
            return self._end

    def report_damage(self) -> None:
        """A query met a damaged block."""
        self.damaged = True
        self.wake()

    def wake(self) -> None:
        """Have the applying thread look again."""
        wake(self._wake_end)

    def close(self) -> None:
        """Close the pipe, after all other threads have ended."""
        os.close(self.wake_fd)
        os.close(self._wake_end)


def wake(fd: int) -> None:
    """Make the reading end of a pipe readable."""
    try:
        os.write(fd, b"\0")
    except BlockingIOError:
        return  # full, so the reader will wake


def drain(fd: int) -> None:
    """Empty a pipe."""
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return
