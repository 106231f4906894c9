"""Frozen values that are cheap to define.

A frozen dataclass costs half a millisecond to define, and a tree has a hundred kinds of node:
that would be most of the time a check of one file takes. A `Record` means the same to its users
and to type checkers.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, dataclass_transform


class _RecordType(type):
    """Makes the annotations of a class its slots and its fields, behind those of its base."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _RecordType:
        own = [n for n, t in namespace.get("__annotations__", {}).items() if "ClassVar" not in t]
        defaults = {field: namespace.pop(field) for field in own if field in namespace}
        cls = super().__new__(mcs, name, bases, {**namespace, "__slots__": tuple(own)})
        inherited: tuple[str, ...] = getattr(bases[0], "__match_args__", ()) if bases else ()
        fields = (*inherited, *own)
        known = getattr(bases[0], "_defaults", {}) if bases else {}
        type.__setattr__(cls, "__match_args__", fields)
        type.__setattr__(cls, "_defaults", {**known, **defaults})
        setters = tuple(getattr(cls, field).__set__ for field in fields)
        type.__setattr__(cls, "_setters", setters)
        return cls


@dataclass_transform(frozen_default=True)
class Record(metaclass=_RecordType):
    """A frozen value: annotated names are its fields, in order, positional or by keyword."""

    __match_args__: ClassVar[tuple[str, ...]] = ()
    _setters: ClassVar[tuple[Any, ...]]
    _defaults: ClassVar[dict[str, Any]]

    def __init__(self, *values: Any, **named: Any) -> None:
        setters = self._setters
        if len(values) != len(setters):
            values = self._complete(values, named)
        for put, value in zip(setters, values, strict=True):
            put(self, value)

    def _complete(self, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        fields = self.__match_args__
        given = {**self._defaults, **dict(zip(fields, values, strict=False)), **named}
        missing = [field for field in fields if field not in given]
        if missing or len(given) > len(fields) or len(values) > len(fields):
            raise TypeError(f"{type(self).__name__} takes {', '.join(fields)}")
        return tuple(given[field] for field in fields)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field) for field in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()  # the same class

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({shown})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is frozen; {name} can't be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is frozen; {name} can't be deleted")
