"""What was seen in an event log. Times are µs since 1970 in UTC; offsets are the log's."""

from __future__ import annotations

from dataclasses import dataclass

from flowc_dsl.rules.stored import NotDecodable


@dataclass(frozen=True, slots=True)
class EdgeSeen:
    """A service emitted `event` because of `trigger`; without one it came from a source.

    `count` times, at `first_offset` for the first and at `last_offset` for the last time.
    """

    trigger: str | None
    emitter: str
    event: str
    count: int
    first_offset: int
    last_offset: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class Misfit:
    """Stored values that the declaration does not allow: `why` says how, of `field` if it is one
    field's."""

    event: str
    field: str
    why: str
    count: int
    first_offset: int


@dataclass(frozen=True, slots=True)
class Late:
    """A handler (of `service`, number `handler` in its text) took longer than its `within`: `count`
    times, the worst by `worst_us`. `silent`: nothing came of the event at all, so far."""

    service: str
    handler: int
    count: int
    silent: int
    worst_us: int
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """An `expect` did not hold `count` times; examples by offset of what broke it, and the value of
    its `by` field."""

    expect: str
    count: int
    examples: tuple[tuple[int, str | None], ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """All of it. `events` counts what is stored, by type. `begin` is the first offset that was
    looked at, `end` the one behind the last."""

    edges: tuple[EdgeSeen, ...]
    events: dict[str, int]
    begin: int = 0
    end: int = 0
    misfits: tuple[Misfit, ...] = ()
    late: tuple[Late, ...] = ()
    broken: tuple[Broken, ...] = ()
    undecodable: tuple[NotDecodable, ...] = ()
