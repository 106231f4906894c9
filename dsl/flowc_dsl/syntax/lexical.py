"""Faults that a token has by itself, and nesting that goes too deep."""

from __future__ import annotations

import json
import re

from flowc_dsl import limits
from flowc_dsl.diagnostics.diagnostic import Edit
from flowc_dsl.source import Source, Span
from flowc_dsl.syntax.faults import BadToken, SyntaxFault, TooDeep, short
from flowc_dsl.syntax.tokens import Tokens

_HABIT_EDITS_MAX = 1_000
_ESCAPE = re.compile(r"\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4})|\\.?|[\x00-\x1f\x7f]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPENERS = {"LBRACE": "RBRACE", "LSQB": "RSQB", "LPAR": "RPAR", "LESSTHAN": "MORETHAN"}
_CLOSERS = frozenset(_OPENERS.values())
_BRACKETS = _CLOSERS.union(_OPENERS)
_UNITS = ("ms", "s", "m", "h", "d")


def lexical_faults(source: Source, tokens: Tokens) -> list[SyntaxFault]:
    """Every token that is none, every bad escape, every name that is too long."""
    faults: list[SyntaxFault] = []
    foreign: dict[str, list[int]] = {}
    odd = "\\" in source.text or not source.text.replace("\n", "").isprintable()
    if not odd and _are_plain(tokens):
        return faults
    for kind, text, start in tokens.written():
        if len(faults) > limits.SYNTAX_FAULTS_MAX:
            break
        if kind == "STRING":
            if odd:
                faults += _bad_string(source, text, start)
        elif len(text) > limits.NAME_CHARS_MAX and text.isidentifier():
            message = f"name has {len(text)} characters, more than {limits.NAME_CHARS_MAX}"
            faults.append(BadToken(_span(source, start, text), message))
        elif kind == "FOREIGN":
            foreign.setdefault(text[: 2 if text.startswith("/") else 1], []).append(start)
        elif kind in _BAD:
            faults.append(_BAD[kind](source, text, start))
        elif kind == "LABEL" and not _NAME.fullmatch(text):
            bad = _bad_word if text.isascii() else _bad_name
            faults.append(bad(source, text, start))
    return [*faults, *(_habit(source, mark, starts) for mark, starts in foreign.items())]


def _habit(source: Source, mark: str, starts: list[int]) -> BadToken:
    """One fault for all places of a file where another language is written."""
    others = len(starts) - 1
    more = f" here and in {others:,} more place{'s' * (others > 1)}" if others else ""
    places = [_span(source, start, mark) for start in starts[:_HABIT_EDITS_MAX]]
    if mark == ";":
        message, text = f"`;` ends nothing{more}", ""
        hint = "leave it out: nothing has to stand between items"
    else:
        message, text = f"`{mark}` begins no comment{more}", "//"
        hint = "a comment begins with `//`"
    whole = mark != "/*" and len(places) == len(starts)
    edits = tuple(Edit(place, text) for place in places) if whole else ()
    return BadToken(places[0], message, hint, edits)


def drop_foreign(tokens: Tokens) -> None:
    """Takes out the comments and ends of other languages, which mean nothing here."""
    if "FOREIGN" in tokens.kinds:
        tokens.keep([i for i, kind in enumerate(tokens.kinds) if kind != "FOREIGN"])


def _are_plain(tokens: Tokens) -> bool:
    """Whether nothing can be wrong with any of them, found quickly: as good as always."""
    kinds = set(tokens.kinds)
    if "FOREIGN" in kinds or not kinds.isdisjoint(_BAD):
        return False
    if max(map(len, tokens.texts)) > limits.NAME_CHARS_MAX:
        return False
    labels = [
        text for kind, text in zip(tokens.kinds, tokens.texts, strict=True) if kind == "LABEL"
    ]
    return all(map(_NAME.fullmatch, labels))


def _span(source: Source, start: int, text: str) -> Span:
    return Span(source.path, start, start + len(text))


def _bad_string(source: Source, text: str, start: int) -> list[SyntaxFault]:
    for match in _ESCAPE.finditer(text):
        found = match[0]
        at = Span(source.path, start + match.start(), start + match.end())
        if found[0] != "\\":
            message = f"character U+{ord(found):04X} has to be escaped in a string"
            return [BadToken(at, message, f"write `\\u{ord(found):04x}`")]
        if len(found) == 1 or found[1] not in '"\\/bfnrtu' or found == "\\u":
            return [BadToken(at, f"unknown escape `{found}`", "write `\\\\` for a backslash")]
    try:
        json.loads(text).encode()
    except (ValueError, UnicodeEncodeError):
        return [BadToken(_span(source, start, text), "half a surrogate pair is no character")]
    return []


def _bad_name(source: Source, text: str, start: int) -> BadToken:
    return BadToken(
        _span(source, start, text),
        f"`{short(text)}` is no name",
        "a name is made of the letters a to z and A to Z, digits and `_`",
    )


def _bad_word(source: Source, text: str, start: int) -> BadToken:
    shown = short(text)
    parts = re.split(r"[./-]", text)
    if "." in text:
        name = parts[-1]  # names are flat: nothing is in front of one
    elif text[0].isupper():
        name = "".join(part[:1].upper() + part[1:] for part in parts)
    else:
        name = "_".join(parts)
    hint = f'a name is written `{short(name)}`, and a string `"{shown}"`'
    return BadToken(_span(source, start, text), f"`{shown}` is no name", hint)


def _unclosed_string(source: Source, text: str, start: int) -> BadToken:
    return BadToken(
        _span(source, start, text.rstrip()), "string is never closed", 'add `"` on the same line'
    )


def _bad_number(source: Source, text: str, start: int) -> BadToken:
    span = _span(source, start, text)
    unit = text.lstrip("+-0123456789.")
    if re.fullmatch(r"\d+(\.\d+)?/?[A-Za-z]+", text):
        place = "rate is per" if "/" in text else "duration ends in"
        units = _UNITS[1:] if "/" in text else _UNITS
        names = ", ".join(f"`{'/' * ('/' in text)}{u}`" for u in units)
        return BadToken(span, f"`{short(text)}` has no unit `{short(unit)}`", f"a {place} {names}")
    if re.fullmatch(r"-\d+(\.\d+)?(ms|[smhd]|%|/[smhd])", text):
        return BadToken(span, f"`{short(text)}` is below 0", "write a number from 0 on")
    if re.fullmatch(r"-?0\d+(\.\d+)?", text):
        return BadToken(span, f"`{short(text)}` begins with 0", "write it without leading zeros")
    if re.fullmatch(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}", text):
        return BadToken(span, f"`{short(text)}` is no date", "write `2027-01-31`")
    return BadToken(
        span,
        f"`{short(text)}` is no number",
        "numbers are JSON's, and a name begins with a letter",
    )


def _junk(source: Source, text: str, start: int) -> BadToken:
    span = _span(source, start, text)
    hint = None
    if text.startswith(("'", "`", "“", "”")):
        hint = 'strings stand in `"`'
    elif text.startswith("/"):
        hint = "a comment begins with `//`"
    elif text == "-":
        hint = "an arrow is written `->`"
    shown = short(text) if text.isprintable() else " ".join(f"U+{ord(c):04X}" for c in text[:4])
    plural = "s" if len(text) > 1 else ""
    return BadToken(span, f"unexpected character{plural} `{shown}`", hint)


def _bad_arrow(source: Source, text: str, start: int) -> BadToken:
    return BadToken(_span(source, start, text), f"`{short(text)}` is no arrow", "write `->`")


def _bad_quotes(source: Source, text: str, start: int) -> BadToken:
    hint = f'write `"{short(text[1:-1])}"`'
    return BadToken(_span(source, start, text), 'strings stand in `"`', hint)


_BAD = {
    "BAD_ARROW": _bad_arrow,
    "BAD_QUOTES": _bad_quotes,
    "BAD_STRING": _unclosed_string,
    "BAD_NUMBER": _bad_number,
    "BAD_NAME": _bad_name,
    "BAD_WORD": _bad_word,
    "JUNK": _junk,
}


def _depth(tokens: Tokens) -> int:
    """How deep it goes at most."""
    depth = deepest = 0
    for kind in [kind for kind in tokens.kinds if kind in _BRACKETS]:
        if kind in _OPENERS:
            depth += 1
            deepest = max(deepest, depth)
        elif depth:
            depth -= 1
    return deepest


def limit_nesting(source: Source, tokens: Tokens) -> list[SyntaxFault]:
    """Takes out what is nested too deep, so that nothing behind the parser can recurse further."""
    if _depth(tokens) < limits.NESTING_MAX:
        return []
    depth = 0
    kept: list[int] = []
    first: Span | None = None
    for index, kind in enumerate(tokens.kinds):
        if kind in _CLOSERS:
            depth = max(0, depth - 1)
        if depth < limits.NESTING_MAX or kind == "$END":
            kept.append(index)
        elif first is None:
            first = _span(source, tokens.starts[index], tokens.texts[index])
        if kind in _OPENERS:
            depth += 1
    if first is None:
        return []
    tokens.keep(kept)
    return [TooDeep(first)]
