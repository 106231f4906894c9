"""One replica of a service whose broker is on another machine: started, watched, started again.

Nothing but Ctrl-C ends it, or what another start can't mend. A broker that is away is waited for;
one that drains ends the process, and the next process waits for the next broker.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import zmq

from flowc_engine import limits
from flowc_engine.bus.client import Client
from flowc_engine.supervisor.children import WARM, Child, Exit
from flowc_engine.supervisor.core import EXIT_CLEAN, EXIT_FAILURE, EXIT_INTERRUPTED
from flowc_engine.supervisor.driver import signals_to
from flowc_engine.supervisor.launch import Ended, Processes, Ready
from flowc_engine.supervisor.restarts import Restarts

_NEVER: Final = float("inf")


class LoneService:
    """Runs `child` in the main thread: it takes the signals. `probe`: a connection of its own, to
    see how the link stands. `say` is told what happens."""

    def __init__(
        self, processes: Processes, child: Child, probe: Client, say: Callable[[str], None]
    ) -> None:
        self._processes, self._child, self._probe, self._say = processes, child, probe, say
        self._signals: deque[int] = deque()
        self._restarts = Restarts()
        self._start_ms: float = _NEVER
        self._kill_ms: float = _NEVER
        self._alive = self._stopping = False
        self._fault = probe.fault
        self._code: int | None = None

    def run(self) -> int:
        """The exit code comes back, and no process is left."""
        try:
            with signals_to(self._signals.append) as wake:
                self._processes.spawn(WARM)
                while self._code is None:
                    self._wait(wake)
                    self._look(_now_ms())
            return self._code
        finally:
            self._processes.kill_all()

    def _wait(self, wake: int) -> None:
        poller = zmq.Poller()
        poller.register(self._probe.socket, zmq.POLLIN)
        for fd in (wake, *self._processes.fds()):
            poller.register(fd, zmq.POLLIN)
        for fd, _ in poller.poll(limits.STATUS_EVERY_MS):
            if fd == wake:
                os.read(wake, 4096)

    def _look(self, now_ms: int) -> None:
        while self._signals:
            self._signals.popleft()
            self._interrupt(now_ms)
        for news in self._processes.news():
            match news:
                case Ready(child=child) if child == WARM:
                    self._start_ms = now_ms
                case Ended(child=child, how=how) if child == WARM:
                    self._finish(EXIT_FAILURE, f"error: the warm parent ended: {how}")
                case Ended(how=how):
                    self._ended(how, now_ms)
        while self._probe.receive(0) is not None:
            pass  # what it says, it says to the service's process too
        self._watch_link()
        if now_ms >= self._start_ms and not self._stopping:
            self._start_ms, self._alive = _NEVER, True
            self._processes.spawn(self._child)
        if now_ms >= self._kill_ms:
            self._kill_ms = now_ms + limits.KILL_AFTER_MS
            self._processes.signal(self._child, signal.SIGKILL)

    def _watch_link(self) -> None:
        if self._probe.fault != self._fault:
            self._fault = self._probe.fault
            what = f"waiting for the broker: {self._fault}" if self._fault else "connected again"
            self._say(what)

    def _interrupt(self, now_ms: int) -> None:
        if self._stopping:
            self._finish(EXIT_INTERRUPTED)
            return
        self._stopping = True
        if not self._alive:
            self._finish(EXIT_CLEAN)
            return
        self._say(f"draining: {self._child} finishes what it has at hand")
        self._kill_ms = now_ms + limits.DRAIN_MS_MAX
        self._processes.signal(self._child, signal.SIGTERM)

    def _ended(self, how: Exit, now_ms: int) -> None:
        self._alive = False
        last = how.tail.strip().rpartition("\n")[2].removeprefix("error: ")
        if self._stopping:
            self._finish(EXIT_CLEAN)
        elif how.code == 0:
            self._say("drained by the broker; waiting for the next")
            self._start_ms = now_ms + limits.DRAINED_PAUSE_MS
        elif how.hopeless:
            self._finish(EXIT_FAILURE, f"error: {last or how}")
        elif (due_ms := self._restarts.died(now_ms)) is None:
            times = f"died {limits.RESTARTS_MAX + 1} times in {limits.RESTARTS_WINDOW_MS // 1000} s"
            self._finish(EXIT_FAILURE, f"error: {self._child} {times}, at last: {last or how}")
        else:
            self._start_ms = due_ms
            again = f"starting it again in {due_ms - now_ms} ms"
            self._say(f"{self._child} died ({how}); {again}")

    def _finish(self, code: int, why: str = "") -> None:
        if self._code is None:
            self._code = code
            if why:
                self._say(why)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
