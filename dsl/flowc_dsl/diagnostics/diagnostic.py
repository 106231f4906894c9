"""A diagnostic: data that renderers turn into text, JSON or an editor's squiggle.

How they are worded: lower case, no full stop at the end, no blame, the subject named in the
message, the smallest span that shows the fault, at most `LABELS_MAX` labels. The message stands
alone in one line. `help` says what to do next, in the imperative.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from flowc_dsl.source import Span

LABELS_MAX = 3


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Label:
    """A place and a few words about it. The words may be empty for the primary place."""

    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """A replacement of the text at `span` that would mend the fault."""

    span: Span
    text: str
    applicability: Literal["safe", "unsafe", "display"] = "unsafe"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """`subjects` are the names that `allow CODE on NAME` matches; `witness` is a path of names."""

    code: str  # "FLW101"
    level: Level
    message: str
    primary: Label
    related: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None
    subjects: tuple[str, ...] = ()
    witness: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()

    def sort_key(self) -> tuple[str, int, int, str, str]:
        """The one order of all reports."""
        span = self.primary.span
        return (span.path, span.start, span.end, self.code, self.message)
