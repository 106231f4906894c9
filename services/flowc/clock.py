"""The clock that a worker reads by itself; a simulation hands in its own."""

from __future__ import annotations

import time

from flowc.codec import now_us


class Clock:
    """The machine's."""

    def now_us(self) -> int:
        """µs since 1970 in UTC: the time of what is emitted and parked."""
        return now_us()

    def elapsed_s(self) -> float:
        """Monotonic s from anywhere: how long handlers take."""
        return time.perf_counter()
