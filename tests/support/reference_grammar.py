"""`flow.lark` as a reader wants it: rules by construct, in EBNF, without what is for recovery."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from importlib.resources import files
from textwrap import fill
from typing import Final, NamedTuple

from support.reference_language import CHAPTERS, CONSTRUCTS, Construct

_SECTION: Final = re.compile(r"// ---- (.+)")
_RULE: Final = re.compile(r"(_?[a-z][a-z_]*): (.*)")
_TERMINAL: Final = re.compile(r'(_?[A-Z]+)(?:\.\d+)?: (?:"(.*)"|/(.*)/)')
WIDTH_MAX: Final = 88
_HIDDEN: Final = {"ERROR", "SPACE"}
TOKENS: Final = Construct(
    "Tokens", "The tokens that are no fixed word, as regular expressions.", ""
)


class Rule(NamedTuple):
    """`body` as written, in one line; `section` is the heading that it stands under."""

    name: str
    body: str
    section: str


def grammar() -> tuple[list[Rule], dict[str, str], dict[str, str]]:
    """The rules in order; the terminals that are a word, and those that are a pattern."""
    rules: list[Rule] = []
    words: dict[str, str] = {}
    patterns: dict[str, str] = {}
    section = ""
    text = (files("flowc_dsl.syntax") / "flow.lark").read_text(encoding="utf-8")
    for line in text.split("\n"):
        if heading := _SECTION.fullmatch(line):
            section = heading[1]
        elif rule := _RULE.fullmatch(line):
            rules.append(Rule(rule[1], rule[2], section))
        elif terminal := _TERMINAL.fullmatch(line):
            table, value = (words, terminal[2]) if terminal[2] else (patterns, terminal[3])
            if terminal[1] not in _HIDDEN:
                table[terminal[1]] = value
        elif line.startswith(" ") and line.strip():
            rules[-1] = rules[-1]._replace(body=f"{rules[-1].body} {line.strip()}")
    return [rule for rule in rules if rule.name != "error"], words, patterns


def constructs() -> list[tuple[str, list[tuple[Construct, str]]]]:
    """Chapters, each with its constructs and their rules as EBNF."""
    rules, words, patterns = grammar()
    names = {rule.name for rule in rules}
    chapters: dict[str, list[tuple[Construct, list[str]]]] = {}
    for rule in rules:
        title = CHAPTERS.get(rule.section, rule.section.capitalize())
        found = chapters.setdefault(title, [])
        if rule.name in CONSTRUCTS or not found:
            named = Construct(f"`{rule.name}`", "", "")
            found.append((CONSTRUCTS.get(rule.name, named), []))
        found[-1][1].append(_ebnf(rule, words, names))
    made = [
        (title, [(construct, "\n".join(lines)) for construct, lines in found])
        for title, found in chapters.items()
    ]
    tokens = "\n".join(f"{name} = /{pattern}/" for name, pattern in patterns.items())
    return [*made, ("Tokens and comments", [(TOKENS, tokens)])]


def _ebnf(rule: Rule, words: dict[str, str], names: AbstractSet[str]) -> str:
    body = re.sub(r"\s*\|\s*error\b", "", rule.body)
    body = re.sub(r"\b_?[A-Z]+\b", lambda m: f'"{words[m[0]]}"' if m[0] in words else m[0], body)
    body = re.sub(r"(?<![\w\"])_[a-z][a-z_]*", lambda m: _shown(m[0], names), body)
    body = re.sub(r"^[(]([^()]*)[)]$", r"\1", re.sub(r"[(](\w+)[)]([*+])", r"\1\2", body))
    if len(body) > WIDTH_MAX and "(" not in body:
        body = fill(body, WIDTH_MAX, subsequent_indent="    ", break_long_words=False)
    return f"{_shown(rule.name, names)} = {body}"


def _shown(name: str, names: AbstractSet[str]) -> str:
    """A helper of the parser has a `_`; without it there may be two of one name."""
    bare = name.lstrip("_")
    return f"any_{bare}" if name != bare and bare in names else bare
