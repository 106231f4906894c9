"""The documents of the rules that need a log: their examples, over the log that they speak of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pyarrow as pa
import pytest

from flowc_dsl.check import Report, check_system
from flowc_dsl.compile import compile_program
from flowc_dsl.model import System
from flowc_dsl.planning import make_plan
from flowc_dsl.rules.registry import declared_rules
from flowc_engine.log.observe import observe
from support.journal import TIME_US
from support.logs import MemoryLog
from support.programs import TODAY

FOLDER = files("flowc_dsl") / "rules" / "docs"
SECOND_US = 1_000_000


def row(offset: int, source: str, after_s: int = 0, **more: object) -> dict[str, Any]:
    """An event of the order of its number, three to a log."""
    return {
        "_offset": offset, "_time": TIME_US + after_s * SECOND_US, "_source": source,
        "id": f"00000000-0000-0000-0000-00000000000{offset % 3}", **more,
    }  # fmt: skip


def paid(*after_s: int) -> Mapping[str, list[dict[str, Any]]]:
    """Three orders, and Payment took the money so many seconds later."""
    return {
        "OrderPlaced": [row(offset, "web") for offset in range(3)],
        "PaymentTaken": [
            row(3 + cause, "Payment", seconds, _cause=cause)
            for cause, seconds in enumerate(after_s)
        ],
    }


LOGS: dict[str, Mapping[str, list[dict[str, Any]]]] = {
    "FLW801": paid(0, 0, 0),
    "FLW802": paid(0, 0, 0),
    "FLW803": {
        "OrderPlaced": [
            row(offset, "web", payment=payment)
            for offset, payment in enumerate(("CHEQUE", "CARD", "CHEQUE"))
        ]
    },
    "FLW804": paid(9, 1, 4),
}


def block(document: str, heading: str, kind: str) -> str:
    section = document.split(f"## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    (found,) = re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)
    return found


def compiled(flow: str) -> System:
    found = compile_program({"main.flow": flow}, "main.flow")
    assert not found.diagnostics
    assert found.system is not None
    return found.system


def judged(flow: str, tables: Mapping[str, list[dict[str, Any]]], made_for: str) -> Report:
    """The report on `flow`, over a log that ran as `made_for`."""
    with MemoryLog(make_plan(compiled(made_for))) as log:
        for event, rows in tables.items():
            names = [name for name in rows[0] if not name.startswith("_")]
            log.add(event, rows, pa.schema([(name, pa.string()) for name in names]))
        observed = observe(log, compiled(flow))
    return check_system(compiled(flow), TODAY, observed=observed)


def test_each_rule_that_needs_a_log_is_here() -> None:
    """But 407, which is about the journal: `tests/engine/test_engine_stored.py`."""
    needing = {r.code for r in declared_rules().values() if r.needs == "log"}
    assert set(LOGS) == needing - {"FLW407"}


@pytest.mark.parametrize("code", LOGS)
def test_the_example_fires_over_its_log_and_the_alternative_does_not(code: str) -> None:
    document = (FOLDER / f"{code}.md").read_text(encoding="utf-8")
    example, instead = (block(document, h, "flow") for h in ("Example", "Use instead"))
    found = [d.message for d in judged(example, LOGS[code], example).diagnostics if d.code == code]
    assert found == [block(document, "Example", "text").rstrip("\n")]
    left = judged(instead, LOGS[code], example).diagnostics
    assert [d.code for d in left if d.level != "info" or d.code == code] == []


@pytest.mark.parametrize("code", LOGS)
def test_the_example_is_sound_without_a_log(code: str) -> None:
    document = (FOLDER / f"{code}.md").read_text(encoding="utf-8")
    report = check_system(compiled(block(document, "Example", "flow")), TODAY)
    assert not report.has_findings
