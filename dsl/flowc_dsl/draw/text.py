"""How wide text is, without a font at hand: upper estimates, so that text never leaves its box."""

from __future__ import annotations

from typing import Final

from flowc_dsl.draw.topology import Cluster

NARROW: Final = frozenset("iljtfrI.,:;|!'()[]/ ")
WIDE: Final = frozenset("mwMWQO@%—→…&")
EMS_NARROW: Final = 0.36
EMS_WIDE: Final = 0.90
EMS_UPPER: Final = 0.70
EMS_PLAIN: Final = 0.60
EMS_FULL: Final = 1.05  # CJK and the like
BOLD: Final = 1.08
ROW_CHARS_MAX: Final = 44


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of a line of text in px, at a font size in px."""
    ems = sum(_ems(char) for char in text)
    return ems * size * (BOLD if bold else 1.0)


def _ems(char: str) -> float:
    if char in NARROW:
        return EMS_NARROW
    if char in WIDE:
        return EMS_WIDE
    if ord(char) >= 0x1100:  # where the wide scripts begin
        return EMS_FULL
    return EMS_UPPER if char.isupper() else EMS_PLAIN


def shortened(text: str, chars_max: int = ROW_CHARS_MAX) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= chars_max else text[: chars_max - 1].rstrip(" |&") + "…"


def title_line(cluster: Cluster) -> str:
    """A context's name and its owner."""
    return f"{cluster.name} · {cluster.owner}" if cluster.owner else cluster.name
