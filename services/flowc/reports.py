"""What a worker says of events that its handlers could not handle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowc.load import Handler, user_trace
from flowc_engine import limits
from flowc_engine.bus import wire

if TYPE_CHECKING:
    import logging

    from flowc.clock import Clock
    from flowc.rows import Rows


class Reports:
    """`handlers` by event."""

    def __init__(
        self, log: logging.Logger, handlers: dict[str, list[Handler]], clock: Clock
    ) -> None:
        self._log, self._handlers, self._clock = log, handlers, clock

    def names(self, event: str) -> str:
        return ", ".join(h.function.name for h in self._handlers.get(event, ()))

    def complain(self, event: str, offset: int, attempt: int, error: BaseException) -> None:
        self._log.warning(
            "%s failed on %s at offset %d, attempt %d: %s",
            self.names(event), event, offset, attempt, user_trace(error),
        )  # fmt: skip

    def parked(self, rows: Rows, index: int, error: str, attempts: int) -> wire.Parked:
        return wire.Parked(
            rows.offsets[index], rows.event, self.names(rows.event),
            error[: limits.ERROR_TEXT_CHARS_MAX], attempts, self._clock.now_us(),
            rows.partition(index),
        )  # fmt: skip

    def blame(self, rows: Rows, index: int, why: str) -> wire.Parked:
        event, offset = rows.event, rows.offsets[index]
        text = f"{self.names(event)} emitted {why}"
        self._log.error("%s, for %s at offset %d: parked", text, event, offset)
        return self.parked(rows, index, f"SchemaError: {text}", 1)
