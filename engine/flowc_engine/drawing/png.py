"""SVG to PNG with `resvg`, which is the extra `flowc[png]`."""

from __future__ import annotations

from functools import cache
from importlib import import_module

SCALE = 2.0  # sharp on today's screens
SIDE_PX_MAX = 16_000
PROBE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20">'
    '<text x="2" y="15" font-family="Helvetica, sans-serif">x</text></svg>'
)


class PngError(Exception):
    """No PNG can be made here; the message says why and what to do."""


def png_bytes(svg: str, width_px: float) -> bytes:
    """The picture at twice its size, or smaller if it is very wide. Raises `PngError`."""
    try:
        resvg = import_module("resvg_py")
    except ImportError as error:
        raise PngError(
            "PNG needs Graphviz's dot, or the extra: pip install 'flowc[png]' (or use -f svg)"
        ) from error
    if not has_font():
        raise PngError(
            "this machine has no font, so a PNG would have no text: install one, "
            "such as the package fonts-dejavu-core, or use -f svg"
        )
    zoom = min(SCALE, SIDE_PX_MAX / max(width_px, 1.0))
    return bytes(resvg.svg_to_bytes(svg_string=svg, zoom=zoom))


@cache
def has_font() -> bool:
    """Whether text leaves a mark: without a font, resvg leaves it out in silence."""
    resvg = import_module("resvg_py")
    blank = PROBE.replace(">x<", "><")
    return bool(resvg.svg_to_bytes(svg_string=PROBE) != resvg.svg_to_bytes(svg_string=blank))
