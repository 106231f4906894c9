"""A baseline: findings that a system had when it was first checked, and that may only become fewer.

An entry is one finding: no wildcards, no line numbers. `baseline_matching` says which finding it
holds; of findings that say the same, each needs an entry.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from flowc_dsl.baseline_matching import Entry, held
from flowc_dsl.codes import is_fixed
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label, Level
from flowc_dsl.record import Record
from flowc_dsl.rules.hygiene import MATCHES_NOTHING
from flowc_dsl.rules.registry import BASELINE_GREW, Report
from flowc_dsl.source import Source, Span

FILE_NAME: Final = "flow-baseline.json"
FORMAT_VERSION: Final = "1.0"
_OURS, _BASE, _THEIRS, _END = "<<<<<<<", "|||||||", "=======", ">>>>>>>"
_TEXTS: Final = ("main", "path", "code", "message")


class BaselineError(ValueError):
    """A text that is no baseline."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Findings that have no entry; entries as they are to be now; and entries without a finding."""

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
    found = list(diagnostics)
    able = [one for one in found if can_hold(one)]
    now = [entry_of(one, main) for one in able]
    done, gone = held(now, (entry for entry in entries if entry.main == main))
    kept = [entry for entry, is_held in zip(now, done, strict=True) if is_held]
    old = {id(one) for one, is_held in zip(able, done, strict=True) if is_held}
    new = [one for one in found if id(one) not in old]
    return Compared(tuple(new), tuple(sorted(kept)), tuple(gone))


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


def is_in_conflict(text: str) -> bool:
    """Whether a merge left the two sides of a conflict in a text."""
    return all(f"\n{mark}" in f"\n{text}" for mark in (_OURS, _THEIRS, _END))


def merged(text: str) -> tuple[Entry, ...]:
    """The entries of both sides of a text in conflict, each as often as the side that has it most.

    What one side took out and the other still has stays until the system says that it is gone.
    Raises `BaselineError`.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    now: tuple[list[str], ...] = sides
    for line in text.splitlines():
        if line.startswith(_OURS):
            now = sides[:1]
        elif line.startswith(_BASE):
            now = ()
        elif line.startswith(_END):
            now = sides
        elif line.rstrip() == _THEIRS:
            now = sides[1:]
        elif line.lstrip().startswith("{") and line.strip() != "{":
            for side in now:
                side.append(line.strip().rstrip(","))
    head = f'"format_version": "{FORMAT_VERSION}"'
    texts = (f'{{{head}, "findings": [{",".join(side)}]}}' for side in sides)
    ours, theirs = (Counter(parse_baseline(side)) for side in texts)
    return tuple(sorted((ours | theirs).elements()))


def adopted(
    entries: Iterable[Entry], mains: Iterable[str], missing: Collection[str]
) -> tuple[Entry, ...]:
    """The entries, where those of a main file that is `missing` pass to the one of `mains` that has
    none: the file was renamed. Where it can't be told which one, they stay as they are."""
    found = tuple(entries)
    known = {entry.main for entry in found}
    heirs = [main for main in mains if main not in known]
    if len(missing) != 1 or len(heirs) != 1:
        return found
    return tuple(replace(e, main=heirs[0]) if e.main in missing else e for e in found)


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
    now, before = parse_baseline(source.text), tuple(earlier)
    mains = {entry.main for entry in now}
    missing = {entry.main for entry in before} - mains
    done, _ = held(now, adopted(before, mains, missing))
    return tuple(
        BASELINE_GREW.diagnostic(_Grew(entry, _span_of(entry, source)))
        for entry, is_held in zip(now, done, strict=True)
        if not is_held
    )


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
    """What the entry says, where it is written as flowc writes it."""
    start = source.text.find(json.dumps(asdict(entry)))
    if start < 0:
        return Span(source.path, 0, 0)
    said = json.dumps(entry.message)
    at = source.text.index(f'"message": {said}', start) + len('"message": ')
    return Span(source.path, at, at + len(said))
