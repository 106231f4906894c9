"""The event classes of the running system: `from flowc.events import OrderPlaced`.

They are made from the plan of the service process that imports this module. For classes that
type checkers and editors know, write a module with `flowc types FILE`.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from flowc.classes import current


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    classes = current()
    try:
        return classes.lookup(name)
    except KeyError:
        near = get_close_matches(name, classes.names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        message = f"{classes.plan.system} declares no {name}{hint}"
        raise AttributeError(message, name=name) from None
