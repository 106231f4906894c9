"""Documents: text that knows where it may break, after Wadler's "A prettier printer".

A group is printed on one line if it fits, else every `Line` directly in it becomes a new line. A
hard line, and a comment, break every group around them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WIDTH_CHARS_MAX = 100
INDENT_CHARS = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A place to break: `flat` is what stands there if the group fits on one line."""

    flat: str = " "


@dataclass(frozen=True, slots=True)
class Hard:
    """A new line in any case; with `blank`, after an empty one."""

    blank: bool = False


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment. A new line must follow it; it does not count when a line's width is judged."""

    text: str


@dataclass(frozen=True, slots=True)
class Nest:
    """What is inside is indented by `levels` more, from its first new line on."""

    inside: Doc
    levels: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """Printed on one line if it fits; `forced` if something in it must break."""

    inside: Doc
    forced: bool


@dataclass(frozen=True, slots=True)
class Row:
    """The parts one after the other."""

    parts: tuple[Doc, ...]


Doc = str | Line | Hard | Comment | Nest | Group | Row


def row(parts: Iterable[Doc]) -> Row:
    """The parts one after the other."""
    return Row(tuple(parts))


def group(*parts: Doc) -> Group:
    """The parts as one group, broken at once if something in it must break."""
    inside = parts[0] if len(parts) == 1 else Row(parts)
    return Group(inside, must_break(inside))


def must_break(doc: Doc) -> bool:
    """Whether there is a hard line or a comment in it."""
    match doc:
        case Hard() | Comment():
            return True
        case Nest(inside):
            return must_break(inside)
        case Group(_, forced):
            return forced
        case Row(parts):
            return any(must_break(part) for part in parts)
    return False


Command = tuple[int, bool, Doc]  # indent, flat, what


def render(doc: Doc, indent: int = 0, width: int = WIDTH_CHARS_MAX) -> str:
    """The document as text, with its first line not indented, and no space at the ends of lines."""
    out: list[str] = []
    column = indent
    stack: list[Command] = [(indent, False, doc)]
    while stack:
        level, flat, part = stack.pop()
        match part:
            case str():
                out.append(part)
                column += len(part)
            case Comment(text):
                out.append(text)
            case Line(text) if flat:
                out.append(text)
                column += len(text)
            case Line() | Hard():
                blank = "\n" if isinstance(part, Hard) and part.blank else ""
                out.append(f"{blank}\n{' ' * level}")
                column = level
            case Nest(inside, levels):
                stack.append((level + levels * INDENT_CHARS, flat, inside))
            case Row(parts):
                stack += [(level, flat, inner) for inner in reversed(parts)]
            case Group(inside, forced):
                fits = not forced and _fits(width - column, [*stack, (level, True, inside)])
                stack.append((level, fits, inside))
    return "".join(out)


def _fits(room: int, stack: list[Command]) -> bool:
    """Whether what is on top of the stack, and what follows up to the next new line, has room."""
    while stack:
        level, flat, part = stack.pop()
        match part:
            case str():
                room -= len(part)
            case Line(text) if flat:
                room -= len(text)
            case Line() | Hard() | Comment():
                return True
            case Nest(inside, _) | Group(inside, _):
                stack.append((level, flat, inside))
            case Row(parts):
                stack += [(level, flat, inner) for inner in reversed(parts)]
        if room < 0:
            return False
    return True
