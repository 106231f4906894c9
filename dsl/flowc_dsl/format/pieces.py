"""The tokens of a text, each with the comments before it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

SCAN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<comment>//[^\n]*)
      | (?P<token>"(?:[^"\\\n]|\\[^\n])*"
          | \d{4}-\d\d-\d\d(?![\w.])
          | \d+(?:\.\d+)?/[smhd]\b
          | \d+(?:\.\d+)?%
          | \d+(?:\.\d+)?(?:ms|[smhd])(?![\w.])
          | -?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])
          | @\w*
          | [A-Za-z_]\w*
          | ->
          | [{}()<>\[\]:,|&?*=])""",
    re.VERBOSE | re.ASCII,
)


class UnknownText(ValueError):
    """The text has a character that begins no token; it should not have got here."""


@dataclass(frozen=True, slots=True)
class Comment:
    """`own_line`: nothing but space stands before it. `blank`: an empty line stands before it."""

    text: str
    own_line: bool
    blank: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A token; `comments` are those since the token before, `blank` an empty line right before it.

    `fresh`: it stands on another line than the token before it. The last piece is empty: the end.
    """

    text: str
    start: int
    comments: tuple[Comment, ...] = ()
    blank: bool = False
    fresh: bool = False

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def pieces_of(text: str) -> list[Piece]:
    """All tokens of a text without syntax errors. Raises `UnknownText`."""
    pieces: list[Piece] = []
    comments: list[Comment] = []
    lines = 1  # new lines since the last token or comment; the text begins a line
    fresh = False
    for kind, part, start in _scan(text):
        if kind == "space":
            lines += part.count("\n")
            fresh = fresh or lines > 0
        elif kind == "comment":
            own = lines > 0
            comments.append(Comment(_tidied(part), own, own and lines > 1))
            lines = 0
            fresh = True
        else:
            pieces.append(Piece(part, start, tuple(comments), lines > 1, fresh))
            comments, lines, fresh = [], 0, False
    return [*pieces, Piece("", len(text), tuple(comments), lines > 1, fresh=True)]


def _scan(text: str) -> Iterator[tuple[str, str, int]]:
    at = 0
    while at < len(text):
        found = SCAN.match(text, at)
        if found is None or found.lastgroup is None:
            raise UnknownText(f"no token begins at offset {at}")
        yield found.lastgroup, found[0], at
        at = found.end()


def _tidied(comment: str) -> str:
    """The comment without space at its end."""
    return comment.rstrip()


def without_commas(pieces: list[Piece], dropped: set[int]) -> list[Piece]:
    """The pieces without those numbered; their comments go to the next one."""
    kept: list[Piece] = []
    carried: tuple[Comment, ...] = ()
    for number, piece in enumerate(pieces):
        if number in dropped:
            carried += piece.comments
            continue
        kept.append(replace(piece, comments=carried + piece.comments) if carried else piece)
        carried = ()
    return kept


def comments_of(text: str) -> list[str]:
    """The comments of a text, in order: what formatting must keep."""
    return [c.text for piece in pieces_of(text) for c in piece.comments]
