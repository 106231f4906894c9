"""What a handler declared that it emits, and whether it kept to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from flowc.classes import Classes
from flowc.errors import ContractError
from flowc_dsl.plan import OutputPlan

Groups = tuple[tuple[OutputPlan, ...], ...]
_MARKS = {"one": "", "maybe": "?", "any": "*"}


class Contract:
    """The outputs of one handler, called `handler` in messages (`Orders.on_stock_refused`)."""

    def __init__(self, handler: str, outputs: Groups, classes: Classes) -> None:
        self.handler = handler
        self.outputs = outputs
        self._classes = classes
        self._output = {o.event: o for group in outputs for o in group}
        self._group = {o.event: i for i, group in enumerate(outputs) for o in group}
        self._required = [all(o.many == "one" for o in group) for group in outputs]
        self.allowed: dict[type, str] = {}
        """Classes that may be emitted, and their events; filled when one is first met."""
        self.alone: dict[type, str] = {}
        """Those of which one, and nothing else, keeps the contract."""
        for name in self._output:
            self._allow(classes.event(name), name)
        self.may_be_silent = not any(self._required)

    def _allow(self, cls: type, name: str) -> None:
        self.allowed[cls] = name
        others = [r for i, r in enumerate(self._required) if i != self._group[name]]
        if not any(others):
            self.alone[cls] = name

    def knows(self, emitted: Any) -> bool:
        """Whether this may be emitted at all."""
        return type(emitted) in self.allowed or self._meet(type(emitted))

    def name_of(self, cls: type) -> str:
        """The event that `cls` stands for. Raises `ContractError` if it is not declared."""
        if cls not in self.allowed and not self._meet(cls):
            raise self.undeclared(cls)
        return self.allowed[cls]

    def _meet(self, cls: type) -> bool:
        """A class that was imported after the start may be one of the declared events too."""
        name = self._classes.name_of(cls)
        if name is None or name not in self._output:
            return False
        self._allow(cls, name)
        return True

    def undeclared(self, emitted: Any) -> ContractError:
        """The error for something that may not be emitted."""
        cls = emitted if isinstance(emitted, type) else type(emitted)
        if self._classes.name_of(cls) is None:
            what = f"{cls.__name__}, which is no event of {self._classes.plan.system}"
        else:
            what = f"{cls.__name__}, which it does not declare"
        return ContractError(f"{self.handler} emitted {what} ({self.declared()})")

    def count(self, emitted: Sequence[Any]) -> None:
        """Raises `ContractError` for too few or too many; all have been let through before."""
        counts: list[dict[str, int]] = [{} for _ in self.outputs]
        for event in emitted:
            name = self.allowed[type(event)]
            seen = counts[self._group[name]]
            seen[name] = seen.get(name, 0) + 1
        for group, seen in zip(self.outputs, counts, strict=True):
            why = self._miscount(group, seen)
            if why is not None:
                raise ContractError(f"{self.handler} emitted {why} ({self.declared()})")

    def silent(self) -> NoReturn:
        """Nothing was emitted where something has to be."""
        self.count(())
        raise AssertionError("a silent call keeps this contract")

    def _miscount(self, group: tuple[OutputPlan, ...], seen: dict[str, int]) -> str | None:
        if len(seen) > 1:
            return f"{' and '.join(seen)}, of which it may emit only one"
        for name, count in seen.items():
            if count > 1 and self._output[name].many != "any":
                return f"{count} {name}, of which it may emit one"
        if not seen and all(o.many == "one" for o in group):
            return f"no {' or '.join(o.event for o in group)}"
        return None

    def declared(self) -> str:
        """`it declares A | B, C?`."""
        groups = (" | ".join(f"{o.event}{_MARKS[o.many]}" for o in g) for g in self.outputs)
        return f"it declares {', '.join(groups) or 'no outputs'}"
