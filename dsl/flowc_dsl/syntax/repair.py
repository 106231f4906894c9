"""One small change of the tokens at a fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NEEDED: Final = 2  # tokens behind a repair that have to parse


@dataclass(frozen=True, slots=True)
class Repair:
    """Put `insert` in the place of the next `drop` tokens."""

    insert: tuple[tuple[str, str], ...]
    drop: int
    rank: int  # of repairs that are equally good, the lowest is taken
    hint: str
    text: str | None = None  # what an editor would write for it, where that is known
    needed: int = NEEDED  # tokens behind it that have to parse
    others: tuple[int, ...] = ()  # how far on tokens are that go with the one that is dropped
