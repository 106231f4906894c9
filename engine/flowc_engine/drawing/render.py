"""A topology as a picture: by Graphviz if it is there and draws it whole, else by flowc itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from flowc_dsl.draw.topology import Topology
from flowc_dsl.draw.verify import undrawn
from flowc_engine.drawing.graphviz_dot import DotError, dot_version, find_dot, run_dot
from flowc_engine.drawing.png import png_bytes
from flowc_engine.limits import DOT_BUDGET_MS

Engine = Literal["auto", "dot", "layered"]
Kind = Literal["svg", "png", "dot", "mermaid", "json"]
SUFFIXES: dict[str, Kind] = {
    ".svg": "svg",
    ".png": "png",
    ".dot": "dot",
    ".gv": "dot",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".json": "json",
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """`engine` says what drew it; `why` why it was not Graphviz, where that was tried."""

    data: bytes
    engine: str
    why: str = ""


def draw(
    topology: Topology, kind: Kind, engine: Engine = "auto", budget_ms: int = DOT_BUDGET_MS
) -> Drawing:
    """The topology as a file's bytes.

    `auto` falls back from `dot` to the layered engine; `dot` raises `DotError` instead. Raises
    `PngError` where no PNG can be made. A picture that lacks an edge is never returned.
    """
    if kind in ("dot", "mermaid", "json"):
        return Drawing(_text(topology, kind).encode(), "flowc")
    why = ""
    if engine == "dot" or (engine == "auto" and find_dot() is not None):
        try:
            return _by_dot(topology, kind, budget_ms)
        except DotError as error:
            if engine == "dot":
                raise
            why = str(error)
    return _by_layers(topology, kind, why)


def _text(topology: Topology, kind: Kind) -> str:
    if kind == "dot":
        from flowc_dsl.draw.dot import dot_text  # noqa: PLC0415  # imports graphviz: 50 ms

        return dot_text(topology)
    if kind == "mermaid":
        from flowc_dsl.draw.mermaid import mermaid_text  # noqa: PLC0415  # the one used

        return mermaid_text(topology)
    from flowc_dsl.draw.json_text import json_text  # noqa: PLC0415  # the one used

    return json_text(topology)


def _by_dot(topology: Topology, kind: Kind, budget_ms: int) -> Drawing:
    """The SVG is made in any case: it is the proof that every edge was drawn."""
    kinds: tuple[Literal["svg", "png"], ...] = ("svg", "png") if kind == "png" else ("svg",)
    found = run_dot(_text(topology, "dot"), kinds, budget_ms)
    lost = undrawn(topology, found["svg"].decode())
    if lost:
        raise DotError(f"dot drew {len(topology.edges) - len(lost)} of {len(topology.edges)} edges")
    return Drawing(found[kind], f"graphviz dot {dot_version()}".rstrip())


def _by_layers(topology: Topology, kind: Kind, why: str) -> Drawing:
    from flowc_dsl.draw.svg import ENGINE, svg_text  # noqa: PLC0415  # only where used

    svg = svg_text(topology)
    lost = undrawn(topology, svg)
    assert not lost, f"{ENGINE} lost edges: {', '.join(lost)}"
    if kind == "svg":
        return Drawing(svg.encode(), ENGINE, why)
    width = re.search(r'width="([\d.]+)"', svg)
    assert width is not None
    return Drawing(png_bytes(svg, float(width[1])), f"{ENGINE} and resvg", why)
