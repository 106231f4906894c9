"""How parsing goes on behind a fault.

First the smallest repair that lets the next tokens parse is looked for: a keyword misspelt, a token
missing, a token too many. If there is none, the item is given up: the stack is cut back to the list
of items that the text can go on with, and the list gets an ERROR for what was skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from flowc_dsl import limits
from flowc_dsl.diagnostics.diagnostic import Edit
from flowc_dsl.source import Source, Span
from flowc_dsl.syntax.expected import in_words
from flowc_dsl.syntax.faults import SyntaxFault, Unclosed, Unexpected, Unmatched
from flowc_dsl.syntax.table import Table
from flowc_dsl.syntax.tokens import END, Tokens

LOOKAHEAD: Final = 8  # tokens that a repair is judged by
NEEDED: Final = 3  # of them have to parse
QUIET: Final = 3  # tokens behind a fault in which the next is probably its consequence

_SPOILT: Final = {
    "BAD_STRING": ("STRING",),
    "BAD_NAME": ("NAME",),
    "BAD_NUMBER": ("NUMBER", "DURATION", "FREQUENCY", "PERCENT", "DATE", "NAME"),
}
_BAD: Final = frozenset({*_SPOILT, "JUNK"})
_CLOSERS: Final = {"RBRACE": "LBRACE", "RSQB": "LSQB", "RPAR": "LPAR", "MORETHAN": "LESSTHAN"}
_OPENER_OF: Final = {"}": "{", "]": "[", ")": "(", ">": "<"}
_INSERTABLE: Final = (
    "RBRACE", "LBRACE", "RPAR", "RSQB", "MORETHAN", "COMMA", "COLON", "EQUAL", "_ARROW",
    "NAME", "STRING", "NUMBER", "DURATION", "FREQUENCY", "PERCENT", "DATE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Repair:
    """Put `insert` in the place of the next `drop` tokens."""

    insert: tuple[tuple[str, str], ...]
    drop: int
    rank: int  # of repairs that are equally good, the lowest is taken
    hint: str
    edit_text: str | None = None


class Recovery:
    def __init__(self, source: Source, tokens: Tokens, table: Table) -> None:
        self.source, self.tokens, self.table = source, tokens, table
        self.faults: list[SyntaxFault] = []
        self._tries = 0
        self._quiet_until = -1
        self._soft = frozenset({*table.keywords.values(), "VERSION"})

    def reported(self, faults: list[SyntaxFault]) -> tuple[SyntaxFault, ...]:
        """In the order of the text, and not more than anybody would read."""
        ordered = sorted(faults, key=lambda fault: fault.diagnostic().sort_key())
        return tuple(ordered[: limits.SYNTAX_FAULTS_MAX])

    # ---- soft tokens

    def soft(self, row: dict[str, int], at: int) -> int | None:
        """The action for a token taken as something else: a keyword as a name, a bad number as a
        number."""
        return self._soft_action(row, self.tokens.kinds[at], self.tokens.texts[at])

    def _soft_action(self, row: dict[str, int], kind: str, text: str) -> int | None:
        if kind in self._soft:
            return row.get("NAME")
        if kind == "LABEL":
            keyword = self.table.keywords.get(text)
            if keyword is not None and keyword in row:
                return row[keyword]
            return row.get("NAME")
        for other in _SPOILT.get(kind, ()):
            if other in row:
                return row[other]
        return None

    # ---- trying out

    def _feed(self, states: list[int], kind: str, text: str) -> bool:
        """Whether the token can be shifted; `states` is where the machine is then."""
        table = self.table
        while True:
            row = table.actions[states[-1]]
            action = row.get(kind)
            if action is None:
                action = self._soft_action(row, kind, text)
            if action is None:
                return False
            if action > 0:
                states.append(action)
                return True
            rule = table.rules[-1 - action]
            if rule.size:
                del states[-rule.size :]
            states.append(table.gotos[states[-1]][rule.origin])
            if states[-1] == table.end:
                return True

    def _reach(self, states: list[int], repair: Repair, at: int) -> int:
        """How many of the next tokens parse after a repair; -1 if the repair itself does not."""
        states = states.copy()
        for kind, text in repair.insert:
            if not self._feed(states, kind, text):
                return -1
        kinds, texts = self.tokens.kinds, self.tokens.texts
        first = at + repair.drop
        for index in range(first, min(first + LOOKAHEAD, len(kinds))):
            if not self._feed(states, kinds[index], texts[index]):
                return index - first
        return LOOKAHEAD

    def expected(self, states: list[int]) -> set[str]:
        """The terminals that can really stand next."""
        return {t for t in self.table.actions[states[-1]] if self._feed(states.copy(), t, "")}

    # ---- recovering

    def recover(self, states: list[int], values: list[Any], starts: list[int], at: int) -> int:
        """Mends stack or tokens, reports the fault, and returns where to go on."""
        self._tries += 1
        kinds = self.tokens.kinds
        quiet = at < self._quiet_until or kinds[at] in _BAD
        self._quiet_until = at + QUIET
        if self._tries > limits.RECOVERIES_MAX:
            return self._give_up(states, values, starts, len(kinds) - 1)
        if kinds[at] == "JUNK":
            self.tokens.delete(at)
            return at
        expected = self.expected(states)
        if kinds[at] == END:
            self._report_end(states, values, starts, at, expected, quiet=quiet)
            return self._give_up(states, values, starts, at)
        repair = self._best(states, expected, at)
        if not quiet:
            self.faults.append(self._fault(states, values, starts, at, expected, repair))
        if repair is None:
            return self._panic(states, values, starts, at)
        for _ in range(repair.drop):
            self.tokens.delete(at)
        for offset, (kind, text) in enumerate(repair.insert):
            self.tokens.insert(at + offset, kind, text)
        self._quiet_until = at + len(repair.insert) + 1
        return at

    def _best(self, states: list[int], expected: set[str], at: int) -> Repair | None:
        best: tuple[int, int] | None = None
        found: Repair | None = None
        left = len(self.tokens.kinds) - at
        for repair in self._candidates(expected, at):
            reach = self._reach(states, repair, at)
            if reach < min(NEEDED, left - repair.drop):
                continue
            score = (-reach, repair.rank)
            if best is None or score < best:
                best, found = score, repair
        return found

    def _candidates(self, expected: set[str], at: int) -> Iterator[Repair]:
        kind, text = self.tokens.kinds[at], self.tokens.texts[at]
        spelling = self.table.spelling
        if text.isidentifier():
            for terminal in sorted(expected & set(self.table.keywords.values())):
                word = spelling[terminal]
                if word != text and _similar(word, text):
                    hint = f"did you mean `{word}`?"
                    yield Repair(((terminal, word),), 1, 0, hint, word)
            if "LABEL" in expected:
                label = (("LABEL", text), ("COLON", ":"))
                yield Repair(label, 1, 1, f"a field is written `{text}: type`")
        for rank, terminal in enumerate(_INSERTABLE):
            if terminal in expected:
                word = spelling.get(terminal, "")
                yield Repair(
                    ((terminal, word),), 0, 2 + rank, _missing(terminal, word), word or None
                )
        for terminal in sorted(expected & set(self.table.keywords.values())):
            word = spelling[terminal]
            yield Repair(((terminal, word),), 0, 30, f"`{word}` is missing", word)
        if kind not in ("RBRACE", "LBRACE"):
            yield Repair((), 1, 20, f"remove `{text}`", "")
        if kind in ("STRING", "NUMBER") and "NAME" in expected:
            yield Repair((("NAME", ""),), 1, 10, "a name stands without quotes")
        if kind in ("NAME", "NUMBER", *self._soft) and "STRING" in expected:
            hint = f'strings stand in quotes: `"{text}"`'
            yield Repair((("STRING", f'"{text}"'),), 1, 1, hint, f'"{text}"')

    # ---- words

    def _fault(
        self,
        states: list[int],
        values: list[Any],
        starts: list[int],
        at: int,
        expected: set[str],
        repair: Repair | None,
    ) -> SyntaxFault:
        tokens = self.tokens
        span = self._span(at)
        if repair is not None and len(repair.insert) == 1 and not repair.drop:
            kind, word = repair.insert[0]
            if kind in _CLOSERS:
                opener = self._opener(states, values, starts, word)
                if opener is not None:
                    return Unclosed(opener, _OPENER_OF[word], word, span)
        if tokens.kinds[at] in _CLOSERS and not self._opened(values, tokens.texts[at]):
            return Unmatched(span, tokens.texts[at])
        edit = None
        if repair is not None and repair.edit_text is not None and repair.edit_text != "":
            where = span if repair.drop else Span(span.path, span.start, span.start)
            text = repair.edit_text if repair.drop else f"{repair.edit_text} "
            edit = Edit(where, text)
        elif repair is not None and repair.drop and not repair.insert:
            edit = Edit(span, "")
        words = in_words(expected, self.table)
        if repair is not None and repair.insert and not repair.drop:
            words = in_words({repair.insert[0][0]}, self.table)
        hint = repair.hint if repair is not None else None
        return Unexpected(span, _shown(tokens.texts[at]), words, hint, edit)

    def _report_end(
        self,
        states: list[int],
        values: list[Any],
        starts: list[int],
        at: int,
        expected: set[str],
        *,
        quiet: bool,
    ) -> None:
        span = self._span(at)
        for closer, opener in _OPENER_OF.items():
            place = self._opener(states, values, starts, closer)
            if place is not None and closer == "}":
                self.faults.append(Unclosed(place, opener, closer, span))
                return
        if not quiet:
            self.faults.append(Unexpected(span, "", in_words(expected, self.table)))

    def _opener(
        self, _states: list[int], values: list[Any], starts: list[int], closer: str
    ) -> Span | None:
        """The innermost token on the stack that `closer` would close."""
        for value, start in zip(reversed(values), reversed(starts), strict=True):
            if value == _OPENER_OF[closer]:
                return Span(self.source.path, start, start + 1)
        return None

    def _opened(self, values: list[Any], closer: str) -> bool:
        return any(value == _OPENER_OF[closer] for value in values)

    def _span(self, at: int) -> Span:
        tokens = self.tokens
        if tokens.kinds[at] == END:  # the last thing written, so that there is something to see
            end = tokens.end_before(at)
            return Span(self.source.path, max(end - 1, 0), end)
        return Span(self.source.path, tokens.starts[at], tokens.ends[at])

    # ---- giving up

    def _panic(self, states: list[int], values: list[Any], starts: list[int], at: int) -> int:
        """Cuts the stack back to a list that takes an ERROR and then the text from some token
        on."""
        lists = [i for i, state in enumerate(states) if self._takes_error(states, i)]
        kinds, texts = self.tokens.kinds, self.tokens.texts
        index, depth = at, 0
        while kinds[index] != END:
            if depth == 0:
                for height in reversed(lists):
                    probe = states[: height + 1]
                    if index > at or height < len(states) - 1:
                        self._feed(probe, "ERROR", "")
                        if self._feed(probe, kinds[index], texts[index]) and (
                            kinds[index] != "NAME"
                        ):
                            return self._cut(states, values, starts, height, at, index)
            if kinds[index] == "LBRACE":
                depth += 1
            elif kinds[index] == "RBRACE":
                depth = max(0, depth - 1)
            index += 1
        return self._cut(states, values, starts, lists[0], at, index)

    def _takes_error(self, states: list[int], height: int) -> bool:
        return self._feed(states[: height + 1], "ERROR", "")

    def _cut(
        self,
        states: list[int],
        values: list[Any],
        starts: list[int],
        height: int,
        at: int,
        index: int,
    ) -> int:
        """Drops the stack above `height`, and puts an ERROR in the place of the tokens up to
        `index`."""
        first = starts[height] if height < len(starts) else self.tokens.starts[at]
        del states[height + 1 :], values[height:], starts[height:]
        tokens = self.tokens
        tokens.insert(index, "ERROR")
        tokens.starts[index] = min(first, tokens.ends[index])
        self._quiet_until = index + 1 + QUIET
        return index

    def _give_up(self, states: list[int], values: list[Any], starts: list[int], at: int) -> int:
        """Closes everything that is open, at the end of the file."""
        lists = [i for i, _ in enumerate(states) if self._takes_error(states, i)]
        closable = [i for i in lists if self._closes(states[: i + 1])]
        return self._cut(states, values, starts, (closable or lists)[-1], at, at)

    def _closes(self, states: list[int]) -> bool:
        return self._feed(states, "ERROR", "") and self._feed(states, END, "")


def _similar(word: str, text: str) -> bool:
    from difflib import SequenceMatcher  # noqa: PLC0415  # lazy: needed for faults alone

    return SequenceMatcher(None, word, text.lower()).ratio() >= 0.7


def _missing(terminal: str, word: str) -> str:
    if word:
        return f"`{word}` is missing"
    if terminal == "NAME":
        return "a name is missing"
    return "something is missing before this"


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
