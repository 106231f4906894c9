"""A broker with segments of 64 KiB that is killed at one of its file operations.

    python doomed_broker.py POINT:NUMBER … (or "never"), and the broker's own arguments

POINT: "before" or "after" the NUMBER-th operation that changes a file, or "within": of a write,
half is made.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from flowc_engine import limits

limits.SEGMENT_BYTES_MIN = limits.SEGMENT_BYTES = limits.PREPARE_BYTES = 64 * 1024

from flowc_engine.broker.__main__ import main  # noqa: E402 - it takes the limits as they are
from flowc_engine.journal.disk import OsDisk  # noqa: E402 - as above

CHANGES = ("pwritev", "fdatasync", "rename", "sync_folder")


def doom(point: str, number: int) -> None:
    counted = itertools.count(1)  # over all threads

    def wrapped(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(disk: OsDisk, *args: Any) -> Any:
            mine = next(counted) == number
            if mine and point == "before":
                die()
            if mine and point == "within":
                if name == "pwritev":
                    fd, pieces, at = args
                    whole = b"".join(pieces)
                    os.pwrite(fd, whole[: len(whole) // 2], at)
                die()
            result = operation(disk, *args)
            if mine:
                die()
            return result

        return call

    for name in CHANGES:
        setattr(OsDisk, name, wrapped(name, getattr(OsDisk, name)))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    told = sys.argv.pop(1)
    if told != "never":
        point, number = told.split(":")
        doom(point, int(number))
    sys.exit(main())
