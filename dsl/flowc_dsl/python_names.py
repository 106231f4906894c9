"""Names: from the declaration to Python."""

from __future__ import annotations

import keyword
import re

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(name: str) -> str:
    """`OrderPlaced` → `order_placed`, `HTTPFailed` → `http_failed`."""
    return _WORD_START.sub("_", name).lower()


def handler_name(event: str) -> str:
    """What the handler of an event is called in code, unless the declaration names it."""
    return f"on_{snake_case(event)}"


def attribute_name(field: str) -> str:
    """A field's name in Python: a keyword gets an underscore behind it."""
    return f"{field}_" if keyword.iskeyword(field) else field
