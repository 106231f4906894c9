"""A tree without what is in its events and services, as plain lists: for what is kept on disk.

The passes over names, types, laws and expectations need no more of a file whose events and
services are kept as they were lowered. A node is `[class, *fields]`, a tuple `[0, *items]`.
"""

from __future__ import annotations

from typing import Any, Final

from flowc_dsl.source import Source
from flowc_dsl.syntax import tree as t

_TUPLE: Final = 0
_NODES: Final[dict[str, type[t.Node]]] = {
    name: found
    for name, found in vars(t).items()
    if isinstance(found, type) and issubclass(found, t.Node)
}


def pack(tree: t.Tree) -> tuple[list[Any], dict[int, str]]:
    """The items of a tree without faults, and its documentation by place."""
    return [_packed(item) for item in tree.items], tree.docs


def unpack(source: Source, items: list[Any], docs: dict[int, str]) -> t.Tree:
    """The tree of a source, from what `pack` made of it. Raises `ValueError` for what it never
    makes."""
    try:
        return t.Tree(source, tuple([_unpacked(item) for item in items]), (), docs=docs)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError("not a packed tree") from error


def _packed(value: Any) -> Any:
    match value:
        case tuple():
            return [_TUPLE, *map(_packed, value)]
        case t.Event():
            value = t.Event(value.start, value.end, None, value.kind, value.name, (), ())
        case t.Service():
            value = t.Service(value.start, value.end, value.name, None, ())
        case _ if not isinstance(value, t.Node):
            return value
    return [type(value).__name__, *[_packed(getattr(value, f)) for f in value.__match_args__]]


def _unpacked(value: Any) -> Any:
    if type(value) is not list:
        return value
    kind = value[0]
    rest = [_unpacked(one) if type(one) is list else one for one in value[1:]]
    return tuple(rest) if kind == _TUPLE else _NODES[kind](*rest)
