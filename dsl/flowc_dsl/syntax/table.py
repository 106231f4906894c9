"""The parse table: computed from `flow.lark` ahead of time, because that takes longer than a
check may."""

from __future__ import annotations

import json
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from flowc_dsl.syntax.build import BUILDERS, Builder

END: Final = "$END"
ABSENT: Final = -1  # in `picks`: an option that is not there
SPLICE: Final = (
    1000  # in `picks`: the child at index - SPLICE is a list, and its items are children
)

# Text that is no token at all becomes one of these, so that every fault is found by the parser.
BAD_FIRST: Final = (
    ("BAD_ARROW", r"=>|--+>|-[ ]+>|[→⇒]"),  # what is written for `->` elsewhere
    ("FOREIGN", r"#[^\n]*+|/\*(?s:.*?)(?:\*/|\Z)|;"),  # comments and ends of other languages
    ("BAD_NUMBER", r"(?:\d{4}[/.]\d{1,2}[/.]\d{1,2}|\d{1,2}[/.]\d{1,2}[/.]\d{4})(?!\w)"),
    ("BAD_WORD", r"[A-Za-z_][A-Za-z0-9_]*+(?:[./-][A-Za-z0-9_]+)+"),
)
BAD_TOKENS: Final = (
    ("BAD_QUOTES", r"'[^'\n]*'"),
    ("BAD_STRING", r'"(?:[^"\\\n]|\\[^\n])*\\?'),
    ("BAD_NUMBER", r'[-+]?[0-9][^\s{}()<>\[\]",;|&=?*@#]*'),
    ("BAD_NAME", r"[^\W0-9]\w*"),
    ("JUNK", r"(?:-(?![>0-9]))++|[^\s\w{}()<>\[\]\",:|&=?*@/-]++|[^ \t\r\n]"),
)


@dataclass(frozen=True, slots=True)
class Rule:
    """`origin` becomes a node by `build`, or a list of children if it is a helper (None)."""

    origin: str
    size: int
    picks: tuple[int, ...]
    plain: bool  # nothing absent, nothing spliced
    whole: bool  # the children as they are
    grows: bool  # the first child is the rule's own list, and takes the others in
    build: Builder | None


@dataclass(frozen=True, slots=True)
class Table:
    """`actions[state][terminal]` is a state to shift to, or -1 - r to reduce by rule r."""

    actions: tuple[dict[str, int], ...]
    gotos: tuple[dict[str, int], ...]
    rules: tuple[Rule, ...]
    end: int
    keywords: Mapping[str, str]
    spelling: Mapping[str, str]  # of keywords and marks, by terminal
    lexer: re.Pattern[str]
    groups: tuple[str, ...]  # of the lexer's pattern, by number


@cache
def load_table() -> Table:
    """The table of the grammar; read once in a process."""
    data = pkgutil.get_data("flowc_dsl.syntax", "table.json")
    assert data is not None
    raw = json.loads(data)
    regexes = [*BAD_FIRST, *map(tuple, raw["regexes"]), *BAD_TOKENS]
    words = {**raw["keywords"], **raw["marks"]}
    pattern = "|".join(f"({regex})" for _, regex in regexes)
    return Table(
        actions=tuple(raw["actions"]),
        gotos=tuple(raw["gotos"]),
        rules=tuple(_rule(*rule) for rule in raw["rules"]),
        end=raw["end"],
        keywords=raw["keywords"],
        spelling={terminal: word for word, terminal in words.items()},
        lexer=re.compile(rf"[ \t\r\n]*+(?:{pattern}|(\Z))"),
        groups=("", *(name for name, _ in regexes), END),
    )


def _rule(origin: str, size: int, picks: list[int]) -> Rule:
    return Rule(
        origin,
        size,
        tuple(picks),
        plain=all(0 <= pick < SPLICE for pick in picks),
        whole=picks == list(range(size)),
        grows=origin.startswith("__") and picks[0] == SPLICE and size > 1,
        build=None if origin.startswith("_") else BUILDERS[origin],
    )
