"""Faults of names, types and files: data, and the words for it."""

from __future__ import annotations

from typing import Final

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Edit, Label
from flowc_dsl.record import Record
from flowc_dsl.rules.wording import Guess, quoted
from flowc_dsl.source import Span
from flowc_dsl.syntax.faults import error

VALUE_SHOWN_CHARS_MAX: Final = 40  # of a value in a message


def a(noun: str) -> str:
    """The noun with its article."""
    return f"an {noun}" if noun.lstrip("`")[:1] in "aeio" else f"a {noun}"


def _meant(candidate: Guess | None, span: Span) -> tuple[str | None, tuple[Edit, ...]]:
    if candidate is None:
        return None, ()
    edit = Edit(span, candidate.name, "safe" if candidate.sure else "unsafe")
    return f"did you mean `{candidate.name}`?", (edit,)


class OutOfBounds(Record):
    """A number, duration, rate or percentage over its bound."""

    span: Span
    what: str
    text: str
    low: str
    high: str

    def diagnostic(self) -> Diagnostic:
        bounds = f"from {self.low} to {self.high}"
        return error("FLW002", f"{self.what} `{self.text}` is not {bounds}", self.span, bounds)


class TooMany(Record):
    """How many faults were left out."""

    span: Span
    dropped: int

    def diagnostic(self) -> Diagnostic:
        plural = "s" if self.dropped > 1 else ""
        return error(
            "FLW009",
            f"{self.dropped:,} more error{plural} not shown",
            self.span,
            help="mend the first ones, and check again",
        )


class BadLiteral(Record):
    """A literal that can't be, though its form is right."""

    span: Span
    message: str
    hint: str | None = None

    def diagnostic(self) -> Diagnostic:
        return error("FLW002", self.message, self.span, help=self.hint)


class NoSystem(Record):
    """A main file without `system`."""

    path: str
    empty: bool

    def diagnostic(self) -> Diagnostic:
        what = "is empty" if self.empty else "names no system"
        return error(
            "FLW007",
            f"file `{self.path}` {what}",
            Span(self.path, 0, 0),
            help="begin it with `system NAME`",
        )


class DeclaredTwice(Record):
    """One name for two things."""

    span: Span
    kind: str
    name: str
    first: Span
    first_kind: str

    def diagnostic(self) -> Diagnostic:
        also = "" if self.kind == self.first_kind else f", first as {a(self.first_kind)}"
        return error(
            "FLW010",
            f"{self.kind} `{self.name}` is declared twice{also}",
            self.span,
            "declared again here",
            related=(Label(self.first, "first declared here"),),
            help="rename one of them; names are shared by all files of a program",
            subjects=(self.name,),
        )


class CaseTwin(Record):
    """Two names that the log's tables could not tell apart."""

    span: Span
    kind: str
    name: str
    first: Span
    first_name: str

    def diagnostic(self) -> Diagnostic:
        code = "FLW012" if self.kind == "field" else "FLW010"
        return error(
            code,
            f"{self.kind} `{self.name}` differs from `{self.first_name}` in case alone",
            self.span,
            related=(Label(self.first, "the other one"),),
            help="rename one of them; tables and columns of the log don't tell case",
            subjects=(self.name, self.first_name),
        )


class BuiltIn(Record):
    """A type or enum with the name of a built-in type."""

    span: Span
    kind: str
    name: str

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW010",
            f"{self.kind} `{self.name}` has the name of a built-in type",
            self.span,
            help="give it another name",
            subjects=(self.name,),
        )


class UnknownType(Record):
    """A type that is not declared, or no type."""

    span: Span
    name: str
    candidate: Guess | None
    actual: str | None  # what it is instead

    def diagnostic(self) -> Diagnostic:
        meant = self.candidate
        if meant is not None and meant.name in {"decimal", "list", "map"}:  # these need more
            meant = meant._replace(sure=False)
        hint, edits = _meant(meant, self.span)
        message = f"unknown type `{self.name}`"
        if self.actual is not None:
            message = f"`{self.name}` is {a(self.actual)}, not a type"
        hint = hint or f"declare `type {self.name} {{ … }}` or `enum {self.name} {{ … }}`"
        return error("FLW011", message, self.span, help=hint, subjects=(self.name,), edits=edits)


class DuplicateField(Record):
    """A field, member or key that stands twice."""

    span: Span
    kind: str  # field, member, key
    name: str
    owner: str
    first: Span
    cut: Span | None = None  # what could go without a loss

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW012",
            f"{self.kind} `{self.name}` stands twice in {self.owner}",
            self.span,
            "again here",
            related=(Label(self.first, "first here"),),
            help="rename or remove one of them",
            subjects=(self.name,),
            edits=(Edit(self.cut, "", "safe"),) if self.cut else (),
        )


class BadType(Record):
    """Type arguments or bounds that don't fit, or nothing inside."""

    span: Span
    message: str
    hint: str | None = None

    def diagnostic(self) -> Diagnostic:
        return error("FLW013", self.message, self.span, help=self.hint)


class BadKey(Record):
    """A key that is no field, or none that events can be ordered by."""

    span: Span
    event: str
    key: str
    why: str
    candidate: Guess | None = None
    field: Span | None = None

    def diagnostic(self) -> Diagnostic:
        hint, edits = _meant(self.candidate, self.span)
        return error(
            "FLW014",
            f"`{self.key}` can't be the key of `{self.event}`: {self.why}",
            self.span,
            related=(Label(self.field, "declared here"),) if self.field else (),
            help=hint or "name a field that is a scalar or an enum, and not optional",
            subjects=(self.event, self.key),
            edits=edits,
        )


class RecursiveType(Record):
    """A type that contains itself, on the way `path`."""

    span: Span
    path: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW015",
            f"type `{self.path[0]}` contains itself",
            self.span,
            help="keep the parts in events of their own, and refer to them by key",
            subjects=self.path[:-1],
            witness=self.path,
        )


class Reserved(Record):
    """A name that begins with `_`."""

    span: Span
    kind: str
    name: str

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW016",
            f"{self.kind} `{self.name}` begins with `_`, which is kept for the log's own names",
            self.span,
            help=f"write `{self.name.lstrip('_') or 'value'}`",
            subjects=(self.name,),
        )


class BadVersion(Record):
    """An upcast from a version that is not older."""

    span: Span
    message: str
    hint: str | None = None

    def diagnostic(self) -> Diagnostic:
        return error("FLW017", self.message, self.span, help=self.hint)


class UnfitValue(Record):
    """A value that is not of its field's type."""

    span: Span
    field: str
    text: str
    type: str
    example: str | None

    def diagnostic(self) -> Diagnostic:
        text = " ".join(self.text.split())
        shown = text if len(text) <= VALUE_SHOWN_CHARS_MAX else f"{text[:VALUE_SHOWN_CHARS_MAX]}…"
        return error(
            "FLW018",
            f"`{shown}` does not fit field `{self.field}`, which is {a(f'`{self.type}`')}",
            self.span,
            f"not {a(f'`{self.type}`')}",
            help=f"write {self.example}" if self.example else f"write an object of `{self.type}`",
            subjects=(self.field,),
        )


class Incomplete(Record):
    """A value of a type that leaves out what is not optional."""

    span: Span
    field: str
    type: str
    missing: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        names = quoted(self.missing)
        return error(
            "FLW018",
            f"the value of field `{self.field}` is {a(f'`{self.type}`')} without {names}",
            self.span,
            f"no {names}",
            help=f"write {names} too, or make it optional in `{self.type}`",
            subjects=(self.field, self.type),
        )


class ImportNotFound(Record):
    """An import of a file that is not there."""

    span: Span
    path: str  # from the root
    candidate: str | None = None

    def diagnostic(self) -> Diagnostic:
        hint, edits = None, ()
        if self.candidate is not None:
            hint = f"did you mean `{self.candidate}`?"
        hint = hint or "an import is relative to the file that it stands in"
        return error("FLW020", f"no file `{self.path}`", self.span, help=hint, edits=edits)


class ImportOutside(Record):
    """An import that is absolute, or leaves the root."""

    span: Span
    path: str
    why: str  # "is absolute", "leaves the project's folder"

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW021",
            f"import `{self.path}` {self.why}",
            self.span,
            help="import a file of the project, by a path relative to this file",
        )


class ImportCycle(Record):
    """Files that import each other, on the way `path`."""

    span: Span
    path: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW022",
            f"import cycle: {' -> '.join(self.path)}",
            self.span,
            "leads back here",
            help="move what both files need into a third one, and import that",
            witness=self.path,
        )


class OtherSystem(Record):
    """An imported file of another system."""

    span: Span
    name: str
    main: str
    main_span: Span

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW023",
            f"imported file is of system `{self.name}`, not `{self.main}`",
            self.span,
            related=(Label(self.main_span, "the program's system"),),
            help=f"write `system {self.main}`, or leave the line out",
            subjects=(self.name,),
        )


class Repeated(Record):
    """A clause or name that may stand once."""

    span: Span
    what: str
    owner: str
    first: Span
    cut: Span | None = None  # what could go without a loss

    def diagnostic(self) -> Diagnostic:
        return error(
            "FLW030",
            f"{self.what} stands twice in {self.owner}",
            self.span,
            "again here",
            related=(Label(self.first, "first here"),),
            help="keep one of them",
            edits=(Edit(self.cut, "", "safe"),) if self.cut else (),
        )


class Conflict(Record):
    """Clauses that contradict each other."""

    span: Span
    message: str
    hint: str | None = None
    other: Span | None = None

    def diagnostic(self) -> Diagnostic:
        related = (Label(self.other, "conflicts with this"),) if self.other else ()
        return error("FLW030", self.message, self.span, related=related, help=self.hint)


class UnknownOption(Record):
    """A word that a clause does not know."""

    span: Span
    word: str
    clause: str
    options: tuple[str, ...]
    candidate: Guess | None

    def diagnostic(self) -> Diagnostic:
        hint, edits = _meant(self.candidate, self.span)
        known = ", ".join(f"`{option}`" for option in self.options)
        clause = self.clause if " " in self.clause else f"`{self.clause}`"
        return error(
            "FLW031",
            f"{clause} knows no `{self.word}`",
            self.span,
            f"one of {known}",
            help=hint or f"write one of {known}",
            edits=edits,
        )


class BadRun(Record):
    """A `run` that can't be run."""

    span: Span
    message: str
    hint: str

    def diagnostic(self) -> Diagnostic:
        return error("FLW032", self.message, self.span, help=self.hint)


class UnknownName(Record):
    """A name that is nothing at all, or not what its place needs."""

    span: Span
    name: str
    wanted: str
    candidate: Guess | None
    actual: str | None = None
    declared: Span | None = None
    where: str = ""

    def diagnostic(self) -> Diagnostic:
        hint, edits = _meant(self.candidate, self.span)
        message = f"unknown {self.wanted} `{self.name}`{self.where}"
        if self.actual is not None:
            message = f"`{self.name}` is {a(self.actual)}, not {a(self.wanted)}"
        return error(
            "FLW207",
            message,
            self.span,
            f"{a(self.wanted)} is expected" if self.actual else "",
            related=(Label(self.declared, "declared here"),) if self.declared else (),
            help=hint or f"declare it, or name {a(self.wanted)} that exists",
            subjects=(self.name,),
            edits=edits,
        )
