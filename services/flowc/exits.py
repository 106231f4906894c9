"""The exit codes of service and source processes, and what each means to who started them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """How `flowc.host` and `flowc.source` end; the last lines of their log say why."""

    DONE = 0  # drained (SIGTERM, or the broker asked), or the source is exhausted
    CRASHED = 1  # an error that nobody expected, or a source that raised: worth another start
    USAGE = 2  # its own command line, or a plan that can't be read
    CODE = 10  # the user's code is missing, raises on import, lacks a function, breaks its contract
    HALTED = 11  # a handler gave up on an event, and its declaration says `then halt`
    FENCED = 12  # another process has taken over
    REFUSED = 13  # the broker runs another plan, or took a message for an error
    STORE = 14  # its store is gone, older than the log, damaged or not its own


FINAL: Final = frozenset(
    {Exit.USAGE, Exit.CODE, Exit.HALTED, Exit.FENCED, Exit.REFUSED, Exit.STORE}
)
"""Another start would end the same way."""
