"""Where matters of taste begin: what `[thresholds]` of `flow.toml` can set."""

from __future__ import annotations

from typing import Final

from flowc_dsl import limits
from flowc_dsl.record import Record


class ThresholdError(ValueError):
    """A name that is no threshold, or a value out of bounds. The message is for `flow.toml`."""


class Thresholds(Record):
    hub_types: int = limits.HUB_TYPES_MAX  # more of them, read and emitted: FLW307
    exchange_types: int = limits.EXCHANGE_TYPES_MAX  # more of them, both ways: FLW604
    god_event_fields: int = limits.GOD_EVENT_FIELDS_MIN  # as many, or more: FLW605
    utilisation: float = limits.UTILISATION_MAX  # as much, or more: FLW508


DEFAULTS: Final = Thresholds()
NAMES: Final = Thresholds.__match_args__


def threshold(name: str, value: object) -> float:
    """The value of one that is written. Raises `ThresholdError`."""
    if name == "utilisation":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise ThresholdError(f"`{name}` is a number over 0 and up to 1, not {value!r}")
        return float(value)
    high = limits.LAW_BOUND_MAX
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
        raise ThresholdError(f"`{name}` is a whole number from 1 to {high:,}, not {value!r}")
    return value
