"""What is kept of each file from one check to the next, and when it still holds.

The tree of a file follows from its text alone. What its events and services mean follows from the
tree, and from little else: which of its names it is the one to declare, and whether a name that
it uses as a type is a type or an enum. It is kept only of a file in whose events and services
nothing was wrong, so that no fault has to be told again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flowc_dsl.model import Event, Service
from flowc_dsl.source import Span
from flowc_dsl.syntax.tree import Node, Tree


@dataclass(frozen=True, slots=True)
class Declared:
    """What a name is, and where it became that."""

    kind: str  # event, command, type, enum, library, service, context, expectation, scenario
    span: Span


Declarations = tuple[tuple[str, Declared, Node], ...]


@dataclass(frozen=True, slots=True)
class Lowered:
    """The events and services of one file, by name in the order of the text.

    `kinds` are the names that it uses as types, each with what it is.
    """

    events: Mapping[str, Event]
    services: Mapping[str, Service]
    kinds: Mapping[str, str]

    def holds(self, declared: Mapping[str, Declared]) -> bool:
        """Whether lowering the file again would give the same."""
        for names in (self.events, self.services):
            for name, item in names.items():
                if name not in declared or declared[name].span != item.span:
                    return False
        return all(
            name in declared and declared[name].kind == kind for name, kind in self.kinds.items()
        )


@dataclass(slots=True)
class KeptFile:
    """`data` is the file as it was given. A tree that is not `whole` has events and services
    without what is in them; `lowered` has that, by whether text of the program was not understood
    then, so that not all was asked of it."""

    data: str | bytes
    tree: Tree
    whole: bool = True
    declarations: Declarations | None = None
    lowered: dict[bool, Lowered] = field(default_factory=dict)


@dataclass(slots=True)
class Memo:
    """The files of one program, by path; they may change in any way."""

    files: dict[str, KeptFile] = field(default_factory=dict)

    def tree(self, path: str, data: str | bytes) -> Tree | None:
        """The tree of a file that has not changed."""
        kept = self.files.get(path)
        return kept.tree if kept is not None and kept.data == data else None
