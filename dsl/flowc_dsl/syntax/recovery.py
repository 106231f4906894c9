"""How parsing goes on behind a fault.

First the smallest repair that lets the next tokens parse is looked for: a keyword misspelt, a
token missing, a token too many. If there is none, the item is given up: the stack is cut back to
the list of items that the text can go on with, and the list gets an ERROR for what was skipped.
"""

from __future__ import annotations

from typing import Final

from flowc_dsl import limits
from flowc_dsl.diagnostics.diagnostic import Edit
from flowc_dsl.source import Source, Span
from flowc_dsl.syntax.expected import in_words
from flowc_dsl.syntax.faults import SyntaxFault, Unclosed, Unexpected, Unmatched, short
from flowc_dsl.syntax.probe import SPOILT, Probe, Stack
from flowc_dsl.syntax.repair import Repair
from flowc_dsl.syntax.repairs import best_repair
from flowc_dsl.syntax.table import END, Table
from flowc_dsl.syntax.tokens import Tokens

QUIET: Final = 3  # tokens behind a fault in which the next is probably its consequence

_CLOSERS: Final = {"RBRACE": "{", "RSQB": "[", "RPAR": "(", "MORETHAN": "<"}


class Recovery:
    """`faults` are those that were met; `probe` answers what the machine would do."""

    def __init__(self, source: Source, tokens: Tokens, table: Table) -> None:
        self.source, self.tokens, self.probe = source, tokens, Probe(table)
        self.faults: list[SyntaxFault] = []
        self._tries = 0
        self._quiet_until = -1

    def soft(self, row: dict[str, int], at: int) -> int | None:
        """The action for a token that the state knows by another kind, or None."""
        return self.probe.soft(row, self.tokens.kinds[at], self.tokens.texts[at])

    def recover(self, stack: Stack, at: int) -> int:
        """Mends the stack or the tokens, reports the fault, and returns where to go on."""
        self._tries += 1
        kind = self.tokens.kinds[at]
        quiet = at < self._quiet_until or kind in SPOILT or kind == "JUNK"
        quiet = quiet or (kind == "LABEL" and not self.tokens.texts[at].isidentifier())
        self._quiet_until = at + QUIET
        if self._tries > limits.RECOVERIES_MAX:
            return self._give_up(stack, len(self.tokens.kinds) - 1)
        if kind == "JUNK":
            self.tokens.delete(at)
            return at
        expected = self.probe.expected(stack.states)
        if kind == END:
            self._report_end(stack, at, expected, quiet=quiet)
            return self._give_up(stack, at)
        repair = best_repair(self.probe, self.tokens, stack.states, expected, at)
        if not quiet:
            self.faults.append(self._fault(stack, at, expected, repair))
        if repair is None:
            return self._panic(stack, at)
        for offset in reversed(repair.others):
            self.tokens.delete(at + offset)
        for _ in range(repair.drop):
            self.tokens.delete(at)
        for offset, (inserted, text) in enumerate(repair.insert):
            self.tokens.insert(at + offset, inserted, text)
        self._quiet_until = at + len(repair.insert) + 1
        return at

    # ---- words

    def _fault(
        self, stack: Stack, at: int, expected: set[str], repair: Repair | None
    ) -> SyntaxFault:
        kind, text = self.tokens.kinds[at], self.tokens.texts[at]
        span = self._span(at)
        if repair is not None and repair.insert and not repair.drop:
            inserted, word = repair.insert[0]
            opener = self._opener(stack, inserted)
            if opener is not None:
                return Unclosed(opener, _CLOSERS[inserted], word, span)
            expected = {inserted}
        if kind in _CLOSERS and self._opener(stack, kind) is None:
            return Unmatched(span, text)
        words = in_words(expected, self.probe.table)
        hint = repair.hint if repair is not None else None
        last = at + max(repair.drop - 1, 0) if repair is not None else at
        edits = _edits(Span(span.path, span.start, self.tokens.ends[last]), repair)
        if edits and repair is not None:
            edits += tuple(Edit(self._span(at + offset), "") for offset in repair.others)
        return Unexpected(span, short(text), words, hint, edits)

    def _report_end(self, stack: Stack, at: int, expected: set[str], *, quiet: bool) -> None:
        span = self._span(at)
        opener = self._opener(stack, "RBRACE")
        if opener is not None:
            self.faults.append(Unclosed(opener, "{", "}", span, at_end=True))
        elif not quiet:
            self.faults.append(Unexpected(span, "", in_words(expected, self.probe.table)))

    def _opener(self, stack: Stack, closer: str) -> Span | None:
        """The innermost token on the stack that `closer` would close."""
        opener = _CLOSERS.get(closer)
        for value, start in zip(reversed(stack.values), reversed(stack.starts), strict=True):
            if value == opener:
                return Span(self.source.path, start, start + 1)
        return None

    def _span(self, at: int) -> Span:
        tokens = self.tokens
        if tokens.kinds[at] == END:  # the last thing written, so that there is something to see
            end = tokens.end_before(at)
            return Span(self.source.path, max(end - 1, 0), end)
        return Span(self.source.path, tokens.starts[at], tokens.ends[at])

    # ---- giving up

    def _panic(self, stack: Stack, at: int) -> int:
        """Cuts back to a list that takes an ERROR, and then the text from some token on."""
        states, kinds, texts = stack.states, self.tokens.kinds, self.tokens.texts
        lists = [i for i in range(len(states)) if self.probe.feed(states[: i + 1], "ERROR")]
        known: dict[str, int | None] = {}
        index, depth = at, 0
        while kinds[index] != END:
            if depth == 0:
                height = self._resumes(states, lists, kinds[index], texts[index], known)
                if height is not None and (index > at or height < len(states) - 1):
                    return self._cut(stack, height, index)
            depth += (kinds[index] == "LBRACE") - (kinds[index] == "RBRACE" and depth > 0)
            index += 1
        return self._cut(stack, lists[0], index)

    def _resumes(
        self,
        states: list[int],
        lists: list[int],
        kind: str,
        text: str,
        known: dict[str, int | None],
    ) -> int | None:
        """How high the innermost list is that goes on with this token after an ERROR."""
        key = text if kind == "LABEL" else kind
        if key not in known:
            known[key] = None
            for height in reversed(lists if kind != "NAME" else []):
                probed = states[: height + 1]
                if self.probe.feed(probed, "ERROR") and self.probe.feed(probed, kind, text):
                    known[key] = height
                    break
        return known[key]

    def _give_up(self, stack: Stack, at: int) -> int:
        """Closes everything that is open, at the end of the file."""
        for height in reversed(range(len(stack.states))):
            probed = stack.states[: height + 1]
            if self.probe.feed(probed, "ERROR") and self.probe.feed(probed, END):
                return self._cut(stack, height, at)
        raise AssertionError("the start takes an ERROR and then the end")

    def _cut(self, stack: Stack, height: int, index: int) -> int:
        """Drops the stack above `height`; an ERROR stands for all up to token `index`."""
        tokens = self.tokens
        first = stack.starts[height] if height < len(stack.starts) else tokens.end_before(index)
        stack.cut(height)
        tokens.insert(index, "ERROR")
        tokens.starts[index] = min(first, tokens.ends[index])
        closes = tokens.kinds[index + 1] == "RBRACE"  # and then something new begins
        self._quiet_until = index + (2 if closes else 1 + QUIET)
        return index


def _edits(span: Span, repair: Repair | None) -> tuple[Edit, ...]:
    if repair is None or repair.text is None:
        return ()
    if repair.drop:
        return (Edit(span, repair.text),)
    return (Edit(Span(span.path, span.start, span.start), f"{repair.text} "),)
