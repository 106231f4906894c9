"""A broker without a run, for a command that needs it for a moment."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import zmq

from flowc_engine import limits
from flowc_engine.supervisor.children import BROKER
from flowc_engine.supervisor.launch import Ended, Processes, Ready, RunFiles

_News = TypeVar("_News", Ready, Ended)


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
            ended = _stop(processes)
            if ended.how.code != 0:  # its death says more than whoever waited for it
                raise BrokerFailedError(_last_words(ended)) from error
            raise
        _stop(processes)
    finally:
        processes.kill_all()


def _stop(processes: Processes) -> Ended:
    """Ask the broker to end, and see how it did. One that is dead already may still be ending: its
    leader is a zombie before its threads are gone."""
    processes.signal(BROKER, signal.SIGTERM)
    return _await(processes, Ended, limits.DRAIN_MS_MAX)


def _await(processes: Processes, kind: type[_News], timeout_ms: int) -> _News:
    deadline = time.monotonic() + timeout_ms / 1000
    while time.monotonic() < deadline:
        for news in processes.news():
            if isinstance(news, kind):
                return news
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


def _last_words(ended: Ended) -> str:
    return ended.how.tail.strip().rpartition("\n")[2] or f"the broker ended: {ended.how}"
