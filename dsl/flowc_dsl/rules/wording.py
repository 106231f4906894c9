"""Small pieces of prose that the findings share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from flowc_dsl import limits

NAMES_MAX = 4  # in one sentence; the rest are counted
SLIP_CHARS_MIN: Final = 4  # of a name; in a shorter one a letter is too much of it
SLIP_RATIO_MIN: Final = 0.85  # of two names' letters that are the same, for one to be a slip


def quoted(names: Iterable[str]) -> str:
    """`A`, `B` and `C`; long lists end in a count."""
    found = [f"`{name}`" for name in names]
    if len(found) > NAMES_MAX:
        found = [*found[: NAMES_MAX - 1], f"{len(found) - NAMES_MAX + 1} more"]
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} and {found[-1]}"


def counted(count: int, noun: str) -> str:
    """1 error, 2 errors."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(period_ms: int) -> str:
    """15m, 1500ms: in the largest unit that holds it whole."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if period_ms and period_ms % size == 0:
            return f"{period_ms // size}{unit}"
    return f"{period_ms}ms"


def per_time(per_s: float) -> str:
    """500/s, 12/m: in the smallest unit of the language in which it is 1 or more."""
    for unit, seconds in (("s", 1), ("m", 60), ("h", 3_600)):
        if per_s * seconds >= 1:
            return f"{_three_digits(per_s * seconds)}/{unit}"
    return f"{_three_digits(per_s * 86_400)}/d"


def short_time(time_ms: float) -> str:
    """1.5ms, 2s: three digits, in ms or s."""
    return f"{_three_digits(time_ms)}ms" if time_ms < 1_000 else f"{_three_digits(time_ms / 1000)}s"


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant, if one is close; case is worth little."""
    from difflib import get_close_matches  # noqa: PLC0415  # lazy: needed for faults alone

    by_lower = {candidate.lower(): candidate for candidate in sorted(candidates, reverse=True)}
    close = get_close_matches(name.lower(), sorted(by_lower), n=1, cutoff=0.7)
    return by_lower[close[0]] if close else None


def meant(names: Iterable[str], declared: Collection[str]) -> frozenset[str]:
    """What the names that are not declared were probably meant to be: of the first of very many."""
    unknown = sorted(name for name in names if name not in declared)
    unknown = unknown[: limits.MEANT_COMPARISONS_MAX // max(1, len(declared))]
    return frozenset(filter(None, (nearest(name, declared) for name in unknown)))


class Guess(NamedTuple):
    """What was probably meant; `sure` if it can be nothing else that is known."""

    name: str
    sure: bool


def guess(name: str, candidates: Collection[str]) -> Guess | None:
    """The nearest candidate, and whether the name is a slip of it alone."""
    found = nearest(name, candidates)
    return None if found is None else Guess(found, is_slip(name, found, candidates))


def is_slip(name: str, meant_: str, candidates: Iterable[str]) -> bool:
    """Whether a name is nearly `meant_`, and no other candidate is. Figures are never slips:
    `Step2Done` is not a way to write `Step1Done`."""
    if min(len(name), len(meant_)) < SLIP_CHARS_MIN or _figures(name) != _figures(meant_):
        return False
    written = name.lower()
    if written == meant_.lower():
        return all(other == meant_ or other.lower() != written for other in candidates)
    return _is_near(written, meant_) and not any(
        other != meant_ and _is_near(written, other) for other in candidates
    )


def _is_near(written: str, other: str) -> bool:
    from difflib import SequenceMatcher  # noqa: PLC0415  # lazy: needed for faults alone

    if sorted(other.lower()) == sorted(written):  # letters that changed places
        return True
    found = SequenceMatcher(None, other.lower(), written)
    low = SLIP_RATIO_MIN
    return found.real_quick_ratio() >= low <= found.quick_ratio() and found.ratio() >= low


def _figures(name: str) -> str:
    return "".join(filter(str.isdigit, name))
