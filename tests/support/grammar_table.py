"""Makes `table.json` from `flow.lark`: `python tests/support/grammar_table.py` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lark import Lark
from lark.lexer import PatternStr
from lark.parsers.lalr_analysis import LALR_Analyzer, Reduce, Shift

import flowc_dsl

SYNTAX = Path(flowc_dsl.__file__).parent / "syntax"
GRAMMAR, TABLE = SYNTAX / "flow.lark", SYNTAX / "table.json"


def grammar() -> Lark:
    """The grammar as Lark runs it."""
    return Lark(
        GRAMMAR.read_text(encoding="utf-8"),
        parser="lalr",
        lexer="contextual",
        maybe_placeholders=True,
        propagate_positions=False,
    )


def table_text() -> str:
    """The table as JSON. Raises `GrammarError` for a conflict of any kind."""
    lark = grammar()
    analysis = LALR_Analyzer(lark.parser.parser.parser_conf, strict=True)
    analysis.compute_lalr()
    table = analysis.parse_table
    numbers = _numbers(table)
    rules: list[list[Any]] = []
    seen: dict[Any, int] = {}
    actions: list[dict[str, int]] = [{} for _ in numbers]
    gotos: list[dict[str, int]] = [{} for _ in numbers]
    for state, number in sorted(numbers.items(), key=lambda item: item[1]):
        for symbol, (action, arg) in sorted(table.states[state].items()):
            if action is Shift:
                target = actions if symbol.isupper() or symbol[0] == "$" else gotos
                target[number][symbol] = numbers[arg]
                continue
            assert action is Reduce
            if arg not in seen:
                seen[arg] = len(rules)
                rules.append(_rule(arg))
            actions[number][symbol] = -1 - seen[arg]
    document = {
        "end": numbers[table.end_states["start"]],
        **_terminals(lark),
        "rules": rules,
        "actions": actions,
        "gotos": gotos,
    }
    parts = [f"{json.dumps(k)}:{_lines(v)}" for k, v in document.items()]
    return "{" + ",\n".join(parts) + "}\n"


def _lines(value: Any) -> str:
    """A list has a line an item, so that a change of the grammar is a change of some lines."""
    compact = json.JSONEncoder(separators=(",", ":")).encode
    if isinstance(value, list):
        return "[\n" + ",\n".join(compact(item) for item in value) + "]"
    return compact(value)


def _numbers(table: Any) -> dict[Any, int]:
    """States numbered by a walk from the start: Lark's numbers differ from run to run."""
    numbers = {table.start_states["start"]: 0}
    for state in (queue := list(numbers)):
        for _, (action, arg) in sorted(table.states[state].items()):
            if action is Shift and arg not in numbers:
                numbers[arg] = len(numbers)
                queue.append(arg)
    return numbers


def _rule(rule: Any) -> list[Any]:
    """Origin, length, and which children are kept: -1 is an absent option, 1000 + i is spliced."""
    gaps = [0] * (len(rule.expansion) + 1)
    if rule.options.empty_indices:
        text = "".join(str(int(empty)) for empty in rule.options.empty_indices)
        gaps = [len(ones) for ones in text.split("0")]
    picks: list[int] = []
    for index, symbol in enumerate(rule.expansion):
        picks += [-1] * gaps[index]
        if symbol.is_term:
            picks += [] if symbol.filter_out else [index]
        else:
            picks.append(1000 + index if symbol.name.startswith("_") else index)
    picks += [-1] * gaps[-1]
    return [rule.origin.name, len(rule.expansion), picks]


def _terminals(lark: Lark) -> dict[str, Any]:
    order = sorted(
        lark.terminals,
        key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name),
    )
    words = {t.pattern.value: t.name for t in order if isinstance(t.pattern, PatternStr)}
    keywords = {word: name for word, name in sorted(words.items()) if word.isalpha()}
    regexes = [
        [t.name, t.pattern.to_regexp()]
        for t in order
        if t.name not in {*keywords.values(), "ERROR", "SPACE", "LABEL"}
    ]
    marks = {word: name for word, name in sorted(words.items()) if not word.isalpha()}
    return {"keywords": keywords, "marks": marks, "regexes": regexes}


if __name__ == "__main__":
    TABLE.write_text(table_text(), encoding="utf-8")
