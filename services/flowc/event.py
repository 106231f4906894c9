"""`Event`, the base of all event classes."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """The base of event classes, which `flowc types` writes, or flowc makes from the declaration.

    Events are values: frozen, compared by their fields. Build them with keywords.
    """


class Record(msgspec.Struct, frozen=True, gc=False):
    """The base of classes for declared types (`type Line { … }`)."""
