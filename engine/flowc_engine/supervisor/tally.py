"""What a run has done so far: the broker's counts over its restarts, and rates."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from flowc_engine.bus import wire

RATE_WINDOW_MS = 2_000
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of one replica of a service, since the run began (`parked`, `open`: the state)."""

    handled: int = 0
    emitted: int = 0
    parked: int = 0
    deferred: int = 0
    lag: int = 0
    open: int = 0
    late: dict[str, int] = field(default_factory=dict)
    passed: int = 0


@dataclass(slots=True)
class Tally:
    """Fed with each `Status`. The broker counts from its own start; here, counts go on."""

    slots: dict[Key, Counts] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)  # events of each source, in all runs
    offset: int = 0
    applied: int = 0
    log_bytes: int = 0
    first_offset: int | None = None
    growth_ms: int = 0  # from the first event to the last
    _grew_ms: int | None = None
    _seen_ms: int = 0
    _uptime_ms: int = -1
    _base: dict[Key, Counts] = field(default_factory=dict)
    _recent: deque[tuple[int, int, dict[Key, Counts]]] = field(default_factory=deque)

    def update(self, status: wire.Status, now_ms: int) -> None:
        """Take a status in."""
        if status.uptime_ms < self._uptime_ms:
            self._base = dict(self.slots)
        self._uptime_ms = status.uptime_ms
        for slot in status.slots:
            key = (slot.service, slot.slot)
            base = self._base.get(key, Counts())
            self.slots[key] = Counts(
                base.handled + slot.handled, base.emitted + slot.emitted, slot.parked,
                slot.deferred, slot.lag, slot.open, _sum(base.late, slot.late),
                base.passed + slot.passed,
            )  # fmt: skip
        for key in self.slots.keys() - {(s.service, s.slot) for s in status.slots}:
            gone = self.slots[key]  # a replica that there was
            self.slots[key] = replace(gone, parked=0, deferred=0, lag=0, open=0)
        self.sources.update({s.source: s.seq for s in status.sources})
        self._grow(status, now_ms)
        self.offset, self.applied, self.log_bytes = status.offset, status.applied, status.log_bytes
        self._recent.append((now_ms, self.offset, dict(self.slots)))
        while self._recent[0][0] < now_ms - RATE_WINDOW_MS:
            self._recent.popleft()

    def _grow(self, status: wire.Status, now_ms: int) -> None:
        if self.first_offset is None:  # the first look may come when much has happened already
            self.first_offset = self.offset = status.began
            self._seen_ms = now_ms - status.uptime_ms
        if status.offset > self.offset:
            if self._grew_ms is None:
                self._grew_ms = self._seen_ms
            self.growth_ms = now_ms - self._grew_ms
        self._seen_ms = now_ms

    @property
    def events(self) -> int:
        """Events added to the log by this run."""
        return self.offset - (self.first_offset or 0)

    @property
    def events_per_s(self) -> float:
        """Over the time in which the log grew."""
        return self.events / max(self.growth_ms, 1) * 1000 if self.events else 0.0

    def rate(self) -> float:
        """Events/s added to the log, of late."""
        then, offset, _ = self._recent[0] if self._recent else (0, 0, {})
        now = self._recent[-1][0] if self._recent else 0
        return (self.offset - offset) / (now - then) * 1000 if now > then else 0.0

    def slot_rates(self, key: Key) -> tuple[float, float]:
        """Events/s handled and emitted by a replica, of late."""
        if len(self._recent) < 2:
            return 0.0, 0.0
        (then, _, old), (now, _, new) = self._recent[0], self._recent[-1]
        was, is_ = old.get(key, Counts()), new.get(key, Counts())
        span_s = max(now - then, 1) / 1000
        return (is_.handled - was.handled) / span_s, (is_.emitted - was.emitted) / span_s


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
