"""Events that are kept until something comes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flowc.rows import Rows

SPARSE: Final = 4
"""Rows of which fewer than one in so many are still kept are copied, so that memory is bounded by
what is kept and not by what it came with."""


@dataclass(slots=True, eq=False)
class Kept:
    """One event: row `index` of `chunk`, until it is let go."""

    offset: int
    chunk: Chunk
    index: int

    def let_go(self) -> None:
        """Its payload is not needed any more."""
        self.chunk.let_go(self)


class Chunk:
    """Rows that came together, and those of them that are kept."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._kept: dict[int, Kept] = {}
        self._sealed = False

    def keep(self, index: int) -> Kept:
        """Keep a row."""
        kept = self._kept[index] = Kept(self.rows.offsets[index], self, index)
        return kept

    def seal(self) -> None:
        """No more is kept of these rows."""
        self._sealed = True
        self._thin()

    def let_go(self, kept: Kept) -> None:
        """See `Kept`."""
        del self._kept[kept.index]
        if self._sealed:
            self._thin()

    def _thin(self) -> None:
        if len(self._kept) * SPARSE >= len(self.rows):
            return
        old = [self._kept[index] for index in sorted(self._kept)]
        if old:
            self.rows = self.rows.take([kept.index for kept in old])
        for index, kept in enumerate(old):
            kept.index = index
        self._kept = dict(enumerate(old))
