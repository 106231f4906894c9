"""The supervisor's loop: signals, processes and the broker's status in, the core's effects out."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import methodcaller
from types import FrameType
from typing import Protocol

import zmq

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.supervisor import core as sc
from flowc_engine.supervisor.launch import Ended, Processes, Ready
from flowc_engine.supervisor.tally import Tally

_EAGER_MS = 50  # between looks while something is about to change
_ANSWER_MS = 500  # then the question is taken to be lost


class Screen(Protocol):
    """What shows a run."""

    def say(self, say: sc.Say) -> None:
        """Something happened."""

    def show(self, core: sc.RunCore, tally: Tally, uptime_ms: int) -> None:
        """How it stands; called several times a second."""

    def close(self) -> None:
        """The run is over."""


class _NoScreen:
    """Nobody watches any more."""

    def say(self, say: sc.Say) -> None:
        pass

    def show(self, core: sc.RunCore, tally: Tally, uptime_ms: int) -> None:
        pass

    def close(self) -> None:
        pass


class RunDriver:
    """Runs `core` to its end. Must be used in the main thread: it takes the signals."""

    def __init__(
        self, core: sc.RunCore, processes: Processes, endpoint: str, screen: Screen
    ) -> None:
        self.core, self.tally = core, Tally()
        self._processes, self._screen = processes, screen
        self._signals: deque[int] = deque()
        self._code: int | None = None
        self._asked_ms: int | None = None
        self._ask_ms = 0
        self._started_ms = _now_ms()
        hello = wire.Hello("control", "control", 0, secrets.token_hex(8), "", os.getpid())
        self._client = Client(endpoint, hello)

    @property
    def uptime_ms(self) -> int:
        """Since the run began."""
        return _now_ms() - self._started_ms

    def run(self) -> int:
        """The exit code comes back, and no process is left."""
        try:
            with signals_to(self._signals.append) as wake:
                self.core.begin()
                while self._code is None:
                    self._wait(wake)
                    self._look()
                    self._carry_out()
            return self._code
        finally:
            self._processes.kill_all()
            self._client.close()
            self._on_screen(lambda s: s.close())

    def _on_screen(self, show: Callable[[Screen], None]) -> None:
        """A terminal that is gone is no reason to stop."""
        try:
            show(self._screen)
        except OSError:
            self._screen = _NoScreen()

    def _wait(self, wake: int) -> None:
        poller = zmq.Poller()
        poller.register(self._client.socket, zmq.POLLIN)
        for fd in (wake, *self._processes.fds()):
            poller.register(fd, zmq.POLLIN)
        for fd, _ in poller.poll(limits.TICK_MS if self._eager else limits.STATUS_EVERY_MS // 2):
            if fd == wake:
                os.read(wake, 4096)

    @property
    def _eager(self) -> bool:
        return self.core.about_to_change

    def _look(self) -> None:
        now = _now_ms()
        while self._signals:
            self._signals.popleft()
            self.core.interrupt(now)
        for news in self._processes.news():
            match news:
                case Ready():
                    self.core.ready(news.child, now)
                case Ended():
                    self.core.exited(news.child, news.how, now)
        self._hear(now)
        self._ask(now)
        self.core.tick(now)

    def _hear(self, now_ms: int) -> None:
        while (got := self._client.receive(0)) is not None:
            match got[0]:
                case wire.Status() as status:
                    self._seen(status, now_ms)
                case wire.Rescaled() as done:
                    self.core.rescaled(done.service, done.replicas, now_ms)
                case wire.Refused("replicas", why):
                    self.core.refused(why, now_ms)

    def _seen(self, status: wire.Status, now_ms: int) -> None:
        self._asked_ms = None
        self.tally.update(status, now_ms)
        self.core.seen(status, now_ms)
        if self.core.draining and not status.draining:
            self._client.send(wire.Drain())  # the first one met a broker that did not know us
        self._on_screen(lambda s: s.show(self.core, self.tally, self.uptime_ms))

    def _ask(self, now_ms: int) -> None:
        lost = self._asked_ms is not None and now_ms - self._asked_ms > _ANSWER_MS
        if (self._asked_ms is None and now_ms >= self._ask_ms) or lost:
            self._asked_ms = now_ms
            self._ask_ms = now_ms + (_EAGER_MS if self._eager else limits.STATUS_EVERY_MS)
            if self.core.broker_is_up:
                self._client.send(wire.StatusRequest())

    def _carry_out(self) -> None:
        for effect in self.core.take():
            match effect:
                case sc.Spawn():
                    self._processes.spawn(effect.child)
                case sc.Kill():
                    self._processes.signal(effect.child, effect.signal)
                case sc.SendDrain():
                    self._client.send(wire.Drain())
                case sc.SendRescale():
                    self._client.send(wire.Rescale(effect.service, effect.replicas))
                case sc.Say():
                    self._on_screen(methodcaller("say", effect))
                case sc.Finish():
                    self._code = effect.code


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@contextmanager
def signals_to(take: Callable[[int], None]) -> Iterator[int]:
    """SIGINT, SIGTERM, SIGHUP go to `take`; the descriptor is readable after them and SIGCHLD."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def handle(number: int, _frame: FrameType | None) -> None:
        take(number)

    old = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    old[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
    old_fd = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        yield read_end
    finally:
        signal.set_wakeup_fd(old_fd)
        for number, handler in old.items():
            signal.signal(number, handler)
        os.close(read_end)
        os.close(write_end)
