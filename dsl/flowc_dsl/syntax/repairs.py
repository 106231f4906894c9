"""Small repairs of the text at a fault, and which of them lets most of what follows parse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flowc_dsl.syntax.faults import short
from flowc_dsl.syntax.habits import foreign, otherwise
from flowc_dsl.syntax.probe import Probe
from flowc_dsl.syntax.repair import NEEDED, Repair
from flowc_dsl.syntax.tokens import Tokens

LOOKAHEAD: Final = 8  # tokens that a repair is judged by
KEYWORDS_MAX: Final = 3  # where more keywords could stand, none is said to be missing

_INSERTABLE: Final = (
    "RBRACE", "LBRACE", "RPAR", "RSQB", "MORETHAN", "COMMA", "COLON", "EQUAL", "_ARROW",
    "NAME", "STRING", "NUMBER", "DURATION", "FREQUENCY", "PERCENT", "DATE",
)  # fmt: skip
_UNITS: Final = (
    ("DURATION", "{}s", "add the unit: `{}s`, or `ms`, `m`, `h`, `d`"),
    ("FREQUENCY", "{}/s", "say per what: `{}/s`, or `/m`, `/h`, `/d`"),
    ("PERCENT", "{}%", "write `{}%`"),
)


def best_repair(
    probe: Probe, tokens: Tokens, states: list[int], expected: set[str], at: int
) -> Repair | None:
    """The repair after which most of the next tokens parse; None if too few do after any."""
    left = len(tokens.kinds) - at
    found: list[tuple[int, int, Repair]] = []
    for repair in _candidates(probe, tokens, expected, at):
        if repair.drop >= left:
            continue  # the end of the file is never dropped
        reach = _reach(probe, tokens, states, repair, at)
        if reach >= min(repair.needed, left - repair.drop):
            found.append((-reach, repair.rank, repair))
    return min(found, key=lambda item: item[:2])[2] if found else None


def _reach(probe: Probe, tokens: Tokens, states: list[int], repair: Repair, at: int) -> int:
    """How many of the next tokens parse after a repair; -1 if the repair itself does not."""
    states = states.copy()
    if not all(probe.feed(states, kind, text) for kind, text in repair.insert):
        return -1
    first = at + repair.drop
    for index in range(first, min(first + LOOKAHEAD, len(tokens.kinds))):
        kind = tokens.kinds[index]
        if index - at in repair.others:
            continue
        if kind != "JUNK" and not probe.feed(states, kind, tokens.texts[index]):
            return index - first
    return LOOKAHEAD


def _candidates(probe: Probe, tokens: Tokens, expected: set[str], at: int) -> Iterator[Repair]:
    kind, text = tokens.kinds[at], tokens.texts[at]
    keywords = sorted(expected & probe.soft_words - {"VERSION"})
    if text.isidentifier():
        yield from _respelt(probe, keywords, text)
        yield from otherwise(probe, expected, text)
        if "LABEL" in expected:
            drop = 2 if tokens.kinds[at + 1] == "EQUAL" else 1
            hint = f"write `{short(text)}:`"
            if "RBRACE" in expected:
                what = "value" if "STRING" in expected else "type"
                hint = f"a field is written `{short(text)}: {what}`"
            yield Repair((("LABEL", text), ("COLON", ":")), drop, 1, hint)
    yield from _retyped(expected, kind, text)
    yield from foreign(tokens, expected, at)
    yield from _missing(probe, expected, keywords)
    if kind not in ("RBRACE", "LBRACE"):
        yield Repair((), 1, 20, f"remove `{short(text)}`", "")


def _respelt(probe: Probe, keywords: list[str], text: str) -> Iterator[Repair]:
    from difflib import SequenceMatcher  # noqa: PLC0415  # lazy: needed for faults alone

    for terminal in keywords:
        word = probe.table.spelling[terminal]
        if word != text and SequenceMatcher(None, word, text[:40].lower()).ratio() >= 0.7:
            needed = 0 if word == text.lower() else NEEDED
            yield Repair(((terminal, word),), 1, 0, f"did you mean `{word}`?", word, needed)


def _retyped(expected: set[str], kind: str, text: str) -> Iterator[Repair]:
    """The same thing, written as what is expected."""
    if kind == "NUMBER":
        for terminal, form, hint in _UNITS:
            if terminal in expected:
                yield Repair(((terminal, form.format(text)),), 1, 1, hint.format(short(text)))
        if "NAME" in expected:
            yield Repair((("NAME", ""),), 1, 10, "a name begins with a letter")
    if kind == "STRING" and "NAME" in expected:
        name = text[1:-1] if text[1:-1].isidentifier() and text.isascii() else ""
        hint = "a name stands without quotes"
        yield Repair((("NAME", name),), 1, 10, hint, name or None, 0 if name else NEEDED)
    if (kind == "NUMBER" or text.isidentifier()) and "STRING" in expected:
        quoted = f'"{text}"'
        hint = f"strings stand in quotes: `{short(quoted)}`"
        yield Repair((("STRING", quoted),), 1, 1, hint, quoted)


def _missing(probe: Probe, expected: set[str], keywords: list[str]) -> Iterator[Repair]:
    for rank, terminal in enumerate(_INSERTABLE, 2):
        if terminal not in expected:
            continue
        word = probe.table.spelling.get(terminal)
        hint = f"`{word}` is missing" if word else "something is missing before this"
        hint = "a name is missing" if terminal == "NAME" else hint
        yield Repair(((terminal, word or ""),), 0, rank, hint, word)
    for terminal in keywords if len(keywords) <= KEYWORDS_MAX else ():
        word = probe.table.spelling[terminal]
        yield Repair(((terminal, word),), 0, 30, f"`{word}` is missing", word)
