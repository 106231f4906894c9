"""The passes, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flowc_dsl.lower.expectations import lower_expectations
from flowc_dsl.lower.imports import load_files
from flowc_dsl.lower.items import lower_items
from flowc_dsl.lower.laws import lower_laws
from flowc_dsl.lower.names import declare_names
from flowc_dsl.lower.resolve import resolve_names
from flowc_dsl.lower.types import lower_types
from flowc_dsl.lower.work import Work

PASSES: Final[tuple[tuple[str, Callable[[Work], None]], ...]] = (
    ("loading files", load_files),
    # all names, before anything may refer to one
    ("declaring names", declare_names),
    # types before events, whose keys depend on them
    ("lowering types", lower_types),
    ("lowering events and services", lower_items),
    ("lowering rules", lower_laws),
    # samples are compared with events and types
    ("lowering expectations", lower_expectations),
    # last: every place that refers to a name is known now
    ("resolving names", resolve_names),
)
