"""Text to tokens and comments.

It never fails: what is no token becomes a `BAD_…` or `JUNK` token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from flowc_dsl.syntax.table import END, Table
from flowc_dsl.syntax.tree import Comment

_WORDS = frozenset({"NAME", "VERSION", "BAD_NAME", "BAD_WORD"})


@dataclass(slots=True)
class Tokens:
    """Parallel lists, one item a token, with an end mark; `ends[i]` is where token i ends."""

    kinds: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    docs: dict[int, str] = field(default_factory=dict)

    def add(self, kind: str, text: str, start: int) -> None:
        """Appends a token."""
        self.kinds.append(kind)
        self.texts.append(text)
        self.starts.append(start)
        self.ends.append(start + len(text))

    def insert(self, index: int, kind: str, text: str = "") -> None:
        """A token that is missing, without width, behind the token before it."""
        at = self.ends[index - 1] if index else 0
        self.kinds.insert(index, kind)
        self.texts.insert(index, text)
        self.starts.insert(index, at)
        self.ends.insert(index, at)

    def keep(self, indexes: list[int]) -> None:
        """Drops all tokens but these."""
        self.kinds[:] = [self.kinds[index] for index in indexes]
        self.texts[:] = [self.texts[index] for index in indexes]
        self.starts[:] = [self.starts[index] for index in indexes]
        self.ends[:] = [self.ends[index] for index in indexes]

    def delete(self, index: int) -> None:
        """Drops one token."""
        for column in (self.kinds, self.texts, self.starts, self.ends):
            del column[index]

    def end_before(self, index: int) -> int:
        """Where the token before this one ends."""
        return self.ends[index - 1] if index else 0

    def written(self) -> Iterator[tuple[str, str, int]]:
        """Kind, text and start of each token that is in the text, which is all but the end mark:
        only before any is inserted."""
        return zip(self.kinds[:-1], self.texts, self.starts, strict=False)


def tokenize(text: str, table: Table) -> Tokens:
    """All tokens and comments of a text."""
    tokens = Tokens()
    keywords, groups = table.keywords, table.groups
    kinds, texts, comments = tokens.kinds, tokens.texts, tokens.comments
    starts, ends = tokens.starts, tokens.ends
    doc_lines: list[str] = []
    for match in table.lexer.finditer(text):
        group = match.lastindex
        assert group is not None
        word = match[group]
        kind = groups[group]
        start, end = match.span(group)
        if kind == "NAME":
            kind = keywords.get(word, kind)
        elif kind == "COLON" and kinds and (kinds[-1] in _WORDS or kinds[-1] in table.spelling):
            if tokens.texts[-1] in keywords or kinds[-1] in _WORDS:
                kinds[-1] = "LABEL"
        elif kind == "EQUAL" and kinds and tokens.texts[-1] in keywords:
            kinds[-1] = "NAME"  # what is set in an upcast may be called `rename`
        elif kind == "COMMENT":
            word = word.rstrip("\r \t")
            doc = word.startswith("///") and not word.startswith("////")
            comments.append(Comment(word, start, start + len(word), doc))
            if doc:
                doc_lines.append(word[3:].strip())
            continue
        elif kind == END:
            break
        if doc_lines:
            tokens.docs[start] = "\n".join(doc_lines)
            doc_lines.clear()
        kinds.append(kind)  # four appends, as a call for each token would be a third of the time
        texts.append(word)
        starts.append(start)
        ends.append(end)
    tokens.add(END, "", len(text))
    return tokens
