"""A run as plain lines, for where there is no terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from flowc_engine import limits
from flowc_engine.supervisor import core as sc
from flowc_engine.supervisor.tally import Tally


def printable(text: str) -> str:
    """Without what would steer a terminal: the text may be a user's."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def duration(ms: int) -> str:
    """`850 ms`, `12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(ms // 1000, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def bytes_text(size: int) -> str:
    """`312 KiB`, `48.1 MiB`, `2.4 GiB`."""
    if size < limits.MIB:
        return f"{size / limits.KIB:.0f} KiB"
    if size < 1024 * limits.MIB:
        return f"{size / limits.MIB:.1f} MiB"
    return f"{size / limits.MIB / 1024:.2f} GiB"


class PlainScreen:
    """Lines on stderr: changes as they happen, and progress every few seconds.

    `quiet`: only what went wrong.
    """

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._quiet, self._stream = quiet, stream or sys.stderr
        self._next_ms = limits.PLAIN_EVERY_MS
        self._phase = sc.Phase.STARTING

    def say(self, say: sc.Say) -> None:
        """Something happened."""
        if not self._quiet or say.level == "error":
            prefix = "" if say.level == "info" else f"{say.level}: "
            self._line(prefix + say.text)

    def show(self, core: sc.RunCore, tally: Tally, uptime_ms: int) -> None:
        """A line when the run is up, and then when it is time for one."""
        if self._quiet:
            return
        if core.phase is not self._phase:
            self._phase = core.phase
            if core.phase is sc.Phase.RUNNING:
                self._line(f"running after {duration(uptime_ms)}")
        elif uptime_ms >= self._next_ms:
            self._next_ms = uptime_ms + limits.PLAIN_EVERY_MS
            self._line(progress(tally, uptime_ms))

    def close(self) -> None:
        """Nothing is held."""

    def _line(self, text: str) -> None:
        print(printable(text), file=self._stream, flush=True)


def progress(tally: Tally, uptime_ms: int) -> str:
    """One line on how it stands."""
    lag = max((c.lag for c in tally.slots.values()), default=0)
    parked = sum(c.parked for c in tally.slots.values())
    retrying = sum(c.deferred for c in tally.slots.values())
    return (
        f"{duration(uptime_ms)}: {tally.offset:,} events in the log, {tally.rate():,.0f}/s, "
        f"lag {lag:,}, retrying {retrying:,}, parked {parked:,}"
    )
