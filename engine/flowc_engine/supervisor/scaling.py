"""How many replicas a service should have: a function of how far it is behind, how fast it is, and
the time.

One `Scaler` a service is shown how it stands several times a second. It asks for more where the
service stays behind and won't catch up soon, and for fewer where it has kept up for long and fewer
would do. What it learns on the way keeps it from going back and forth: how much one replica does
(from the rate when all were busy), and whether the last addition helped.
"""

from __future__ import annotations

import math
import os
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from flowc_dsl.plan import Plan
from flowc_engine import limits


class Bounds(NamedTuple):
    """What is declared: `low` to `high` replicas. `replays`: a start shows the service its past."""

    service: str
    low: int
    high: int
    replays: bool


class Look(NamedTuple):
    """How a service stands, all of its replicas being ready. `position`: all below this offset is
    handled. `lag`: offsets up to the log's end. `handled`: events, since the broker began."""

    now_ms: int
    replicas: int
    position: int
    lag: int
    handled: int


class _Pace(NamedTuple):
    """Over the last `SCALE_LOOK_MS`: offsets/s passed, events/s handled, and what it is behind in
    ms at that speed. `drain_ms`: until nothing is left, if things go on so."""

    speed: float
    rate: float
    behind_ms: float
    drain_ms: float


@dataclass(slots=True)
class Scaler:
    """The memory of the decisions about one service. `cores`: that the machine has."""

    bounds: Bounds
    cores: int
    _looks: deque[Look] = field(default_factory=deque)
    _calm: tuple[int, int] | None = None  # since when fewer would do, and how many at most
    _changed_ms: int | None = None
    _stopped: bool = False  # by the last change, until all are there again
    _wait_ms: int = 0  # from the last change to the next, at least
    _raised: tuple[int, float] | None = None  # to so many replicas, and the rate before
    _capacity: float = 0.0  # events/s of one busy replica, 0 as long as it is not known

    def changes(self, now_ms: int) -> None:
        """Its replicas are about to stop, for there to be another number of them."""
        self._changed_ms, self._stopped = now_ms, True
        self.interrupted()

    def interrupted(self) -> None:
        """Not all of its replicas are there."""
        self._looks.clear()
        self._calm = None

    def look(self, look: Look) -> int | None:
        """The number of replicas that it should have, if it is another one."""
        self._remember(look)
        pace = self._pace()
        if pace is None:
            return None
        fewer = self._fewer(look, pace)
        if self._changed_ms is not None and look.now_ms - self._changed_ms < self._wait_ms:
            return None
        return self._more(look, pace) or fewer

    def _remember(self, look: Look) -> None:
        looks = self._looks
        if looks and look.handled < looks[-1].handled:  # the broker was restarted, and counts anew
            self.interrupted()
        if self._stopped and self._changed_ms is not None:
            self._stopped = False
            pause_ms = look.now_ms - self._changed_ms  # with the replay of its past
            self._wait_ms = max(limits.SCALE_EVERY_MS, limits.SCALE_DUTY * pause_ms)
        looks.append(look)
        while look.now_ms - looks[1 % len(looks)].now_ms >= limits.SCALE_LOOK_MS:
            looks.popleft()

    def _pace(self) -> _Pace | None:
        first, last = self._looks[0], self._looks[-1]
        ms = last.now_ms - first.now_ms
        if ms < limits.SCALE_LOOK_MS:
            return None
        speed = (last.position - first.position) * 1000 / ms
        rate = (last.handled - first.handled) * 1000 / ms
        less = (first.lag - last.lag) * 1000 / ms
        return _Pace(speed, rate, _time_ms(last.lag, speed), _time_ms(last.lag, less))

    def _more(self, look: Look, pace: _Pace) -> int | None:
        low, high = self.bounds.low, self.bounds.high
        behind = all(one.lag for one in self._looks) and pace.behind_ms >= limits.SCALE_BEHIND_MS
        if not behind or pace.drain_ms <= limits.SCALE_DRAIN_MS or look.replicas >= high:
            return None
        if self._raised is not None and self._raised[0] == look.replicas:
            helped = pace.rate >= self._raised[1] * limits.SCALE_GAIN_PERCENT_MIN / 100
            if not helped and look.replicas >= self.cores:
                return None
        wanted = max(low, min(2 * look.replicas, self.cores, high), look.replicas + 1)
        if self.bounds.replays:
            replay_ms = _time_ms(look.position, pace.speed * wanted / look.replicas)
            if replay_ms > min(pace.drain_ms, limits.SCALE_REPLAY_MS_MAX):
                return None
        self._raised = (wanted, pace.rate)
        self._capacity = pace.rate / look.replicas
        return wanted

    def _fewer(self, look: Look, pace: _Pace) -> int | None:
        """As few as would have done at any time since fewer would have done."""
        fewer = self._enough(look, pace)
        if pace.behind_ms >= limits.SCALE_CALM_MS or fewer >= look.replicas:
            self._calm = None
            return None
        since, most = self._calm or (look.now_ms, fewer)
        self._calm = (since, max(most, fewer))
        return most if look.now_ms - since >= limits.SCALE_DOWN_AFTER_MS else None

    def _enough(self, look: Look, pace: _Pace) -> int:
        """How many would do, as far as is known; of one whose replicas were never all busy it is
        not."""
        enough = look.replicas - 1
        if not pace.rate:
            enough = 0
        elif self._capacity:
            busy = self._capacity * limits.SCALE_BUSY_PERCENT_MAX / 100
            enough = math.ceil(pace.rate / busy)
        return max(enough, self.bounds.low)


def scalers_of(plan: Plan) -> list[Scaler]:
    """Of the services whose number of replicas may change, on this machine."""
    cores = len(os.sched_getaffinity(0))
    return [
        Scaler(Bounds(s.name, s.replicas, s.replicas_max, not s.stateless or bool(s.waits)), cores)
        for s in plan.services
        if s.replicas_max > s.replicas
    ]


def _time_ms(offsets: int, speed: float) -> float:
    """How long `offsets` take at a speed (offsets/s): for ever, at none."""
    if not offsets:
        return 0.0
    return offsets / speed * 1000 if speed > 0 else math.inf
