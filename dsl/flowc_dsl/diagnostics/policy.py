"""Which diagnostics a reader wants to see, and at which level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from flowc_dsl.codes import is_fixed
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Level

_RANK: Final = {None: 0, Level.INFO: 1, Level.WARNING: 2, Level.ERROR: 3}


@dataclass(frozen=True, slots=True)
class Policy:
    """`levels` by code, where None is off; `select` and `ignore` are prefixes of codes."""

    levels: Mapping[str, Level | None] = field(default_factory=dict)
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def apply(self, diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """Those that are wanted, at the levels wanted, in the order given.

        Errors of the text, of files and of flowc itself always stay: without them a system that
        nobody could judge would look clean.
        """
        return tuple(kept for found in diagnostics if (kept := self._kept(found)) is not None)

    def _kept(self, found: Diagnostic) -> Diagnostic | None:
        level = self.levels.get(found.code, found.level)
        fixed = is_fixed(found.code)
        if fixed and _RANK[level] < _RANK[found.level]:
            level = found.level
        if level is None or not self._wanted(found, level, fixed=fixed):
            return None
        return found if level == found.level else replace(found, level=level)

    def _wanted(self, found: Diagnostic, level: Level, *, fixed: bool) -> bool:
        if level == Level.ERROR and found.code.startswith(("FLW0", "FLW999")):
            return True
        if self.select and not found.code.startswith(self.select):
            return False
        return fixed or not (self.ignore and found.code.startswith(self.ignore))
