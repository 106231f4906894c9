"""Packing the journal's segments once the log has them, see `flowc_engine.journal.packed`."""

from __future__ import annotations

from pathlib import Path

from flowc_engine import limits
from flowc_engine.journal.packed import PackedError, pack
from flowc_engine.journal.segments import list_unpacked


def pack_next(journal: Path, saved_segment: int) -> bool:
    """Pack the oldest segment that is complete and of which the log has saved all (its place is in
    `saved_segment`); whether there was one. Raises `PackedError`.

    The newest are left: services that keep up may still be at them, and recovery begins there.
    """
    segments = list_unpacked(journal)[: -limits.PLAIN_SEGMENTS_MIN]
    if not segments or segments[0] >= saved_segment:
        return False
    try:
        pack(journal, segments[0])
    except OSError as error:  # a disk that is full, for example
        raise PackedError(str(error)) from error
    return True
