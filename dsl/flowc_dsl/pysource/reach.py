"""Which files a service's code reaches by imports, and by which shortest way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from flowc_dsl.pysource.facts import Code, Edge
from flowc_dsl.record import Record


class Hop(Record):
    """An import in the file `path`."""

    path: str
    edge: Edge

    def __str__(self) -> str:
        return f"{self.path}:{self.edge.line}"


Reached = Mapping[str, Hop | None]
"""The files that are reached, each with the import that reaches it first; None for where it
starts."""


def reach(code: Code, entry: str, ends: Callable[[str], bool]) -> Reached:
    """All files from an entry on, nearest first. Those that are `ends` are not followed."""
    starts = [entry, *_around(code, entry)]
    reached: dict[str, Hop | None] = dict.fromkeys(starts)
    queue = deque(starts)
    while queue:
        path = queue.popleft()
        if path != entry and ends(path):
            continue
        edges = code.edges.get(path, ())
        for edge in sorted(edges, key=lambda found: found.implicit):
            if edge.target not in reached:
                reached[edge.target] = Hop(path, edge)
                queue.append(edge.target)
    return reached


def way(reached: Reached, path: str) -> tuple[Hop, ...]:
    """The imports that lead to a file, the first one first."""
    hops: list[Hop] = []
    hop = reached[path]
    while hop is not None:
        hops.append(hop)
        hop = reached[hop.path]
    return tuple(reversed(hops))


def imported(code: Code, reached: Reached, ends: Callable[[str], bool]) -> dict[str, Hop]:
    """What the files of a way import by name, each with the nearest of its imports."""
    found: dict[str, Hop] = {}
    for number, path in enumerate(reached):
        for edge in code.edges.get(path, ()) if number == 0 or not ends(path) else ():
            if not edge.implicit:
                found.setdefault(edge.target, Hop(path, edge))
    return found


def _around(code: Code, entry: str) -> list[str]:
    """The `__init__.py` of the packages around a file, which run before it."""
    folders = entry.split("/")[:-1]
    inits = ["/".join([*folders[:i], "__init__.py"]) for i in range(1, len(folders) + 1)]
    return [path for path in inits if path in code.modules and path != entry]
