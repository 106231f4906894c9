"""How a file would change, as a patch on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import unified_diff

from flowc_engine.cli.common import ColorChoice, look_for


def show_patch(path: str, old: str, new: str, what: str, color: ColorChoice) -> None:
    """Writes a unified diff of two texts of a file; `what` says how the new one came about."""
    look = look_for(sys.stdout, color)
    sys.stdout.flush()
    for line in _diff(path, old, new, what):
        bare = line.removesuffix("\n")
        if sys.stdout.isatty():
            bare = look.show(bare)
        colour = {"+": "32", "-": "31", "@": "36"}.get(line[0]) if look.color else None
        painted = f"\x1b[{colour}m{bare}\x1b[0m" if colour else bare
        sys.stdout.buffer.write(f"{painted}\n".encode())  # a patch, byte for byte
    sys.stdout.flush()


def _diff(path: str, old: str, new: str, what: str) -> Iterator[str]:
    for line in unified_diff(_lines(old), _lines(new), f"{path} (now)", f"{path} ({what})"):
        yield line
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"


def _lines(text: str) -> list[str]:
    """The lines with their ends; only a newline ends a line."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop().removesuffix("\n")
    return [*lines, last] if last else lines
