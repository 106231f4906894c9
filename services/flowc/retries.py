"""Events whose handler failed, waiting to be tried again; and those of the same key behind them."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass
from typing import Any

from flowc.rows import Rows
from flowc_dsl.plan import RetryPlan


@dataclass(slots=True)
class Held:
    """One event. `attempts` were made; `due` is when the next may be, on the worker's clock (s)."""

    row: Rows  # of length 1
    key: Any
    attempts: int = 0
    due: float = 0.0
    error: str = ""  # of the last attempt

    @property
    def offset(self) -> int:
        return self.row.offsets[0]


class Retries:
    """A queue a key: only its head is tried, so that events of one key stay in order."""

    def __init__(self) -> None:
        self._queues: dict[Any, deque[Held]] = {}
        self._due: list[tuple[float, int, Any]] = []  # heads: (due, offset, key)
        self._offsets: set[int] = set()

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, offset: int) -> bool:
        return offset in self._offsets

    @property
    def keys(self) -> dict[Any, deque[Held]]:
        """What has to wait: events of these keys."""
        return self._queues

    def hold(self, row: Rows, *, attempts: int, due: float, error: str = "") -> None:
        """Add an event, behind those of its key. One without a key blocks nothing."""
        key = row.keys[0]
        held = Held(row, object() if key is None else key, attempts, due, error)
        self._offsets.add(held.offset)
        queue = self._queues.setdefault(held.key, deque())
        queue.append(held)
        if len(queue) == 1:
            self._schedule(held)

    def next_due(self) -> float | None:
        """When the next event is to be tried, or None."""
        return self._due[0][0] if self._due else None

    def take_due(self, now: float) -> Held | None:
        """An event that is to be tried now. It is followed by `again` or `done`."""
        if not self._due or self._due[0][0] > now:
            return None
        _, _, key = heapq.heappop(self._due)
        return self._queues[key][0]

    def again(self, held: Held, due: float, error: str) -> None:
        """It failed again."""
        held.attempts += 1
        held.due, held.error = due, error
        self._schedule(held)

    def done(self, held: Held, now: float) -> None:
        """It is through, or was given up: the next of its key may be tried."""
        self._offsets.discard(held.offset)
        queue = self._queues[held.key]
        assert queue.popleft() is held
        if queue:
            queue[0].due = max(queue[0].due, now)
            self._schedule(queue[0])
        else:
            del self._queues[held.key]

    def _schedule(self, held: Held) -> None:
        heapq.heappush(self._due, (held.due, held.offset, held.key))


def backoff_s(retry: RetryPlan, attempts: int, dice: random.Random) -> float:
    """The pause after `attempts` failures, in s: doubling, capped, less up to half of it."""
    pause_ms: float = min(retry.backoff_min_ms * 2 ** min(attempts - 1, 30), retry.backoff_max_ms)
    return pause_ms * dice.uniform(0.5, 1.0) / 1000
