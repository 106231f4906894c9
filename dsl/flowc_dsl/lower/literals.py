"""Numbers, durations, rates and other literals: what they mean, and whether they are in bounds."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from flowc_dsl import limits
from flowc_dsl.lower.faults import BadLiteral, DuplicateField, OutOfBounds
from flowc_dsl.lower.work import Work
from flowc_dsl.model import Literal_
from flowc_dsl.source import Span
from flowc_dsl.syntax import tree as t
from flowc_dsl.syntax.faults import short

_DIGITS_MAX: Final = 30
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_DURATION: Final = re.compile(r"[0-9]+(\.[0-9]+)?(ms|[smhd])")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def whole(work: Work, tree: t.Tree, node: t.Number, what: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`; out of bounds it is reported, and the nearest is
    taken."""
    if not re.fullmatch(r"-?[0-9]+", node.text):
        if re.fullmatch(r"-?[0-9.eE+-]+", node.text):
            message = f"{what} `{node.text}` is not a whole number"
            work.report(BadLiteral(tree.span(node), message, "write it without point and exponent"))
        return low
    digits = len(node.text)
    value = int(node.text) if digits <= 20 else high + 1  # beyond 64 bits in any case
    if not low <= value <= high:
        work.report(OutOfBounds(tree.span(node), what, short(node.text), f"{low:,}", f"{high:,}"))
    return min(max(value, low), high)


def version(work: Work, tree: t.Tree, node: t.Version) -> int | None:
    """`v2` as its number; None, with a fault, for one out of bounds."""
    digits = node.text[1:]
    value = int(digits) if digits.isdigit() and len(digits) <= 9 else 0
    if not 1 <= value <= limits.VERSION_MAX and node.text:
        high = f"v{limits.VERSION_MAX}"
        work.report(OutOfBounds(tree.span(node), "version", short(node.text), "v1", high))
        return None
    return max(value, 1)


def duration_ms(work: Work, tree: t.Tree, node: t.Duration, *, low: int = 1) -> int:
    """Whole ms; a fraction of a ms is out of bounds."""
    text = node.text
    if not _DURATION.fullmatch(text):
        return low  # missing, or reported with the text
    unit = text.lstrip("0123456789.")
    value, rest, _ = _scaled(text[: -len(unit)], _UNIT_MS[unit])
    if rest:
        work.report(BadLiteral(tree.span(node), f"duration `{short(text)}` is finer than 1 ms"))
        return max(value, low)
    if not low <= value <= limits.DURATION_MS_MAX:
        days = limits.DURATION_MS_MAX // _UNIT_MS["d"]
        fault = OutOfBounds(tree.span(node), "duration", short(text), f"{low}ms", f"{days}d")
        work.report(fault)
        return low
    return value


def fine_ms(work: Work, tree: t.Tree, node: t.Duration) -> float:
    """ms with fractions, for the simulator's times."""
    text = node.text
    if not _DURATION.fullmatch(text):
        return 0.0
    unit = text.lstrip("0123456789.")
    value, rest, scale = _scaled(text[: -len(unit)], _UNIT_MS[unit])
    if value > limits.DURATION_MS_MAX:
        duration_ms(work, tree, node)
        return 0.0
    return value + rest / scale


def per_second(work: Work, tree: t.Tree, node: t.Frequency) -> float:
    """Events per second."""
    number, _, unit = node.text.partition("/")
    if not _NUMBER.fullmatch(number) or unit not in _UNIT_MS:
        return 1.0
    whole_, rest, scale = _scaled(number, 1_000)
    value = (whole_ + rest / scale) / _UNIT_MS[unit]
    if not 0 < value <= limits.RATE_PER_S_MAX:
        high = f"{limits.RATE_PER_S_MAX:,}/s"
        fault = OutOfBounds(tree.span(node), "rate", short(node.text), "more than 0", high)
        work.report(fault)
        return 1.0
    return value


def fraction(work: Work, tree: t.Tree, node: t.Percent) -> float:
    """0 to 1."""
    if not node.text.endswith("%") or not _NUMBER.fullmatch(node.text[:-1]):
        return 1.0
    whole_, rest, scale = _scaled(node.text[:-1], 1)
    value = whole_ + rest / scale
    if value > limits.PERCENT_MAX:
        high = f"{limits.PERCENT_MAX}%"
        fault = OutOfBounds(tree.span(node), "percentage", short(node.text), "0%", high)
        work.report(fault)
        return 1.0
    return value / 100


def _scaled(number: str, factor: int) -> tuple[int, int, int]:
    """A decimal number times `factor`: its whole part, and the rest as a numerator and
    denominator."""
    before, _, after = number.partition(".")
    if len(before) > _DIGITS_MAX:
        return 10**_DIGITS_MAX, 0, 1  # over any bound
    after = after[:_DIGITS_MAX].rstrip("0")
    scale = 10 ** len(after)
    value, rest = divmod(int(before + after) * factor, scale)
    return value, rest, scale


def iso_date(work: Work, tree: t.Tree, node: t.Date) -> str | None:
    """The date as ISO text; None, with a fault, for one that no calendar has."""
    try:
        return date.fromisoformat(node.text).isoformat()
    except ValueError:
        if node.text:
            message = f"`{node.text}` is no date"
            work.report(BadLiteral(tree.span(node), message, "a date is `year-month-day`"))
        return None


def literal(work: Work, tree: t.Tree, node: t.Value) -> Literal_:
    """What a value means; durations, rates, dates and bare words mean their text."""
    found: Literal_
    match node:
        case t.Text():
            found = node.value
        case t.Number():
            found = _number(work, tree, node)
        case t.Constant():
            found = {"true": True, "false": False}.get(node.text)
        case t.ListValue():
            found = tuple(literal(work, tree, item) for item in node.items)
        case t.ObjectValue():
            found = _object(work, tree, node)
        case _:
            _check_quantity(work, tree, node)
            found = node.text
    return found


def _check_quantity(
    work: Work, tree: t.Tree, node: t.Duration | t.Frequency | t.Percent | t.Date | t.Word
) -> None:
    match node:
        case t.Duration():
            fine_ms(work, tree, node)
        case t.Frequency():
            per_second(work, tree, node)
        case t.Percent():
            fraction(work, tree, node)
        case t.Date():
            iso_date(work, tree, node)
        case t.Word():
            pass


def _number(work: Work, tree: t.Tree, node: t.Number) -> int | float:
    if re.fullmatch(r"-?[0-9]+", node.text):
        return whole(work, tree, node, "number", limits.INT_MIN, limits.INT_MAX)
    try:
        value = float(node.text)
    except ValueError:
        return 0
    if abs(value) > limits.FLOAT_MAX:
        bound = f"{limits.FLOAT_MAX:.2e}"
        fault = OutOfBounds(tree.span(node), "number", short(node.text), f"-{bound}", bound)
        work.report(fault)
        return 0.0
    return value


def _object(work: Work, tree: t.Tree, node: t.ObjectValue) -> dict[str, Literal_]:
    found: dict[str, Literal_] = {}
    spans: dict[str, Span] = {}
    for pair in node.pairs:
        key, span = pair.key.text, tree.span(pair.key)
        if key in spans:
            work.report(DuplicateField(span, "key", key, "an object", spans[key]))
            continue
        spans[key] = span
        found[key] = literal(work, tree, pair.value)
    return found
