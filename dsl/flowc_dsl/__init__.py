"""The language of flowc: text in, values out. Nothing here touches files, clocks or sockets.

- `syntax`: text to tree; a tree always comes back
- `lower`: tree to model, in passes; `compile` drives both
- `graph`, `rules`, `check`: the model judged
- `session`: all of it for a program that is edited, where what did not change is kept
- `planning`: the model to a `plan`, which is all that an engine needs
- `format`, `draw`, `diagnostics`: text and pictures of it all

What is exported is imported on first use: a check must not wait for what it doesn't need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowc_dsl.check import Report, check_system
    from flowc_dsl.compile import Compilation, ProgramError, compile_program
    from flowc_dsl.plan import Plan
    from flowc_dsl.planning import make_plan, unsupported
    from flowc_dsl.session import Session

__all__ = [
    "Compilation",
    "Plan",
    "ProgramError",
    "Report",
    "Session",
    "check_system",
    "compile_program",
    "make_plan",
    "unsupported",
]


def __getattr__(name: str) -> object:
    from types import ModuleType  # noqa: PLC0415  # lazy: see above

    home: ModuleType
    if name in {"Report", "check_system"}:
        from flowc_dsl import check  # noqa: PLC0415  # lazy: see above

        home = check
    elif name in {"Compilation", "ProgramError", "compile_program"}:
        from flowc_dsl import compile as driver  # noqa: PLC0415  # lazy: see above

        home = driver
    elif name == "Plan":
        from flowc_dsl import plan  # noqa: PLC0415  # lazy: see above

        home = plan
    elif name in {"make_plan", "unsupported"}:
        from flowc_dsl import planning  # noqa: PLC0415  # lazy: see above

        home = planning
    elif name == "Session":
        from flowc_dsl import session  # noqa: PLC0415  # lazy: see above

        home = session
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(home, name)
    return found
