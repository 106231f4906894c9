"""What those write who come from other languages, and what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flowc_dsl.syntax.faults import short
from flowc_dsl.syntax.probe import Probe
from flowc_dsl.syntax.repair import Repair
from flowc_dsl.syntax.tokens import Tokens

_EVENT_CLAUSES: Final = ("key", "retain", "rate")
_OPENERS: Final = frozenset({"LBRACE", "LSQB", "LPAR", "LESSTHAN"})
_CLOSERS: Final = frozenset({"RBRACE", "RSQB", "RPAR", "MORETHAN"})
PAIR_MAX: Final = 200  # tokens in which the other of two brackets is sought

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
_LINES: Final = [line.partition(":") for line in _ELSEWHERE_TEXT.strip().split("\n")]
_ELSEWHERE: Final = [(terminal.strip(), words.split()) for terminal, _, words in _LINES]
_LONG_UNITS: Final = {
    word: unit
    for unit, words in {
        "ms": "millisecond milliseconds msec millis",
        "s": "second seconds sec secs",
        "m": "minute minutes min mins",
        "h": "hour hours hr hrs",
        "d": "day days",
    }.items()
    for word in words.split()
}


def otherwise(probe: Probe, expected: set[str], text: str) -> Iterator[Repair]:
    """What is called by another word elsewhere."""
    for terminal, words in _ELSEWHERE:
        if terminal in expected and text.lower() in words:
            word = probe.table.spelling[terminal]
            yield Repair(((terminal, word),), 1, 1, f"write `{word}`", word, needed=1)


def foreign(tokens: Tokens, expected: set[str], at: int) -> Iterator[Repair]:
    """What is written otherwise elsewhere."""
    kinds = tokens.kinds[at : at + PAIR_MAX]
    yield from _marks(tokens, kinds, expected, at)
    yield from _brackets(tokens, kinds, expected, at)
    yield from _clauses(tokens, kinds, expected, at)


def _marks(tokens: Tokens, kinds: list[str], expected: set[str], at: int) -> Iterator[Repair]:
    texts = tokens.texts
    if kinds[0] == "COMMA" and "VBAR" in expected:
        hint = "`|` stands between alternatives: `A | B`"
        yield Repair((("VBAR", "|"),), 1, 4, hint, "|", needed=1)
    if kinds[:2] == ["LSQB", "RSQB"] and at:
        hint = f"a list is written `list<{short(texts[at - 1])}>`"
        yield Repair((), 2, 4, hint, needed=0)
    if kinds[1:3] == ["QUESTION", "COLON"] and "LABEL" in expected and texts[at].isidentifier():
        hint = f"an optional field is written `{short(texts[at])}: type?`"
        yield Repair((("LABEL", texts[at]), ("COLON", ":")), 3, 0, hint)
    if kinds[0] == "EQUAL" and "ANNOTATION" in expected:
        hint = "a field has no default: make it optional (`?`), or set it in an `upcast`"
        yield Repair((), 2, 5, hint, needed=1)
    if kinds[0] == "STRING" and at and texts[at - 1] == "run":
        yield Repair(
            (("NAME", "exec"),), 0, 0, "say how: `run python`, `run exec`", "exec", needed=1
        )


def _brackets(tokens: Tokens, kinds: list[str], expected: set[str], at: int) -> Iterator[Repair]:
    """What is closed where nothing is to be opened, and lists with commas."""
    texts = tokens.texts
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


def _clauses(tokens: Tokens, kinds: list[str], expected: set[str], at: int) -> Iterator[Repair]:
    texts = tokens.texts
    if kinds[0] == "NUMBER":
        yield from _spaced_units(expected, texts[at : at + 3])
    if "BY" in expected and at and texts[at - 1] == "idempotent" and texts[at].isidentifier():
        yield Repair((("BY", "by"),), 0, 1, "`by` is missing", "by")
    if texts[at] in _EVENT_CLAUSES and at and tokens.kinds[at - 1] == "RBRACE":
        hint = "clauses of an event stand before its braces"
        yield Repair((), 2, 5, hint, needed=1)
    if {"BY", "AMPERSAND"} <= expected:
        hint = "a join says by which key: `on A & B by KEY`"
        yield Repair((("BY", "by"), ("NAME", "")), 0, 25, hint)
    if "LBRACE" in expected:
        yield Repair((("LBRACE", "{"), ("RBRACE", "}")), 0, 26, "`{ }` is missing", "{ }")


def _spaced_units(expected: set[str], texts: list[str]) -> Iterator[Repair]:
    """`30 days` for `30d`, and `500 per second` for `500/s`."""
    number, *words = texts
    unit = _LONG_UNITS.get(words[0].lower()) if words else None
    if unit and "DURATION" in expected:
        written = f"{number}{unit}"
        yield Repair((("DURATION", written),), 2, 0, f"write `{written}`", written, needed=1)
    unit = _LONG_UNITS.get(words[1].lower()) if len(words) > 1 else None
    if unit and words[0] == "per" and "FREQUENCY" in expected and unit != "ms":
        written = f"{number}/{unit}"
        yield Repair((("FREQUENCY", written),), 3, 0, f"write `{written}`", written, needed=1)


def _commas(kinds: list[str]) -> tuple[int, ...]:
    """The other commas of a list that begins here, up to what closes it."""
    depth, found = 0, list[int]()
    for offset, kind in enumerate(kinds):
        depth += (kind in _OPENERS) - (kind in _CLOSERS)
        if depth < 0:
            return tuple(found)
        if kind == "COMMA" and depth == 0 and offset:
            found.append(offset)
    return ()  # nothing closes it, so that it can't be said which are its own


def _length(kinds: list[str]) -> int:
    """How many tokens there are up to what closes the first, or all; the end is one of them."""
    depth = 0
    for offset, kind in enumerate(kinds):
        depth += (kind in _OPENERS) - (kind in _CLOSERS)
        if depth == 0:
            return offset + 1
    return len(kinds)
