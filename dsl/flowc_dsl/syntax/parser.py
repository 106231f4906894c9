"""Tokens to a tree: a plain LALR(1) machine over the table, which never gives up.

A keyword (or `v1`) that a state has no action for is a name there. What is left is a
fault, and `recovery` says how to go on.
"""

from __future__ import annotations

from typing import Any, cast

from flowc_dsl import limits
from flowc_dsl.source import Source
from flowc_dsl.syntax.faults import SyntaxFault
from flowc_dsl.syntax.lexical import drop_foreign, lexical_faults, limit_nesting
from flowc_dsl.syntax.probe import Stack
from flowc_dsl.syntax.recovery import Recovery
from flowc_dsl.syntax.table import ABSENT, SPLICE, Rule, Table, load_table
from flowc_dsl.syntax.tokens import Tokens, tokenize
from flowc_dsl.syntax.tree import Item, Tree


def parse(source: Source) -> Tree:
    """The tree of any text, with its faults."""
    table = load_table()
    tokens = tokenize(source.text, table)
    raw = tuple(tokens.written())
    faults = lexical_faults(source, tokens)
    drop_foreign(tokens)
    too_deep = limit_nesting(source, tokens)
    recovery = Recovery(source, tokens, table)
    items = _run(tokens, table, recovery)
    faults += too_deep or recovery.faults  # what was taken out would be missed everywhere
    return Tree(
        source=source,
        items=tuple(items),
        comments=tuple(tokens.comments),
        faults=_reported(faults),
        raw_tokens=raw,
        docs=tokens.docs,
    )


def _reported(faults: list[SyntaxFault]) -> tuple[SyntaxFault, ...]:
    """In the order of the text, and not more than anybody would read."""
    ordered = sorted(faults, key=lambda fault: fault.diagnostic().sort_key())
    return tuple(ordered[: limits.SYNTAX_FAULTS_MAX])


def _run(tokens: Tokens, table: Table, recovery: Recovery) -> tuple[Item, ...]:
    actions, gotos, rules, end = table.actions, table.gotos, table.rules, table.end
    kinds, texts, offsets, ends = tokens.kinds, tokens.texts, tokens.starts, tokens.ends
    stack = Stack()
    states, values, starts = stack.states, stack.values, stack.starts
    at = 0
    while True:
        row = actions[states[-1]]
        action = row.get(kinds[at])
        if action is None:
            action = recovery.soft(row, at)
            if action is None:
                at = recovery.recover(stack, at)
                continue
        if action > 0:
            states.append(action)
            values.append(texts[at])
            starts.append(offsets[at])
            at += 1
            continue
        rule = rules[-1 - action]
        size = rule.size
        if size == 1:  # two in three, and a slice of each list would cost more
            states.pop()
            children = [values.pop()]
            start = starts.pop()
        elif size:
            children = values[-size:]
            start = starts[-size]
            del states[-size:], values[-size:], starts[-size:]
        else:
            children = []
            start = offsets[at]
        end_at = ends[at - 1] if at else 0
        if rule.whole:
            values.append(rule.build(children, start, end_at) if rule.build else children)
        else:
            values.append(_reduce(rule, children, start, end_at))
        starts.append(start)
        states.append(gotos[states[-1]][rule.origin])
        if states[-1] == end:
            return cast("tuple[Item, ...]", values[-1])


def _reduce(rule: Rule, children: list[Any], start: int, end: int) -> Any:
    build = rule.build
    if rule.plain:
        picked = [children[pick] for pick in rule.picks]
        return picked if build is None else build(picked, start, end)
    if rule.grows:
        picked = children[0]
        picks = rule.picks[1:]
    else:
        picked = []
        picks = rule.picks
    for pick in picks:
        if pick == ABSENT:
            picked.append(None)
        elif pick >= SPLICE:
            picked.extend(children[pick - SPLICE])
        else:
            picked.append(children[pick])
    return picked if build is None else build(picked, start, end)
