"""`make chaos`: `docs/guarantees.md`, from chapter 13 of the specification and what its tests kept.

With `--tests`, only names those tests, one a line.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.figures import FOLDER

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs/guarantees.md"
COLUMNS: Final = ("runs", "faults", "acknowledged", "lost", "doubled", "disordered", "recovery_ms")
_CLAUSE: Final = re.compile(r"- \*\*(13\.\d+)\*\* (.*?)(?=\n- \*\*|\n\n|\Z)", re.DOTALL)
_TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


class Guarantee(NamedTuple):
    """A clause of chapter 13 that names the tests which hold it: (file, function)."""

    clause: str
    text: str
    tests: list[tuple[str, str]]


def guarantees() -> list[Guarantee]:
    """In the order of the specification."""
    spec = (ROOT / "spec.md").read_text(encoding="utf-8")
    chapter = spec.partition("\n## 13 ")[2].partition("\n## ")[0]
    found = []
    for clause, text in _CLAUSE.findall(chapter):
        tests = _TEST.findall(text)
        if tests:
            promise = _TEST.sub("", text).partition("Held by")[0]
            found.append(Guarantee(clause, " ".join(promise.split()), tests))
    return found


def rows(folder: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What was kept, by clause, test function and what was done: the runs of a test are one row."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        one = json.loads(path.read_text(encoding="utf-8"))
        function = one["test"].rpartition("::")[2].partition("[")[0]
        key = (one["clause"], function, one["what"])
        found[key] = _together(found[key], one) if key in found else one
    return found


def _together(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    both = dict(a)
    for name in COLUMNS:
        known = [x[name] for x in (a, b) if x[name] is not None]
        if known:
            both[name] = max(known) if name == "recovery_ms" else sum(known)
    return both


def page(folder: Path) -> str:
    """The whole document. Raises `KeyError` for a guarantee of which nothing was kept."""
    kept = rows(folder)
    lines = [HEAD.format(machine=_machine())]
    for one in guarantees():
        functions = {function for _, function in one.tests}
        own = [r for (clause, f, _), r in kept.items() if clause == one.clause and f in functions]
        missing = functions - {f for clause, f, _ in kept if clause == one.clause}
        if missing:
            raise KeyError(f"{one.clause}: nothing was kept by {', '.join(sorted(missing))}")
        lines += [f"| **{one.clause}** | {one.text} | | | | | | | |"]
        lines += [f"| | {r['what']} | {_cells(r)} |" for r in own]
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any]) -> str:
    values: Iterable[int | None] = (row[name] for name in COLUMNS)
    return " | ".join("" if value is None else f"{value:,}" for value in values)


def _machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("pyzmq", "pyarrow", "duckdb"))
    memory, linux = psutil.virtual_memory().total / 2**30, platform.release().partition("-")[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Linux {linux}, Python {platform.python_version()}, {packages}"
    )


HEAD: Final = """# Guarantees

<!-- written by `make chaos`; a change here is lost -->

What flowc promises, with the figures of the tests that hold it: real processes, real files, real
signals. The clauses are chapter 13 of the [specification](../spec.md), which names the tests;
`make chaos` runs them and writes this page. The last time: {machine}.

*Acknowledged*: events of which the broker, or a command, had said that they are durable. *Lost*: of
these, how many are not there in the end, read from the journal by a reader that shares no code with
the engine, and from the log by SQL. *Doubled*: there more often than once, outputs of services
included. *Disordered*: behind a later event of their key. *Recovery*: the worst time in ms from a
fault to the next acknowledgement (13.5: to the next call of a handler); the machine may be busy.

| clause | what was done | runs | faults | acknowledged | lost | doubled | disordered | recovery |
| --- | --- | --: | --: | --: | --: | --: | --: | --: |"""


def main() -> None:
    """The command line."""
    if "--tests" in sys.argv:
        print(*sorted({f"{file}::{name}" for g in guarantees() for file, name in g.tests}))
    else:
        PAGE.write_text(page(FOLDER), encoding="utf-8")


if __name__ == "__main__":
    main()
