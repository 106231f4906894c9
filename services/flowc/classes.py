"""Event classes: made from the plan, or imported by the user and held against the plan."""

from __future__ import annotations

import enum
import inspect
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from flowc.errors import CodeError, NoPlanError
from flowc.event import Event, Record
from flowc_dsl.plan import FieldPlan, Plan, TypePlan
from flowc_dsl.python_names import attribute_name
from flowc_engine.typegen import SCALAR_TYPES, schema_hash

DYNAMIC_MODULE = "flowc.events"
S = TypeVar("S", bound=msgspec.Struct)


class Classes:
    """The Python classes of one plan.

    Event classes that the user's code has imported (written by `flowc types`) are used for the
    events of their names; for the others, and for all before such an import, classes are made.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._enums = {name: _enum(name, members) for name, members in plan.enums.items()}
        self._records: dict[str, type[Record]] = {}
        for name in plan.structs:
            self._record(name)
        self._events = {e.name for e in plan.events if not e.waits}
        self._repeats = {e.name: e.of[0] for e in plan.events if e.waits == "after"}
        self._made: dict[str, type[Event]] = {}
        self._imported: dict[str, type[Event]] = {}
        self._known: dict[type, str] = {}

    def event(self, name: str) -> type[Event]:
        """The class that events of this name are given to handlers in.

        A deadline is given in the class of the event that set it. Raises `KeyError` for an event
        that is not of the plan.
        """
        name = self._repeats.get(name, name)
        return self._imported.get(name) or self.made(name)

    def made(self, name: str) -> type[Event]:
        """The class made from the plan. Raises `KeyError`."""
        cls = self._made.get(name)
        if cls is None:
            declared = self.plan.event(name)
            fields = declared.fields
            cls = self._struct(name, fields, Event, declared.doc)
            self._made[name] = cls
            self._known[cls] = name
        return cls

    def name_of(self, cls: type) -> str | None:
        """The event that a class stands for, or None for a class that is none of the plan's.

        Raises `CodeError` for a class whose fields are not those of the plan.
        """
        name = self._known.get(cls)
        if name is None and issubclass(cls, Event) and cls.__name__ in self._events:
            self._hold_against_plan(cls)
            name = self._known[cls] = cls.__name__
        return name

    def adopt_imported(self) -> None:
        """Use the event classes that have been imported so far, and the enums and records that
        their fields have: code says `event.sky is Sky.CLEAR`. Raises `CodeError`."""
        for cls in Event.__subclasses__():
            if cls.__module__ != DYNAMIC_MODULE and self.name_of(cls) is not None:
                self._imported[cls.__name__] = cls
                self._adopt_fields(cls)

    def _adopt_fields(self, cls: type[msgspec.Struct]) -> None:
        waiting = list(typing.get_type_hints(cls).values())
        while waiting:
            hint = waiting.pop()
            waiting += typing.get_args(hint)
            if not isinstance(hint, type):
                continue
            if issubclass(hint, enum.StrEnum) and hint.__name__ in self._enums:
                self._enums[hint.__name__] = hint
            elif issubclass(hint, Record) and self._records.get(hint.__name__, hint) is not hint:
                self._records[hint.__name__] = hint
                waiting += typing.get_type_hints(hint).values()

    def lookup(self, name: str) -> type[Any]:
        """An event's, struct's or enum's class. Raises `KeyError`."""
        if name in self._events:
            return self.made(name)
        found: type[Any] | None = self._records.get(name) or self._enums.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def names(self) -> list[str]:
        """All that `lookup` knows, sorted."""
        return sorted(n for n in (*self._events, *self._records, *self._enums) if "." not in n)

    def python_type(self, declared: TypePlan) -> Any:
        """The annotation for a declared type, of the classes made here."""
        kind = declared.kind
        args = [self.python_type(a) for a in declared.args]
        found: Any
        if kind == "list":
            found = list[args[0]]  # type: ignore[valid-type]
        elif kind == "map":
            found = dict[args[0], args[1]]  # type: ignore[valid-type]
        elif kind == "struct":
            found = self._record(declared.name)
        elif kind == "enum":
            found = self._enums[declared.name]
        else:
            found = SCALAR_TYPES[kind]
        return found | None if declared.optional else found

    def record_maker(self, name: str) -> Callable[..., Record]:
        """From a struct's values, in the order of the declaration, to an object of it."""
        return maker(self._record(name))

    def _record(self, name: str) -> type[Record]:
        cls = self._records.get(name)
        if cls is None:
            cls = self._struct(name, self.plan.structs[name], Record, "")
            self._records[name] = cls
        return cls

    def _struct(self, name: str, fields: tuple[FieldPlan, ...], base: type[S], doc: str) -> type[S]:
        specs: list[Any] = []
        for field in fields:
            spec = (attribute_name(field.name), self.python_type(field.type))
            specs.append((*spec, None) if field.type.optional else spec)
        made = msgspec.defstruct(
            name, specs, bases=(base,), module=DYNAMIC_MODULE, frozen=True, gc=False,
            kw_only=keyword_only(fields), namespace={"__doc__": doc or None},
        )  # fmt: skip
        return typing.cast("type[S]", made)

    def _hold_against_plan(self, cls: type[Event]) -> None:
        module = sys.modules.get(cls.__module__)
        if getattr(module, "SCHEMA", None) == schema_hash(self.plan):
            return
        why = self._difference(cls, self.plan.event(cls.__name__).fields, set())
        if why is not None:
            file = getattr(module, "__file__", None) or cls.__module__
            raise CodeError(
                f"{file} is older than the declaration: {why}; write it again with `flowc types`"
            )

    def _difference(
        self, cls: type[msgspec.Struct], fields: tuple[FieldPlan, ...], seen: set[type]
    ) -> str | None:
        """How a class differs from what is declared, or None."""
        seen.add(cls)
        declared = {attribute_name(f.name): f.type for f in fields}
        if list(cls.__struct_fields__) != list(declared):
            found = ", ".join(cls.__struct_fields__) or "none"
            return f"{cls.__name__} has the fields {found}, not {', '.join(declared) or 'none'}"
        hints = typing.get_type_hints(cls)
        for name, kind in declared.items():
            if not self._same(hints[name], kind, seen):
                found, text = _hint_text(hints[name]), kind.text
                if kind.kind == "enum":
                    text += f" {{ {' '.join(self.plan.enums[kind.name])} }}"
                return f"{cls.__name__}.{name} is {found}, declared {text}"
        return None

    def _same(self, hint: Any, declared: TypePlan, seen: set[type]) -> bool:
        arms = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        if (types.NoneType in arms) != declared.optional:
            return False
        arms = tuple(a for a in arms if a is not types.NoneType)
        if len(arms) != 1:
            return False
        bare, kind = arms[0], declared.kind
        if kind in {"list", "map"}:
            wanted = list if kind == "list" else dict
            args = typing.get_args(bare)
            return (
                typing.get_origin(bare) is wanted
                and len(args) == len(declared.args)
                and all(self._same(a, d, seen) for a, d in zip(args, declared.args, strict=True))
            )
        if kind == "struct":
            fields = self.plan.structs[declared.name]
            return (
                isinstance(bare, type)
                and issubclass(bare, Record)
                and bare.__name__ == declared.name
                and (bare in seen or self._difference(bare, fields, seen) is None)
            )
        if kind == "enum":
            members = list(self.plan.enums[declared.name])
            return (
                isinstance(bare, type) and issubclass(bare, enum.StrEnum) and list(bare) == members
            )
        return bare is SCALAR_TYPES[kind]


def _enum(name: str, members: tuple[str, ...]) -> type[enum.StrEnum]:
    # A functional call of an enum class is a new class; type checkers take it for a member.
    make: Any = enum.StrEnum
    return typing.cast(
        "type[enum.StrEnum]", make(name, [(m, m) for m in members], module=DYNAMIC_MODULE)
    )


def maker(cls: type[S]) -> Callable[..., S]:
    """A function that takes the values of all fields by position: the class, if it does."""
    by_name = inspect.Parameter.KEYWORD_ONLY
    if all(p.kind != by_name for p in inspect.signature(cls).parameters.values()):
        return cls
    names = cls.__struct_fields__
    assert all(name.isidentifier() for name in names), names
    given = ",".join(f"{name}={name}" for name in names)
    made = eval(f"lambda {','.join(names)}: cls({given})", {"cls": cls})  # noqa: S307 - as asserted
    return typing.cast("Callable[..., S]", made)


def keyword_only(fields: tuple[FieldPlan, ...]) -> bool:
    """Whether a field with a default stands before one without: then all are keyword only."""
    optional = [f.type.optional for f in fields]
    return optional != sorted(optional)


def _hint_text(hint: Any) -> str:
    if isinstance(hint, type) and issubclass(hint, enum.StrEnum):
        return f"{hint.__name__} {{ {' '.join(hint)} }}"
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)


_current: Classes | None = None


def use_plan(plan: Plan) -> Classes:
    """Make `plan` the one of this process: `flowc.events` gives its classes.

    A service process does it itself; a test of service code may.
    """
    global _current  # noqa: PLW0603 - a process has one plan
    if _current is None or _current.plan != plan:
        _current = Classes(plan)
    return _current


def current() -> Classes:
    """The classes of this process's plan. Raises `NoPlanError`."""
    if _current is None:
        raise NoPlanError(
            "flowc.events has classes only inside a service process; to import event classes "
            "elsewhere, write a module with `flowc types`"
        )
    return _current
