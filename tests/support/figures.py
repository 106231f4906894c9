"""What a test of a guarantee did and found, kept for `docs/guarantees.md`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build/chaos"


@dataclass(frozen=True)
class Figures:
    """One row: `what` was done, in a few words, and what came of it. None: does not apply.

    `acknowledged`: events of which the broker had said that they are durable. `recovery_ms`: the
    worst time from a fault to the next acknowledgement.
    """

    what: str
    runs: int
    faults: int
    acknowledged: int | None = None
    lost: int | None = None
    doubled: int | None = None
    disordered: int | None = None
    recovery_ms: int | None = None


def record(clause: str, figures: Figures) -> None:
    """Keep the figures of the test that runs now, for a clause of chapter 13."""
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
    FOLDER.mkdir(parents=True, exist_ok=True)
    name = test.rpartition("::")[2].replace("/", "-")
    found = {"clause": clause, "test": test, **asdict(figures)}
    (FOLDER / f"{clause}-{name}.json").write_text(json.dumps(found, indent=2) + "\n")
