"""The colours and fonts that every drawing shares. All are readable on white, and in print."""

from __future__ import annotations

from typing import Final, NamedTuple

FONT: Final = "Arial"  # every Graphviz knows its metrics, with and without fonts
FONT_STACK: Final = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"

INK: Final = "#1f2933"
MUTED: Final = "#5f6c7b"
PAPER: Final = "#ffffff"
SERVICE_LINE: Final = "#334155"
ROW_LINE: Final = "#d5dbe3"
EVENT_FILL: Final = "#fff4d6"
EVENT_LINE: Final = "#c58f13"
COMMAND_FILL: Final = "#e6eefc"
COMMAND_LINE: Final = "#3b6fc4"
EDGE_FILL_EXTERNAL: Final = "#e9f5ec"  # events that cross the system's edge
EDGE_LINE_EXTERNAL: Final = "#3f8f5b"
STORE_FILL: Final = "#eceff3"
STORE_LINE: Final = "#64748b"
MISSING_FILL: Final = "#fdecea"
MISSING_LINE: Final = "#c0392b"
FLOW: Final = "#5b6776"
OUTPUT: Final = "#9a7110"


class Band(NamedTuple):
    """A context's colours: the fill, the line around it, and its title."""

    fill: str
    line: str
    title: str


BANDS: Final = (
    Band("#f2f6fc", "#c3d3ea", "#2f5687"),
    Band("#f3f9f2", "#c5dec1", "#3b6b35"),
    Band("#faf4fa", "#e0cbe2", "#77467c"),
    Band("#fdf6ef", "#ecd3b8", "#8a5520"),
    Band("#eff9f8", "#bcdeda", "#23706a"),
    Band("#fbf3f3", "#e8c9c9", "#8c4040"),
)


def band(index: int) -> Band:
    """The colours of the context number `index`; they repeat."""
    return BANDS[index % len(BANDS)]


class Look(NamedTuple):
    """The colours of a node."""

    fill: str
    line: str


def look(kind: str, *, boundary: bool, missing: bool) -> Look:
    """The fill and line of a node; `boundary` is an external or exported event."""
    if missing:
        return Look(MISSING_FILL, MISSING_LINE)
    if boundary:
        return Look(EDGE_FILL_EXTERNAL, EDGE_LINE_EXTERNAL)
    return {
        "service": Look(PAPER, SERVICE_LINE),
        "event": Look(EVENT_FILL, EVENT_LINE),
        "command": Look(COMMAND_FILL, COMMAND_LINE),
        "store": Look(STORE_FILL, STORE_LINE),
        "context": Look(BANDS[0].fill, BANDS[0].title),
    }[kind]
