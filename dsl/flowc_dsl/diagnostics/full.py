"""The `full` format: each diagnostic with its source, its labels, witness, notes and help."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from flowc_dsl.diagnostics.diagnostic import LABELS_MAX, Diagnostic, Label, Level
from flowc_dsl.diagnostics.fixing import applicability
from flowc_dsl.diagnostics.width import Look, cells, excerpt, wrapped
from flowc_dsl.source import Source

_COLORS = {
    Level.ERROR: "\x1b[1;31m",
    Level.WARNING: "\x1b[1;33m",
    Level.INFO: "\x1b[1;36m",
}
_FIX_WITH: Final[Mapping[str | None, str]] = {
    "safe": "flowc check --fix",
    "unsafe": "flowc check --fix --unsafe-fixes",
}
_BOLD, _BLUE, _RESET = "\x1b[1m", "\x1b[1;34m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class _Mark:
    """One label on one line: code points `start` to `end` of it."""

    line: int
    start: int
    end: int
    text: str
    primary: bool


def render_full(
    diagnostics: Iterable[Diagnostic], sources: Mapping[str, Source], look: Look
) -> str:
    """All diagnostics, an empty line after each."""
    return "".join(f"{_render(found, sources, look)}\n\n" for found in diagnostics)


def _render(found: Diagnostic, sources: Mapping[str, Source], look: Look) -> str:
    head = _paint(f"{found.level}[{found.code}]", _COLORS[found.level], look)
    lines = [f"{head}{_paint(f': {look.show(found.message)}', _BOLD, look)}"]
    labels = (found.primary, *found.related)[:LABELS_MAX]
    by_path: dict[str, list[Label]] = {}
    for label in labels:
        by_path.setdefault(label.span.path, []).append(label)
    numbers = [_end_line(label, sources) for label in labels]
    gutter = len(str(max(numbers, default=1)))
    for path, group in by_path.items():  # what is merely worth knowing takes two lines
        arrow = "-->" if path == found.primary.span.path else ":::"
        place = (
            f"{' ' * gutter}{_paint(arrow, _BLUE, look)} {_place(path, group[0], sources, look)}"
        )
        lines.append(place)
        if path in sources and found.level != Level.INFO:
            marks = [m for label in group for m in _marks(label, sources[path], found)]
            lines += _snippet(sources[path], marks, gutter, look, found.level)
    if found.level != Level.INFO or found.help:
        lines += _footer(found, gutter, look)
    return "\n".join(line.rstrip() for line in lines)


def _paint(text: str, color: str, look: Look) -> str:
    return f"{color}{text}{_RESET}" if look.color and text else text


def _place(path: str, label: Label, sources: Mapping[str, Source], look: Look) -> str:
    shown = look.show(path)
    if path not in sources:
        return shown
    position = sources[path].position(min(label.span.start, len(sources[path].text)))
    return f"{shown}:{position.line}:{position.column}"


def _end_line(label: Label, sources: Mapping[str, Source]) -> int:
    source = sources.get(label.span.path)
    if source is None:
        return 1
    return source.position(min(max(label.span.end, label.span.start), len(source.text))).line


def _marks(label: Label, source: Source, found: Diagnostic) -> Iterator[_Mark]:
    """One mark, or for a label over several lines one where it begins and one where it ends."""
    length = len(source.text)
    start = source.position(min(label.span.start, length))
    end = source.position(min(max(label.span.end, label.span.start), length))
    primary = label is found.primary
    first_length = len(source.line_text(start.line))
    low = min(start.column - 1, first_length)
    if start.line == end.line:
        yield _Mark(start.line, low, min(end.column - 1, first_length), label.text, primary)
        return
    last_length = min(end.column - 1, len(source.line_text(end.line)))
    if last_length == 0:  # it ends with a line's end
        yield _Mark(start.line, low, first_length, label.text, primary)
        return
    yield _Mark(start.line, low, first_length, "", primary)
    text = source.line_text(end.line)
    indent = min(len(text) - len(text.lstrip()), last_length - 1)
    yield _Mark(end.line, indent, last_length, label.text, primary)


def _snippet(
    source: Source, marks: list[_Mark], gutter: int, look: Look, level: Level
) -> Iterator[str]:
    bar = _paint("|", _BLUE, look)
    blank = f"{' ' * gutter} {bar}"
    yield blank
    previous: int | None = None
    for number in sorted({mark.line for mark in marks}):
        if previous is not None and number > previous + 1:
            if number == previous + 2:
                yield _line(source, previous + 1, gutter, look)
            else:
                yield _paint("...", _BLUE, look)
        previous = number
        yield from _marked_line(source, [m for m in marks if m.line == number], gutter, look, level)
    yield blank


def _line(source: Source, number: int, gutter: int, look: Look) -> str:
    shown = excerpt(source.line_text(number), (0, 0), look).text
    return f"{_paint(f'{number:>{gutter}} |', _BLUE, look)} {shown}"


def _marked_line(
    source: Source, marks: list[_Mark], gutter: int, look: Look, level: Level
) -> Iterator[str]:
    """The line, and under it each mark in a row of its own; a long line is cut around each mark."""
    line = source.line_text(marks[0].line)
    shown: str | None = None
    for mark in sorted(marks, key=lambda m: (not m.primary, m.start)):
        cut = excerpt(line, (mark.start, mark.end), look)
        if cut.text != shown:
            shown = cut.text
            yield f"{_paint(f'{mark.line:>{gutter}} |', _BLUE, look)} {shown}"
        first, length = cut.mark(mark.start, mark.end)
        sign = ("^" if mark.primary else "-") * length
        color = _COLORS[level] if mark.primary else _BLUE
        begin = f"{' ' * gutter} {_paint('|', _BLUE, look)} "
        text = look.show(mark.text)
        spare = max(look.width, 40) - cells(text)
        if spare > 0 and first + length + 1 > spare:  # the words go below, as far right as they can
            yield f"{begin}{' ' * first}{_paint(sign, color, look)}"
            yield f"{begin}{' ' * min(first, spare)}{_paint(text, color, look)}"
        else:
            text = f"{sign} {text}".rstrip()
            yield f"{begin}{' ' * first}{_paint(text, color, look)}"


def _footer(found: Diagnostic, gutter: int, look: Look) -> Iterator[str]:
    if len(found.witness) > 1:
        yield from _prose("witness", " -> ".join(found.witness), gutter, look)
    for note in found.notes:
        yield from _prose("note", note, gutter, look)
    if found.help:
        yield from _prose("help", found.help, gutter, look)
    trust = applicability(found)
    if trust in _FIX_WITH:
        yield from _prose("fix available", _FIX_WITH[trust], gutter, look)
    yield from _prose("more", f"flowc explain {found.code}", gutter, look)


def _prose(title: str, text: str, gutter: int, look: Look) -> Iterator[str]:
    sign = f"{' ' * gutter} {_paint('=', _BLUE, look)}"
    shown = look.show(text)
    indent = gutter + 3 + len(title) + 2
    first, *rest = wrapped(shown, max(look.width, 40) - indent) if look.wrap else [shown]
    yield f"{sign} {_paint(title, _BOLD, look)}: {first}"
    yield from (f"{' ' * indent}{line}" for line in rest)
