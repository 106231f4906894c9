"""Which events a function emits, through the functions whose values it returns.

Names are resolved over the files of a project as Python would: imports, `from … import`, aliases,
base classes. What is not found is no event and no function of the project.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flowc_dsl import limits
from flowc_dsl.pysource.facts import Code, Dotted, Module
from flowc_dsl.record import Record
from flowc_dsl.source import Span

EVENTS_MODULE: Final = "flowc.events"


class EventClass(Record):
    """A name out of a module of event classes, whether or not it is declared."""

    name: str


class Place(Record):
    """A function or class by its name in a module."""

    module: Module
    name: str


class Emission(Record):
    """`direct` is whether the function itself makes the event, not one that it calls."""

    event: str
    span: Span
    direct: bool


Found = EventClass | Place | None


class Names:
    """What names mean, over the files of a project."""

    def __init__(self, code: Code) -> None:
        self._code = code
        parts = [name.split(".") for name in code.names]
        self._packages = {".".join(found[:i]) for found in parts for i in range(len(found))}

    def is_events(self, module: str) -> bool:
        """Whether a module holds event classes: made by `flowc types`, or flowc's own."""
        path = self._code.names.get(module)
        if path is None:
            return module == EVENTS_MODULE
        return path in self._code.modules and self._code.modules[path].generated

    def resolve(
        self,
        module: Module,
        name: Dotted,
        depth: int = 0,
        seen: set[tuple[str, Dotted]] | None = None,
    ) -> Found:
        """What a name means where it is written.

        `seen` is where this search has been: modules that import `*` from each other lead there on
        more ways than could be gone.
        """
        seen = set() if seen is None else seen
        if depth > limits.PY_CALLS_MAX or (module.path, name) in seen:
            return None
        seen.add((module.path, name))
        first, rest = name[0], name[1:]
        if first in module.bases and rest:
            return self.member(module, first, rest[0], depth + 1) if len(rest) == 1 else None
        if not rest and (first in module.functions or first in module.bases):
            return Place(module, first)
        if first in module.aliases and module.aliases[first][0] != first:
            return self.resolve(module, (*module.aliases[first], *rest), depth + 1, seen)
        if first in module.bindings:
            return self._imported(*module.bindings[first], rest, depth, seen)
        for found in module.imports:
            if found.name == "*":
                meant = self._within(found.module, name, depth, seen)
                if meant is not None:
                    return meant
        return None

    def member(self, module: Module, owner: str, name: str, depth: int = 0) -> Place | None:
        """The method of a class, its own or inherited."""
        if depth > limits.PY_CALLS_MAX:
            return None
        full = f"{owner}.{name}"
        if full in module.functions:
            return Place(module, full)
        if full in module.aliases:
            alias = module.aliases[full]
            own = self.member(module, owner, alias[0], depth + 1) if len(alias) == 1 else None
            found = own or self.resolve(module, alias, depth + 1)
            return found if isinstance(found, Place) else None
        for base in module.bases.get(owner, ()):
            at = self.resolve(module, base, depth + 1)
            if isinstance(at, Place) and at.name in at.module.bases:
                inherited = self.member(at.module, at.name, name, depth + 1)
                if inherited is not None:
                    return inherited
        return None

    def _imported(
        self, module: str, member: str, rest: Dotted, depth: int, seen: set[tuple[str, Dotted]]
    ) -> Found:
        inner = f"{module}.{member}"
        if member and (inner in self._code.names or self.is_events(inner)):
            module, member = inner, ""
        name = (member, *rest) if member else rest
        while len(name) > 1 and self._is_module(f"{module}.{name[0]}"):
            module, name = f"{module}.{name[0]}", name[1:]
        return self._within(module, name, depth, seen) if name else None

    def _is_module(self, name: str) -> bool:
        return name in self._code.names or name in self._packages or self.is_events(name)

    def _within(
        self, module: str, name: Dotted, depth: int, seen: set[tuple[str, Dotted]]
    ) -> Found:
        if self.is_events(module):
            return EventClass(name[0]) if len(name) == 1 else None
        path = self._code.names.get(module)
        if path is None or path not in self._code.modules:
            return None
        return self.resolve(self._code.modules[path], name, depth + 1, seen)


def emissions(names: Names, at: Place) -> tuple[Emission, ...]:
    """What leaves the function at a place, each event and place once."""
    found = dict.fromkeys(_emissions(names, at, set(), 0))
    return tuple(sorted(found, key=lambda emission: (emission.span, emission.event)))


def _emissions(
    names: Names, at: Place, seen: set[tuple[str, str]], depth: int
) -> Iterator[Emission]:
    key = (at.module.path, at.name)
    function = at.module.functions.get(at.name)
    if function is None or key in seen or depth > limits.PY_CALLS_MAX:
        return
    seen.add(key)
    for made in function.emitted:
        meant = _meant(names, at, made.callee)
        if isinstance(meant, EventClass):
            yield Emission(meant.name, made.span, depth == 0)
        elif meant is not None and not made.batch:
            yield from _emissions(names, meant, seen, depth + 1)


def _meant(names: Names, at: Place, callee: Dotted) -> Found:
    """What is called: a function inside this one, a method of its object, or a name outside."""
    inner = f"{at.name}.{callee[0]}"
    if len(callee) == 1 and inner in at.module.functions:
        return Place(at.module, inner)
    owner = at.name.partition(".")[0]
    if len(callee) == 2 and callee[0] in {"self", "cls"} and owner in at.module.bases:
        return names.member(at.module, owner, callee[1])
    return names.resolve(at.module, callee)
