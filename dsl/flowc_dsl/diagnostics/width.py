"""How text looks on a terminal: the cells a character takes, and what must not get through."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

TAB_CELLS = 4
WIDTH_DEFAULT = 100


@dataclass(frozen=True, slots=True)
class Look:
    """What the reader's terminal can show."""

    color: bool = False
    unicode: bool = True
    width: int = WIDTH_DEFAULT
    wrap: bool = False  # prose too: a terminal would break it anywhere

    def show(self, text: str) -> str:
        """The text in one line, without anything that steers a terminal or hides order."""
        return "".join(self.cell(char) for char in text)

    def cell(self, char: str) -> str:
        if char == "\t":
            return " " * TAB_CELLS
        if " " <= char <= "~":
            return char
        if not self.unicode:
            return "" if is_combining(char) else _ASCII.get(char, "?" * cells(char))
        category = unicodedata.category(char)
        if category == "Cc":
            code = ord(char)
            return chr(0x2400 + code) if code < 0x20 else "\ufffd"
        if category in {"Cs", "Co", "Cn", "Zl", "Zp"} or char in _BIDI:
            return "\ufffd"
        return char


_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ASCII = {"…": "...", "—": "-", "“": '"', "”": '"', "✓": "ok"}


def is_combining(char: str) -> bool:
    """Takes no cell of its own: combining marks and zero-width joiners."""
    if char < "\u0300":
        return False
    return unicodedata.category(char) in {"Mn", "Me"} or char in "\u200b\u200c\u200d\u2060\ufeff"


def cells(shown: str) -> int:
    """The width of text that went through `Look.show`."""
    return sum(_cells(char) for char in shown)


def _cells(char: str) -> int:
    if char < "\u0300":
        return 1
    if is_combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Part of a line as shown, and how many cells come before a code point of the line."""

    text: str
    edges: tuple[int, ...]  # cells before each code point of the whole line, and before its end
    shift: int  # cells cut off on the left, less the mark that says so
    limit: int  # the last cell that marks may reach

    def mark(self, start: int, end: int) -> tuple[int, int]:
        """First cell and length in cells (at least 1) of the code points `start` to `end`."""
        first = min(max(self.edges[start] - self.shift, 0), self.limit)
        last = min(max(self.edges[end] - self.shift, first), self.limit)
        return first, max(last - first, 1)


def excerpt(line: str, focus: tuple[int, int], look: Look) -> Excerpt:
    """The line, or, where it is wider than the look allows, the part around `focus`."""
    shown = [look.cell(char) for char in line]
    edges = tuple(_running(cells(cell) for cell in shown))
    room = max(look.width, 40)
    if edges[-1] <= room:
        return Excerpt("".join(shown), edges, 0, edges[-1])
    dots = "…" if look.unicode else "..."
    low, high = _window(edges, focus, room - 2 * len(dots))
    left, right = (dots if low else ""), (dots if high < len(line) else "")
    text = left + "".join(shown[low:high]) + right
    return Excerpt(text, edges, edges[low] - len(left), cells(text))


def wrapped(text: str, room: int) -> list[str]:
    """The text in lines of at most `room` cells, broken at spaces; a longer word is a line."""
    lines: list[str] = []
    line, used = "", 0
    for word in text.split(" "):
        needed = cells(word)
        if line and used + 1 + needed > room:
            lines.append(line)
            line, used = word, needed
        else:
            line, used = (f"{line} {word}", used + 1 + needed) if lines or line else (word, needed)
    return [*lines, line]


def _running(widths: Iterable[int]) -> Iterable[int]:
    total = 0
    yield total
    for width in widths:
        total += width
        yield total


def _window(edges: tuple[int, ...], focus: tuple[int, int], room: int) -> tuple[int, int]:
    """Code points `low` to `high` that fit in `room` cells, a third of them before the focus."""
    from bisect import bisect_left, bisect_right  # noqa: PLC0415  # long lines are rare

    want = max(0, min(edges[focus[0]] - room // 3, edges[-1] - room))
    low = bisect_left(edges, want)
    high = bisect_right(edges, edges[low] + room) - 1
    return low, max(high, low)
