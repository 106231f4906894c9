"""A step in the making."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from flowc.codec import Codecs
from flowc.outbox import STEP_BYTES_MAX, Outbox
from flowc.packing import Bodies, UnfitError
from flowc.rows import Rows
from flowc_engine import limits
from flowc_engine.bus import wire


class Part(NamedTuple):
    """A step without its addressing, and its bodies."""

    before: int
    after: int
    out: Bodies
    parked: list[wire.Parked]
    deferred: dict[int, int]  # offset -> partition
    resolved: list[int]
    handled: int
    late: dict[str, int] = {}  # noqa: RUF012 - of a tuple, never changed
    passed: int = 0


Blame = Callable[[Rows, int, str], wire.Parked]
"""From rows, the index of one, and what its handlers emitted wrongly, to its parked form."""


class Draft:
    """What happened since the last step: from `begin` on."""

    def __init__(self, begin: int, codecs: Codecs) -> None:
        self._codecs = codecs
        self.begin = self.end = begin
        self.outbox = Outbox(codecs)
        self.parked: list[wire.Parked] = []
        self.deferred: dict[int, int] = {}
        self.resolved: list[int] = []
        self.handled = 0
        self.late: dict[str, int] = {}
        self.passed = 0
        self._handled_rows: list[Rows] = []

    @property
    def empty(self) -> bool:
        return self.begin == self.end and not self.resolved

    @property
    def quiet(self) -> bool:
        """Only a cursor moved: nobody waits for that."""
        return not (self.outbox.count or self.parked or self.deferred or self.resolved)

    def ran(self, rows: Rows) -> None:
        """The handlers of these events were called."""
        self._handled_rows.append(rows)

    def steps(self, blame: Blame, time_us: int) -> Iterator[Part]:
        """The steps that this makes: one, unless it is too large for that. `time_us` is that of its
        events.

        An event whose handlers emitted what can't be sent is parked.
        """
        while True:
            try:
                out = self.outbox.bodies(time_us)
            except UnfitError as error:
                self._park(error.cause, str(error), blame)
                continue
            if out.size <= STEP_BYTES_MAX and len(out.batches) <= limits.BATCHES_PER_MESSAGE_MAX:
                yield Part(
                    self.begin, self.end, out, self.parked, self.deferred, self.resolved,
                    self.handled, self.late, self.passed,
                )  # fmt: skip
                return
            causes = self.outbox.causes()
            if len(causes) == 1:
                why = (
                    f"{self.outbox.count} events of {out.size} bytes for one event, a step has at "
                )
                self._park(causes[0], f"{why}most {STEP_BYTES_MAX} bytes", blame)
                continue
            rest = self._split(causes[(len(causes) - 1) // 2])
            yield from self.steps(blame, time_us)
            yield from rest.steps(blame, time_us)
            return

    def _park(self, cause: int, why: str, blame: Blame) -> None:
        self.outbox.drop(cause)
        rows = next(rows for rows in self._handled_rows if cause in rows.offsets)
        self.parked.append(blame(rows, rows.offsets.index(cause), why))

    def _split(self, through: int) -> Draft:
        """Keep what belongs to offsets up to `through`; the rest comes back."""
        middle = min(max(self.begin, through + 1), self.end)
        rest = Draft(middle, self._codecs)
        rest.end, self.end = self.end, middle
        rest.outbox = self.outbox.split(through)
        rest._handled_rows = self._handled_rows
        rest.parked = [p for p in self.parked if p.offset > through]
        self.parked = [p for p in self.parked if p.offset <= through]
        rest.deferred = {o: p for o, p in self.deferred.items() if o > through}
        self.deferred = {o: p for o, p in self.deferred.items() if o <= through}
        rest.resolved = [o for o in self.resolved if o > through]
        self.resolved = [o for o in self.resolved if o <= through]
        return rest
