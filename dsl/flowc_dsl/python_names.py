"""Names: from the declaration to Python."""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING

from flowc_dsl.rules.wording import duration

if TYPE_CHECKING:
    from flowc_dsl.model import Handler

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(name: str) -> str:
    """`OrderPlaced` → `order_placed`, `HTTPFailed` → `http_failed`."""
    return _WORD_START.sub("_", name).lower()


def handler_name(event: str) -> str:
    """What the handler of an event is called in code, unless the declaration names it."""
    return f"on_{snake_case(event)}"


def waiting_name(handler: Handler) -> str:
    """The function of a handler that waits for time or for a partner: `as NAME`, else
    `after_order_placed`, `on_order_placed_and_payment_taken`, `every_5s`.
    """
    if handler.name is not None:
        return handler.name.name
    # Joined for `after` too: one whose event could not be read has none, and still needs a name.
    triggers = "_and_".join(snake_case(trigger.name) for trigger in handler.triggers)
    match handler.kind:
        case "after":
            return f"after_{triggers}"
        case "join":
            return f"on_{triggers}"
        case _:
            return f"every_{duration(handler.period_ms or 0)}"


def function_names(handler: Handler) -> list[str]:
    """The functions that are a handler's code: one, or one for each trigger."""
    if handler.kind != "on" or handler.name is not None:
        return [waiting_name(handler)]
    return [handler_name(trigger.name) for trigger in handler.triggers]


def attribute_name(field: str) -> str:
    """A field's name in Python: a keyword gets an underscore behind it."""
    return f"{field}_" if keyword.iskeyword(field) else field
