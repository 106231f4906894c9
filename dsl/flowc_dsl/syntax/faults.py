"""Faults of text: data, and the words for it."""

from __future__ import annotations

from typing import Final, Protocol

from flowc_dsl import limits
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Edit, Label, Level
from flowc_dsl.record import Record
from flowc_dsl.source import Span

_SHOWN_CHARS_MAX: Final = 40


class Fault(Protocol):
    """What is wrong, as data; `diagnostic` words it, late."""

    def diagnostic(self) -> Diagnostic: ...


def short(text: str) -> str:
    """As much of a text as a message takes."""
    return text if len(text) <= _SHOWN_CHARS_MAX else f"{text[: _SHOWN_CHARS_MAX - 1]}…"


def error(
    code: str,
    message: str,
    span: Span,
    label: str = "",
    *,
    related: tuple[Label, ...] = (),
    help: str | None = None,  # noqa: A002  # the field's name
    subjects: tuple[str, ...] = (),
    witness: tuple[str, ...] = (),
    edits: tuple[Edit, ...] = (),
) -> Diagnostic:
    """A diagnostic of level error."""
    return Diagnostic(
        code,
        Level.ERROR,
        message,
        Label(span, label),
        related=related,
        help=help,
        subjects=subjects,
        witness=witness,
        edits=edits,
    )


class Unexpected(Record):
    """A token where another is needed. `found` is its text, "" at the end of the file."""

    span: Span
    found: str
    expected: tuple[str, ...]
    hint: str | None = None
    edits: tuple[Edit, ...] = ()

    def diagnostic(self) -> Diagnostic:
        expected = _either(self.expected)
        found = f"`{self.found}`" if self.found else "the end of the file"
        return error(
            "FLW001",
            f"expected {expected}, found {found}",
            self.span,
            f"expected {expected}",
            help=self.hint,
            edits=self.edits,
        )


class BadToken(Record):
    """A character, string, number or name that is none."""

    span: Span
    message: str
    hint: str | None = None
    edits: tuple[Edit, ...] = ()

    def diagnostic(self) -> Diagnostic:
        return error("FLW002", self.message, self.span, help=self.hint, edits=self.edits)


class Unclosed(Record):
    """A brace, bracket or parenthesis without its end; `before` is what stands in its place, or, at
    the end of the file (`at_end`), what it is missing behind."""

    span: Span
    opener: str
    closer: str
    before: Span
    at_end: bool = False

    def diagnostic(self) -> Diagnostic:
        at = self.before.end if self.at_end else self.before.start
        return error(
            "FLW003",
            f"`{self.opener}` is never closed",
            self.span,
            "opened here",
            related=(Label(self.before, f"`{self.closer}` expected before this"),),
            help=f"add `{self.closer}`",
            edits=(Edit(Span(self.before.path, at, at), self.closer),),
        )


class Unmatched(Record):
    """A brace, bracket or parenthesis without its beginning."""

    span: Span
    closer: str

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW003",
            f"`{self.closer}` closes nothing",
            self.span,
            "nothing is open here",
            help="remove it, or add what it should close before it",
            edits=(Edit(self.span, ""),),
        )


class TooDeep(Record):
    """Braces, brackets or types inside of each other, over the bound."""

    span: Span

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW004",
            f"nested deeper than {limits.NESTING_MAX}",
            self.span,
            help="give the inner part a type of its own, or flatten it",
        )


class TooLarge(Record):
    """A file over the size limit; how far over is not known, as no more of it is read."""

    path: str

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW005",
            f"`{self.path}` has more than {limits.FILE_BYTES_MAX:,} bytes",
            Span(self.path, 0, 0),
            help="split it, and `import` the parts",
        )


class NotUtf8(Record):
    """A byte that no UTF-8 has there."""

    span: Span
    byte: int

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW006",
            f"byte 0x{self.byte:02x} is not UTF-8",
            self.span,
            help="save the file as UTF-8",
        )


SyntaxFault = Unexpected | BadToken | Unclosed | Unmatched | TooDeep | TooLarge | NotUtf8


def _either(names: tuple[str, ...]) -> str:
    if len(names) < 2:
        return "".join(names) or "something else"
    return f"{', '.join(names[:-1])} or {names[-1]}"
