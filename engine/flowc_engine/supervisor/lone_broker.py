"""A broker without a run, for a command that needs it for a moment."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from flowc_engine import limits
from flowc_engine.supervisor.children import BROKER
from flowc_engine.supervisor.launch import Ended, Processes, Ready, RunFiles


class BrokerFailedError(Exception):
    """The broker did not start; the text says why."""


@contextmanager
def lone_broker(files: RunFiles) -> Iterator[None]:
    """A broker on a state that is held, for as long as the context lasts.

    Raises `BrokerFailedError`, also instead of what its death made fail.
    """
    processes = Processes(files, ())
    try:
        processes.spawn(BROKER)
        _await(processes, Ready, limits.START_MS_MAX)
        try:
            yield
        except Exception as error:
            _blame(processes, error)
            raise
        processes.signal(BROKER, signal.SIGTERM)
        _await(processes, Ended, limits.DRAIN_MS_MAX)
    finally:
        processes.kill_all()


def _await(processes: Processes, kind: type[Ready | Ended], timeout_ms: int) -> None:
    deadline = time.monotonic() + timeout_ms / 1000
    while time.monotonic() < deadline:
        for news in processes.news():
            if isinstance(news, kind):
                return
            if isinstance(news, Ended):
                raise BrokerFailedError(_last_words(news))
        _wait(processes)
    raise BrokerFailedError(f"the broker was not done within {timeout_ms // 1000} s")


def _wait(processes: Processes) -> None:
    """For news, a tick at most."""
    poller = zmq.Poller()
    for fd in processes.fds():
        poller.register(fd, zmq.POLLIN)
    poller.poll(limits.TICK_MS)


def _blame(processes: Processes, error: Exception) -> None:
    """If the broker is dead, it says more than whoever waited for it."""
    _wait(processes)  # its threads may take a moment to end
    for news in processes.news():
        if isinstance(news, Ended):
            raise BrokerFailedError(_last_words(news)) from error


def _last_words(ended: Ended) -> str:
    return ended.how.tail.strip().rpartition("\n")[2] or f"the broker ended: {ended.how}"
