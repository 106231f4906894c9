"""What the core asks its driver to do."""

from __future__ import annotations

from typing import NamedTuple

from flowc_engine.bus import wire
from flowc_engine.journal import record as rec
from flowc_engine.journal.state import SlotKey

Body = bytes | memoryview


class Send(NamedTuple):
    """Queue a message to a peer. A peer that is gone is told by `BrokerCore.lost`."""

    peer: bytes
    message: wire.Message
    bodies: list[Body]


class Append(NamedTuple):
    """Write an entry; the core has given it its record number and first offset already.

    `lazy`: nobody waits for it (a cursor that moved), so it may be synced with what comes next.
    """

    record: int
    first_offset: int
    rows: int
    entry: rec.AnyEntry
    bodies: list[Body]
    lazy: bool = False


class Fetch(NamedTuple):
    """Read the events of a slot with offsets in [begin, limit); answer with `BrokerCore.fetched`.

    At most about `bytes_max`, at least one record. `at`: exactly these offsets instead (deferred
    ones); the answer's end is behind the last of them that it has.
    """

    key: SlotKey
    epoch: int
    begin: int
    limit: int
    bytes_max: int
    at: tuple[int, ...] = ()


Effect = Send | Append | Fetch
