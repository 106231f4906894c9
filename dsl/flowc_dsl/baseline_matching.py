"""Which entries of a baseline hold which findings: the same, moved, less, or what is left of rings.

Who mends a legacy system does it in parts, and each part leaves a remnant that says something else:
three emitters become two, a file is renamed, a ring that was cut has another shortest way round.
None of these makes the system worse, so none is new.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_NUMBER: Final = r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
_MEASURED: Final = frozenset({"FLW303", "FLW306"})  # their messages say how much
_LOADS: Final = frozenset({"FLW508"})  # their last number is the load; the others make it up
_RINGS: Final = frozenset({"FLW301", "FLW305", "FLW306"})


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


def held(now: Sequence[Entry], before: Iterable[Entry]) -> tuple[list[bool], list[Entry]]:
    """Which of `now` the entries of `before` hold, and the entries that hold none.

    An entry holds one finding, and what is most like it is sought first. Names are unique in a
    system, so what says the same in another file has moved. For rings it is enough that nobody is
    on one who was on none before: they may be told by other ways round, and by more of them.
    """
    left = sorted(before)
    on_rings = _on_rings(left)
    done = [False] * len(now)
    for likeness, fits in _STAGES:
        left = _stage(now, done, left, likeness, fits)
    for number, entry in enumerate(now):
        names = on_rings.get(entry.main, set())
        if not done[number] and entry.code in _RINGS and names.issuperset(entry.subjects):
            done[number] = True
    return done, left


Likeness = Callable[[Entry], Hashable]
Fits = Callable[[Entry, Entry], bool]


def _stage(
    now: Sequence[Entry], done: list[bool], left: list[Entry], likeness: Likeness, fits: Fits
) -> list[Entry]:
    """Marks in `done` what is held by this likeness; the entries that are left over."""
    offers: dict[Hashable, list[Entry]] = defaultdict(list)
    if not left or all(done):
        return left
    for entry in left:
        offers[likeness(entry)].append(entry)
    for number, entry in enumerate(now):
        found = offers.get(likeness(entry), []) if not done[number] else []
        for index in reversed(range(len(found))):  # the last is the cheapest to take
            if fits(entry, found[index]):
                done[number] = True
                del found[index]
                break
    return sorted(entry for rest in offers.values() for entry in rest)


def _said(entry: Entry) -> Hashable:
    return (entry.main, entry.code, entry.message, entry.subjects)


def _about(entry: Entry) -> Hashable:
    return (entry.main, entry.code, entry.subjects[:1])


def _is_less(entry: Entry, old: Entry) -> bool:
    """Fewer are concerned, or the same and by less."""
    if set(entry.subjects) < set(old.subjects):
        return True
    now, before = (re.findall(_NUMBER, text.message) for text in (entry, old))
    if entry.code in _LOADS and entry.subjects == old.subjects and now and before:
        return _value(now[-1]) <= _value(before[-1])
    if entry.code not in _MEASURED:
        return False
    words = (re.sub(_NUMBER, "0", text.message) for text in (entry, old))
    return len(set(words)) == 1 and all(
        _value(a) <= _value(b) for a, b in zip(now, before, strict=True)
    )


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def _on_rings(entries: Iterable[Entry]) -> dict[str, set[str]]:
    """Everybody who is on a ring, by main file."""
    found: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.code in _RINGS:
            found[entry.main].update(entry.subjects)
    return found


_STAGES: Final[tuple[tuple[Likeness, Fits], ...]] = (
    (Entry.identity, lambda _entry, _old: True),
    (_said, lambda _entry, _old: True),
    (_about, _is_less),
)
