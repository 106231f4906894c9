"""Trying tokens out on a copy of the machine's states, without building anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from flowc_dsl.syntax.table import Table

# What a token that is none may be taken for.
SPOILT: Final = {
    "BAD_ARROW": ("_ARROW",),
    "BAD_QUOTES": ("STRING",),
    "BAD_STRING": ("STRING",),
    "BAD_WORD": ("STRING", "NAME"),
    "BAD_NAME": ("NAME",),
    "BAD_NUMBER": ("NUMBER", "DURATION", "FREQUENCY", "PERCENT", "DATE", "NAME"),
}


@dataclass(slots=True)
class Stack:
    """The machine: a state more than there are values, and where each value starts."""

    states: list[int] = field(default_factory=lambda: [0])
    values: list[Any] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def cut(self, height: int) -> None:
        """Back to when there were `height` values."""
        del self.states[height + 1 :], self.values[height:], self.starts[height:]


class Probe:
    """What the machine would do with a token."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.soft_words = frozenset({*table.keywords.values(), "VERSION"})

    def soft(self, row: dict[str, int], kind: str, text: str) -> int | None:
        """The action for a token that is taken as something else: a keyword as a name."""
        if kind in self.soft_words:
            return row.get("NAME")
        if kind == "LABEL":
            keyword = self.table.keywords.get(text)
            if keyword is not None and keyword in row:
                return row[keyword]
            return row.get("NAME")
        for other in SPOILT.get(kind, ()):
            if other in row:
                return row[other]
        return None

    def feed(self, states: list[int], kind: str, text: str = "") -> bool:
        """Whether the token can be shifted; `states` is where the machine is then."""
        table = self.table
        while True:
            row = table.actions[states[-1]]
            action = row.get(kind)
            if action is None:
                action = self.soft(row, kind, text)
            if action is None:
                return False
            if action > 0:
                states.append(action)
                return True
            rule = table.rules[-1 - action]
            if rule.size:
                del states[-rule.size :]
            states.append(table.gotos[states[-1]][rule.origin])
            if states[-1] == table.end:
                return True

    def expected(self, states: list[int]) -> set[str]:
        """The terminals that can really stand next."""
        return {t for t in self.table.actions[states[-1]] if self.feed(states.copy(), t)}
