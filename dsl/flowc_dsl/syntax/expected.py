"""What could stand somewhere, in words."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from flowc_dsl.syntax.table import Table

SHOWN_MAX: Final = 5

# A set of terminals that goes by one name where all of `marks` may stand.
_GROUPS: Final[tuple[tuple[frozenset[str], frozenset[str], str], ...]] = tuple(
    (frozenset(marks.split()), frozenset(members.split()), words)
    for marks, members, words in (
        (
            "SYSTEM IMPORT SCENARIO",
            "SYSTEM IMPORT LIBRARY ENUM TYPE EVENT COMMAND EXTERNAL EXPORTED INTERNAL CONTEXT SERVICE "
            "EXPECT RULES SCENARIO TEST",
            "a declaration",
        ),
        (
            "SERVICE EVENT ENUM",
            "ENUM TYPE LIBRARY EVENT COMMAND EXTERNAL EXPORTED INTERNAL SERVICE",
            "a declaration",
        ),
        (
            "RUN ON STORE",
            "RUN REPLICAS STATELESS STORE USES SEES ARGS ENV ON EVERY AFTER",
            "an item of a service",
        ),
        (
            "READS WITHIN RETRY",
            "_ARROW AS READS ORDERED IDEMPOTENT WITHIN RETRY REPLAY DELIVERY TAKES",
            "a clause of a handler",
        ),
        ("STRING NUMBER LSQB", "STRING NUMBER DURATION FREQUENCY PERCENT DATE TRUE FALSE NULL NAME "
         "LSQB LBRACE", "a value"),
        ("KEY RETAIN", "VERSION KEY RETAIN FREQUENCY_WORD DEPRECATED", "a clause of the event"),
        ("FORBID ALLOW", "FORBID REQUIRE LIMIT ALLOW", "a rule"),
        ("LOAD CRASH", "LOAD CRASH PARTITION DUPLICATE CHECK", "a step of a scenario"),
        ("GIVEN STUB", "GIVEN STUB THEN NEVER", "a step of a test"),
    )
)
_WORDS: Final = {
    "NAME": "a name",
    "LABEL": "a field",
    "STRING": "a string",
    "NUMBER": "a number",
    "DURATION": "a duration",
    "FREQUENCY": "a rate",
    "PERCENT": "a percentage",
    "DATE": "a date",
    "VERSION": "a version",
    "ANNOTATION": "an annotation",
    "$END": "the end of the file",
}


def in_words(terminals: Collection[str], table: Table) -> tuple[str, ...]:
    """Each kind of thing that may stand, groups first; a long list is cut, punctuation last."""
    rest = set(terminals) - {"ERROR", "$END"} or {"$END"}
    words: list[str] = []
    for marks, members, name in _GROUPS:
        if marks <= rest:
            rest -= members
            words.append(name)
    named = [_WORDS[t] for t in _WORDS if t in rest]
    keywords = sorted(f"`{table.spelling[t]}`" for t in rest if t in table.keywords.values())
    marks_left = sorted(
        f"`{table.spelling[t]}`" for t in rest if t in table.spelling and t not in _KEYWORDS(table)
    )
    words = [*words, *named, *keywords, *marks_left]
    return tuple(words[:SHOWN_MAX])


def _KEYWORDS(table: Table) -> Collection[str]:  # noqa: N802
    return table.keywords.values()
