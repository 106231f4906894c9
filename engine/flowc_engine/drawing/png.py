"""SVG to PNG with `resvg`, which is the extra `flowc[png]`."""

from __future__ import annotations

from functools import cache
from importlib import import_module

SCALE = 2.0  # sharp on today's screens
SIDE_PX_MAX = 16_000
FAMILIES = ("Arial", "DejaVu Sans", "Liberation Sans", "Noto Sans", "Open Sans", "Roboto", "Ubuntu")
"""What `sans-serif` may be, best first: resvg knows of no default but the first."""
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
    family = sans_serif()
    if family is None:
        raise PngError(
            "this machine has no font for a PNG's text: install one, "
            "such as the package fonts-dejavu-core, or use -f svg"
        )
    zoom = min(SCALE, SIDE_PX_MAX / max(width_px, 1.0))
    return bytes(resvg.svg_to_bytes(svg_string=svg, zoom=zoom, sans_serif_family=family))


@cache
def sans_serif() -> str | None:
    """The first family in which text leaves a mark: without one, resvg leaves it out in silence."""
    resvg = import_module("resvg_py")
    blank = resvg.svg_to_bytes(svg_string=PROBE.replace(">x<", "><"))
    for family in FAMILIES:
        if resvg.svg_to_bytes(svg_string=PROBE, sans_serif_family=family) != blank:
            return family
    return None
