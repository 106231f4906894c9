"""Small pieces of prose that the findings share."""

from __future__ import annotations

from collections.abc import Collection, Iterable

NAMES_MAX = 4  # in one sentence; the rest are counted


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
    """What the names that are not declared were probably meant to be."""
    unknown = sorted(name for name in names if name not in declared)
    return frozenset(filter(None, (nearest(name, declared) for name in unknown)))
