"""Proof that a finished SVG holds every edge: layout programs have been seen to lose some."""

from __future__ import annotations

import re

from flowc_dsl.draw.topology import Topology

EDGE = re.compile(r'<g id="([^"]+)" class="edge">(.*?)</g>', re.DOTALL)
LINE = re.compile(r'<path\b[^>]*\sd="M[^"]+[A-Za-z][^"]*"')


def undrawn(topology: Topology, svg: str) -> tuple[str, ...]:
    """The ids of the edges that the drawing lacks; an edge counts as drawn if it has a line."""
    drawn = {name for name, body in EDGE.findall(svg) if LINE.search(body)}
    return tuple(edge.id for edge in topology.edges if edge.id not in drawn)
