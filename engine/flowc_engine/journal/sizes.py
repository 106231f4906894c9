"""The bounds of a journal that a simulation makes small, so that segments roll over and reads leave
memory within a few hundred events."""

from __future__ import annotations

from dataclasses import dataclass

from flowc_engine import limits


@dataclass(frozen=True, slots=True)
class JournalSizes:
    """In bytes: see `flowc_engine.limits`. The first segment has `first_segment`, each next twice
    as much, up to `segment`."""

    first_segment: int
    segment: int
    scan: int
    index_every: int
    hot: int


def standard_sizes() -> JournalSizes:
    """Those of `flowc_engine.limits`."""
    return JournalSizes(
        first_segment=limits.SEGMENT_BYTES_MIN,
        segment=limits.SEGMENT_BYTES,
        scan=limits.SCAN_BYTES_MAX,
        index_every=limits.INDEX_EVERY_BYTES,
        hot=limits.HOT_BYTES_MAX,
    )
