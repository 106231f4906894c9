"""What could stand somewhere, in words."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from flowc_dsl.syntax.table import Table

SHOWN_MAX: Final = 5

_DATA: Final = "ENUM TYPE LIBRARY EVENT COMMAND EXTERNAL EXPORTED INTERNAL SERVICE"

# Name, what has to be possible for it to fit, and what it then stands for.
_GROUPS: Final = tuple(
    (words, frozenset(signs.split()), frozenset(members.split()))
    for words, signs, members in (
        (
            "a declaration",
            "SYSTEM IMPORT SCENARIO",
            f"SYSTEM IMPORT CONTEXT EXPECT RULES SCENARIO TEST {_DATA}",
        ),
        ("a declaration", "SERVICE EVENT ENUM", _DATA),
        (
            "an item of a service",
            "RUN ON STORE",
            "RUN REPLICAS STATELESS STORE USES SEES ARGS ENV ON EVERY AFTER",
        ),
        (
            "a clause of the handler",
            "READS WITHIN RETRY",
            "_ARROW AS READS ORDERED IDEMPOTENT WITHIN RETRY REPLAY DELIVERY TAKES",
        ),
        (
            "a value",
            "STRING NUMBER LSQB",
            "STRING NUMBER DURATION FREQUENCY PERCENT DATE TRUE FALSE NULL NAME LSQB LBRACE",
        ),
        ("a clause of the event", "KEY RETAIN", "VERSION KEY RETAIN RATE DEPRECATED"),
        ("a rule", "FORBID ALLOW", "FORBID REQUIRE LIMIT ALLOW"),
        ("a step of the scenario", "LOAD CRASH", "LOAD CRASH PARTITION DUPLICATE CHECK"),
        ("a step of the test", "GIVEN STUB", "GIVEN STUB THEN NEVER"),
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
    """Each kind of thing that may stand: groups first, punctuation last; a long list is cut."""
    rest = set(terminals) - {"ERROR", "$END"} or {"$END"}
    words: list[str] = []
    for name, signs, members in _GROUPS:
        if signs <= rest:
            rest -= members
            words.append(name)
    if "LABEL" in rest and "RBRACE" not in rest:
        rest.remove("LABEL")
        words.append("a name and `:`")
    words += [_WORDS[terminal] for terminal in _WORDS if terminal in rest]
    spelt = [table.spelling[terminal] for terminal in rest if terminal in table.spelling]
    spelt.sort(key=lambda word: (not word.isalpha(), word))
    words += [f"`{word}`" for word in spelt]
    return tuple(words[:SHOWN_MAX])
