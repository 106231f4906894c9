"""Small repairs of the text at a fault, and which of them lets most of what follows parse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from flowc_dsl.syntax.probe import Probe
from flowc_dsl.syntax.tokens import Tokens

LOOKAHEAD: Final = 8  # tokens that a repair is judged by
NEEDED: Final = 2  # of them have to parse
KEYWORDS_MAX: Final = 3  # where more keywords could stand, none is said to be missing

_OPENERS: Final = frozenset({"LBRACE", "LSQB", "LPAR", "LESSTHAN"})
_CLOSERS: Final = frozenset({"RBRACE", "RSQB", "RPAR", "MORETHAN"})
PAIR_MAX: Final = 200  # tokens in which the other of two brackets is sought

_INSERTABLE: Final = (
    "RBRACE", "LBRACE", "RPAR", "RSQB", "MORETHAN", "COMMA", "COLON", "EQUAL", "_ARROW",
    "NAME", "STRING", "NUMBER", "DURATION", "FREQUENCY", "PERCENT", "DATE",
)  # fmt: skip
_ELSEWHERE_TEXT: Final = """
    ON: consumes consume subscribes subscribe listens listen handles handle receives receive when
    READS: needs requires
    _ARROW: emits emit publishes publish produces produce sends send then returns raises
    STORE: database db table storage state
    EVERY: cron timer schedule each
    EVENT: message topic signal fact
    COMMAND: request action
    TYPE: struct record class data object
    SERVICE: microservice component actor worker process
    CONTEXT: module namespace package domain boundary
    IMPORT: include using require
    LIBRARY: lib dependency
    RULES: policy policies laws
    RUN: exec python image start
    REPLICAS: instances scale workers
    WITHIN: timeout deadline
    RETRY: retries attempts
    VBAR: or
    AMPERSAND: and
    EXTERNAL: incoming input extern
    EXPORTED: public outgoing export
    INTERNAL: private protected
"""
_ELSEWHERE: Final[dict[str, list[str]]] = {}
for _line in _ELSEWHERE_TEXT.split("\n"):
    for _word in _line.partition(":")[2].split():
        _ELSEWHERE.setdefault(_word, []).append(_line.partition(":")[0].strip())
_UNITS: Final = (
    ("DURATION", "{}s", "add the unit: `{}s`, or `ms`, `m`, `h`, `d`"),
    ("FREQUENCY", "{}/s", "say per what: `{}/s`, or `/m`, `/h`, `/d`"),
    ("PERCENT", "{}%", "write `{}%`"),
)


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


def best_repair(
    probe: Probe, tokens: Tokens, states: list[int], expected: set[str], at: int
) -> Repair | None:
    """The repair after which most of the next tokens parse; None if too few do after any."""
    left = len(tokens.kinds) - at
    found: list[tuple[int, int, Repair]] = []
    for repair in _candidates(probe, tokens, expected, at):
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
        yield from _otherwise(probe, expected, text)
        if "LABEL" in expected:
            drop = 2 if tokens.kinds[at + 1] == "EQUAL" else 1
            hint = f"write `{_shown(text)}:`"
            if "RBRACE" in expected:
                what = "value" if "STRING" in expected else "type"
                hint = f"a field is written `{_shown(text)}: {what}`"
            yield Repair((("LABEL", text), ("COLON", ":")), drop, 1, hint)
    yield from _retyped(expected, kind, text)
    yield from _foreign(tokens, expected, at)
    yield from _missing(probe, expected, keywords)
    if kind not in ("RBRACE", "LBRACE"):
        yield Repair((), 1, 20, f"remove `{_shown(text)}`", "")


def _respelt(probe: Probe, keywords: list[str], text: str) -> Iterator[Repair]:
    from difflib import SequenceMatcher  # noqa: PLC0415  # lazy: needed for faults alone

    for terminal in keywords:
        word = probe.table.spelling[terminal]
        if word != text and SequenceMatcher(None, word, text[:40].lower()).ratio() >= 0.7:
            needed = 0 if word == text.lower() else NEEDED
            yield Repair(((terminal, word),), 1, 0, f"did you mean `{word}`?", word, needed)


def _otherwise(probe: Probe, expected: set[str], text: str) -> Iterator[Repair]:
    """What is called by another word elsewhere."""
    for terminal in _ELSEWHERE.get(text.lower(), ()):
        if terminal in expected:
            word = probe.table.spelling[terminal]
            yield Repair(((terminal, word),), 1, 1, f"write `{word}`", word, needed=1)


def _foreign(tokens: Tokens, expected: set[str], at: int) -> Iterator[Repair]:
    """What is written otherwise elsewhere."""
    kinds, texts = tokens.kinds[at : at + PAIR_MAX], tokens.texts
    if kinds[0] == "COMMA" and "VBAR" in expected:
        hint = "`|` stands between alternatives: `A | B`"
        yield Repair((("VBAR", "|"),), 1, 4, hint, "|", needed=1)
    if kinds[:2] == ["LSQB", "RSQB"] and at:
        hint = f"a list is written `list<{_shown(texts[at - 1])}>`"
        yield Repair((), 2, 4, hint, needed=0)
    if kinds[1:3] == ["QUESTION", "COLON"] and "LABEL" in expected and texts[at].isidentifier():
        hint = f"an optional field is written `{_shown(texts[at])}: type?`"
        yield Repair((("LABEL", texts[at]), ("COLON", ":")), 3, 0, hint)
    closer = {"LPAR": "RPAR", "LSQB": "RSQB"}.get(kinds[0])
    if closer in kinds:
        pair = kinds.index(closer)
        hint = f"remove `{texts[at]}` and `{texts[at + pair]}`"
        yield Repair((), 1, 19, hint, "", others=(pair,))
    if kinds[0] == "COMMA" and ("LABEL" in expected or expected <= {"NAME", "RBRACE", "ERROR"}):
        yield Repair((), 1, 18, "remove `,`", "", needed=1, others=_commas(kinds))
    if kinds[0] == "LBRACE" and "NAME" in expected and at and tokens.kinds[at - 1] == "COLON":
        hint = "write a `type NAME { … }` of its own, and its name here"
        yield Repair((("NAME", ""),), _length(kinds), 5, hint)
    if kinds[0] == "EQUAL" and "ANNOTATION" in expected:
        hint = "a field has no default: make it optional (`?`), or set it in an `upcast`"
        yield Repair((), 2, 5, hint, needed=1)
    if kinds[0] == "STRING" and at and texts[at - 1] == "run":
        yield Repair(
            (("NAME", "exec"),), 0, 0, "say how: `run python`, `run exec`", "exec", needed=1
        )
    if {"BY", "AMPERSAND"} <= expected:
        hint = "a join says by which key: `on A & B by KEY`"
        yield Repair((("BY", "by"), ("NAME", "")), 0, 25, hint)
    if "LBRACE" in expected:
        yield Repair((("LBRACE", "{"), ("RBRACE", "}")), 0, 26, "`{ }` is missing", "{ }")


def _commas(kinds: list[str]) -> tuple[int, ...]:
    """The other commas of a list that begins here, up to what closes it."""
    depth, found = 0, []
    for offset, kind in enumerate(kinds):
        depth += (kind in _OPENERS) - (kind in _CLOSERS)
        if depth < 0:
            break
        if kind == "COMMA" and depth == 0 and offset:
            found.append(offset)
    return tuple(found)


def _length(kinds: list[str]) -> int:
    """How many tokens there are up to what closes the first, or all."""
    depth = 0
    for offset, kind in enumerate(kinds):
        depth += (kind in _OPENERS) - (kind in _CLOSERS)
        if depth == 0:
            return offset + 1
    return len(kinds)


def _retyped(expected: set[str], kind: str, text: str) -> Iterator[Repair]:
    """The same thing, written as what is expected."""
    if kind == "NUMBER":
        for terminal, form, hint in _UNITS:
            if terminal in expected:
                yield Repair(((terminal, form.format(text)),), 1, 1, hint.format(_shown(text)))
        if "NAME" in expected:
            yield Repair((("NAME", ""),), 1, 10, "a name begins with a letter")
    if kind == "STRING" and "NAME" in expected:
        name = text[1:-1] if text[1:-1].isidentifier() and text.isascii() else ""
        hint = "a name stands without quotes"
        yield Repair((("NAME", name),), 1, 10, hint, name or None, 0 if name else NEEDED)
    if (kind == "NUMBER" or text.isidentifier()) and "STRING" in expected:
        quoted = f'"{text}"'
        hint = f"strings stand in quotes: `{_shown(quoted)}`"
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


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
