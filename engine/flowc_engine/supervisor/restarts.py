"""How often a process that dies is started again, and when."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from flowc_engine import limits


@dataclass(slots=True)
class Restarts:
    """The restarts of one process: exponential backoff, and at most `RESTARTS_MAX` of them in
    `RESTARTS_WINDOW_MS`."""

    total: int = 0
    _recent_ms: deque[int] = field(default_factory=deque)

    def died(self, now_ms: int) -> int | None:
        """When to start it again, in ms; None when it has died too often."""
        while self._recent_ms and now_ms - self._recent_ms[0] >= limits.RESTARTS_WINDOW_MS:
            self._recent_ms.popleft()
        if len(self._recent_ms) >= limits.RESTARTS_MAX:
            return None
        backoff_ms = limits.RESTART_BACKOFF_MIN_MS << len(self._recent_ms)
        self._recent_ms.append(now_ms)
        self.total += 1
        return now_ms + min(backoff_ms, limits.RESTART_BACKOFF_MAX_MS)
