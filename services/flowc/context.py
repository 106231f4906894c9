"""`Context`: what a handler may know about the event it is called with."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import MutableMapping
from typing import Any

import msgspec


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
