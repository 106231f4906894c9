"""The end of a journal that no broker writes to."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowc_engine.bus import wire
from flowc_engine.journal.recovery import recover


class JournalHeldError(Exception):
    """A broker is writing to the journal."""


@contextmanager
def hold_journal(folder: Path) -> Iterator[None]:
    """No broker that outlived its supervisor may be writing. Raises `JournalHeldError`."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalHeldError(f"a broker is writing to {folder}") from None
        yield
    finally:
        os.close(fd)


def journal_end(folder: Path, *, repair: bool = True) -> wire.Durable:
    """Where the journal ends, as the next broker will find it. It must be held, and have a segment.
    `repair`: see `recover`.

    Raises `JournalRotError`, and `OSError`.
    """
    found = recover(folder, repair=repair)
    if found.fd < 0:
        return wire.Durable(0, 0, 0, 0)
    os.close(found.fd)
    return wire.Durable(found.segment, found.position, found.state.record, found.state.offset)
