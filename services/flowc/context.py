"""`Context`: what a handler may know about the event it is called with."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import sqlite3


class Context(msgspec.Struct, frozen=True, gc=False):
    """The second parameter of a handler that has one."""

    offset: int
    """The event's place in the log; an idempotency key for effects outside."""
    time: dt.datetime
    """When it was emitted, UTC. A handler takes the time from here: a replay gives the same."""
    key: Any
    """The value of its key, or None for an event without a key."""
    cause: int | None
    """The offset of the event whose handler emitted it; None from a source."""
    root: int
    """The offset at the start of its chain of causes; its own for an event from a source."""
    source: str
    """The service or source that emitted it."""
    attempt: int
    """From 1; higher when the handler has failed on this event before."""
    replaying: bool
    """Whether this event is of the past: memory is rebuilt, and what is emitted discarded; or it is
    `flowc replay` that asks. Effects outside must be left out."""
    service: str
    replica: int
    _store: sqlite3.Connection | None = None

    @property
    def store(self) -> sqlite3.Connection:
        """The service's store; one that is `per partition`, of the event's partition. What is done
        to it counts if the handler returns, once, and is undone if it raises."""
        if self._store is None:
            raise AttributeError(
                f"{self.service} has no store that is run; write `store NAME` in the service"
            )
        return self._store

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that names the service and the event's offset."""
        return _OffsetLogger(logging.getLogger(f"flowc.{self.service}"), {"offset": self.offset})


class _OffsetLogger(logging.LoggerAdapter[logging.Logger]):
    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        assert self.extra is not None
        return f"[{self.extra['offset']}] {msg}", kwargs
