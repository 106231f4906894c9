"""A baseline: findings that a system had when it was first checked, and that may only become fewer.

An entry is one finding: no wildcards, no line numbers. It holds as long as a finding of its code
says the same about its file; of findings that say the same, each needs an entry.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from flowc_dsl.codes import is_fixed
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label, Level
from flowc_dsl.record import Record
from flowc_dsl.rules.hygiene import MATCHES_NOTHING
from flowc_dsl.rules.registry import BASELINE_GREW, Report
from flowc_dsl.source import Source, Span

FILE_NAME: Final = "flow-baseline.json"
FORMAT_VERSION: Final = "1.0"
_TEXTS: Final = ("main", "path", "code", "message")


class BaselineError(ValueError):
    """A text that is no baseline."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """`main` is the main file of the system; both paths are relative to the baseline's folder."""

    main: str
    path: str
    code: str
    message: str
    subjects: tuple[str, ...] = ()

    def identity(self) -> tuple[str, str, str, str]:
        """What a finding is recognised by."""
        return (self.main, self.path, self.code, self.message)


@dataclass(frozen=True, slots=True)
class Compared:
    """Findings that have no entry, how many have one, and entries without a finding."""

    new: tuple[Diagnostic, ...]
    kept: tuple[Entry, ...]
    gone: tuple[Entry, ...]


def can_hold(found: Diagnostic) -> bool:
    """Findings of the rules: what could not be exempted either has to be mended."""
    return found.level != Level.INFO and not is_fixed(found.code)


def entry_of(found: Diagnostic, main: str) -> Entry:
    """The entry for a finding whose paths are relative to the baseline's folder."""
    return Entry(main, found.primary.span.path, found.code, found.message, found.subjects)


def compare(diagnostics: Iterable[Diagnostic], main: str, entries: Iterable[Entry]) -> Compared:
    """What the system `main` has, against what it may have; other systems' entries are left out."""
    own = sorted(entry for entry in entries if entry.main == main)
    left = Counter(entry.identity() for entry in own)
    new: list[Diagnostic] = []
    for found in diagnostics:
        identity = entry_of(found, main).identity()
        if can_hold(found) and left[identity]:
            left[identity] -= 1
        else:
            new.append(found)
    kept: list[Entry] = []
    gone: list[Entry] = []
    for entry in own:
        absent = left[entry.identity()] > 0
        left[entry.identity()] -= absent
        (gone if absent else kept).append(entry)
    return Compared(tuple(new), tuple(kept), tuple(gone))


def render_baseline(entries: Iterable[Entry]) -> str:
    """One entry a line, in order, so that a merge sees what came and went."""
    lines = ",\n".join(f"    {json.dumps(asdict(entry))}" for entry in sorted(entries))
    body = f"[\n{lines}\n  ]" if lines else "[]"
    return f'{{\n  "format_version": "{FORMAT_VERSION}",\n  "findings": {body}\n}}\n'


def parse_baseline(text: str) -> tuple[Entry, ...]:
    """The entries in a text. Raises `BaselineError`."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BaselineError(f"not JSON: {error}") from None
    except RecursionError:
        raise BaselineError("nested too deeply") from None
    if not isinstance(document, dict) or not isinstance(document.get("findings"), list):
        raise BaselineError("a baseline is an object with `findings`")
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise BaselineError(f"its `format_version` is {version!r}, not {FORMAT_VERSION!r}")
    return tuple(_entry(n, value) for n, value in enumerate(document["findings"], 1))


def _entry(number: int, value: Any) -> Entry:
    if not isinstance(value, dict):
        raise BaselineError(f"finding {number} is no object")
    texts = [text for name in _TEXTS if isinstance(text := value.get(name), str)]
    if len(texts) < len(_TEXTS):
        raise BaselineError(f"finding {number} needs {', '.join(_TEXTS)} as text")
    main, path, code, message = texts
    subjects = value.get("subjects", [])
    if not isinstance(subjects, list) or not all(isinstance(s, str) for s in subjects):
        raise BaselineError(f"`subjects` of finding {number} is no list of names")
    return Entry(main, path, code, message, tuple(subjects))


def grown(source: Source, earlier: Iterable[Entry]) -> tuple[Diagnostic, ...]:
    """An FLW903 for each entry of a baseline that an earlier one has not. Raises `BaselineError`.

    `source` is the baseline's text.
    """
    allowed = Counter(entry.identity() for entry in earlier)
    found = []
    for entry in parse_baseline(source.text):
        allowed[entry.identity()] -= 1
        if allowed[entry.identity()] < 0:
            found.append(BASELINE_GREW.diagnostic(_Grew(entry, _span_of(entry, source))))
    return tuple(found)


def gone_entries(gone: Sequence[Entry], source: Source, command: str) -> Diagnostic:
    """One info for all entries that no longer occur; `command` takes them out."""
    first = gone[0]
    others = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
    what = "finding that no longer occurs" if len(gone) == 1 else "findings that no longer occur"
    return Diagnostic(
        code=MATCHES_NOTHING.code,
        level=Level.INFO,
        message=f"the baseline holds {len(gone)} {what}, which `{command}` takes out: "
        f"{first.code} in `{first.path}`{others}",
        primary=Label(_span_of(first, source), "no such finding any more"),
        help=f"run `{command}`",
        subjects=(source.path,),
    )


class _Grew(Record):
    """A finding of a baseline that is not in an earlier one."""

    entry: Entry
    at: Span

    def report(self) -> Report:
        entry = self.entry
        return Report(
            f"the baseline grew by {entry.code} in `{entry.path}`: {entry.message}",
            self.at,
            "not in the earlier baseline",
            help="mend the finding, and take it out of the baseline with `flowc baseline`",
            subjects=entry.subjects,
        )


def _span_of(entry: Entry, source: Source) -> Span:
    """The entry's line, where it is written as flowc writes it."""
    written = json.dumps(asdict(entry))
    start = source.text.find(written)
    return Span(source.path, max(start, 0), start + len(written) if start >= 0 else 0)
