"""What one Python file says, as far as the rules ask: frozen values, no syntax trees."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from flowc_dsl.record import Record
from flowc_dsl.source import Source, Span

GENERATED: Final = "Written by `flowc types` from"
"""How the docstring of a generated module of event classes goes on after its first paragraph."""

_GENERATED_LINE: Final = re.compile(rf"^{re.escape(GENERATED)} ", re.MULTILINE)
_HEAD_CHARS: Final = 2_000

Dotted = tuple[str, ...]
"""A name as it is written: `ev.OrderPlaced` is `("ev", "OrderPlaced")`."""


def is_generated(text: str) -> bool:
    """Whether a module was written by `flowc types`: it holds event classes, and is no code."""
    return _GENERATED_LINE.search(text[:_HEAD_CHARS]) is not None


class Import(Record):
    """`import a.b` has no `name`; in `from a import b` it is `b`, a module or something in one, or
    `*`. `module` is absolute."""

    module: str
    name: str
    span: Span
    line: int


class Made(Record):
    """A call whose value is returned or yielded: of an event's class, or of another function.

    `batch` is where the name is the class that `Batch.of` was given.
    """

    callee: Dotted
    span: Span
    batch: bool = False


class Function(Record):
    """`name` has the names around it: `on_placed`, `Orders.on_placed`, `on_placed.inner`."""

    name: str
    emitted: tuple[Made, ...]


class Module(Record):
    """One file. `bindings` are names that imports bound: `as z` in `from x import y as z` is
    `z: ("x", "y")`, in `import x.y as z` it is `z: ("x.y", "")`. `bases` are the classes with what
    they derive from, `aliases` names that stand for others (`on_b = on_a`), `attributes` what is
    taken from an imported name. `bare` is a file that only passes on: a docstring, imports,
    `__all__`, or not even that.
    """

    path: str
    name: str
    generated: bool = False
    bare: bool = False
    imports: tuple[Import, ...] = ()
    bindings: Mapping[str, tuple[str, str]] = {}
    functions: Mapping[str, Function] = {}
    bases: Mapping[str, tuple[Dotted, ...]] = {}
    aliases: Mapping[str, Dotted] = {}
    attributes: tuple[tuple[Dotted, Span], ...] = ()


class Edge(Record):
    """A file that an import of another file reaches. `implicit`: as a package around what is
    imported, whose `__init__.py` runs too."""

    target: str
    span: Span
    line: int
    implicit: bool = False


class Code(Record):
    """The Python source of a system's services, by path from the root.

    `entries` are the files that services run, `names` the dotted names that were found to be a
    file, `unread` why a file that is there could not be judged, `texts` those that could.
    """

    modules: Mapping[str, Module]
    edges: Mapping[str, tuple[Edge, ...]]
    entries: Mapping[str, str]
    names: Mapping[str, str]
    unread: Mapping[str, str]
    texts: Mapping[str, str]

    def source(self, path: str) -> Source | None:
        """The text to show a place in."""
        return Source(path, self.texts[path]) if path in self.texts else None
