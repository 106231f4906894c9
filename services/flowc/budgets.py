"""`within D`: the time that a handler has for an event, from the event's own time on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from flowc_dsl.rules.wording import duration

if TYPE_CHECKING:
    import logging

    from flowc.clock import Clock
    from flowc.draft import Draft
    from flowc.load import Handler
    from flowc.rows import Rows

WARN_EVERY_S: Final = 10.0
"""Of one handler, late events are told of this often; all are counted."""


class Budgets:
    """`handlers` by event."""

    def __init__(
        self, handlers: dict[str, list[Handler]], clock: Clock, log: logging.Logger
    ) -> None:
        self._clock, self._log = clock, log
        self._within_ms: dict[str, dict[str, int]] = {}
        for event, own in handlers.items():
            limits = {h.function.name: h.declared.within_ms for h in own}
            found = {name: limit for name, limit in limits.items() if limit is not None}
            if found:
                self._within_ms[event] = found
        self._told: dict[str, tuple[float, int]] = {}  # when, and how many since

    def left_s(self, row: Rows) -> float:
        """How much time there is for this event. Of several handlers, which are one unit, the one
        with the least time decides."""
        limits = self._within_ms.get(row.event)
        return (min(limits.values()) * 1000 - self._age_us(row)) / 1e6 if limits else math.inf

    def over(self, row: Rows) -> bool:
        """Whether the time for this event is over."""
        return self.left_s(row) <= 0

    def why(self, row: Rows, attempts: int, error: str) -> str:
        """What to say of an event that is given up on because its time is over."""
        limit = duration(min(self._within_ms[row.event].values()))
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        return (
            f"LateError: not handled within {limit} of its time, after {times}; the last one "
            f"failed with {error}"
        )

    def handled(self, rows: Rows, draft: Draft) -> None:
        """These were handled: count the ones that are late."""
        for name, within_ms in self._within_ms.get(rows.event, {}).items():
            oldest = self._clock.now_us() - within_ms * 1000
            late = pc.less(_times(rows), oldest)
            count = late.true_count
            if count:
                draft.late[name] = draft.late.get(name, 0) + count
                self._warn(name, _one(rows, late), within_ms, count)

    def _warn(self, name: str, row: Rows, within_ms: int, count: int) -> None:
        now = self._clock.elapsed_s()
        told, others = self._told.get(name, (now - WARN_EVERY_S, 0))
        if now - told < WARN_EVERY_S:
            self._told[name] = (told, others + count)
            return
        self._told[name] = (now, 0)
        others += count - 1
        late_ms = self._age_us(row) // 1000 - within_ms
        self._log.warning(
            "%s handled %s at offset %d late by %s, it is declared `within %s`%s",
            name, row.event, row.offsets[0], duration(max(late_ms, 1)), duration(within_ms),
            f"; so were {others:,} others" if others else "",
        )  # fmt: skip

    def _age_us(self, row: Rows) -> int:
        time_us: int = _times(row)[0].as_py()
        return self._clock.now_us() - time_us


def _times(rows: Rows) -> pa.Array:
    return rows.batch.column("_time").cast(pa.int64())


def _one(rows: Rows, chosen: pa.Array) -> Rows:
    """The first of the chosen ones."""
    at = pc.index(chosen, pa.scalar(True)).as_py()
    return rows.part(at, at + 1)
