"""FLW407: everything that is stored is read as the program declares it now (spec 4.21)."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flowc_dsl.compile import compile_program
from flowc_dsl.model import System
from flowc_dsl.planning import make_plan
from flowc_dsl.rules.stored import NOT_DECODABLE, NotDecodable
from flowc_engine.bus import wire
from flowc_engine.journal import record as rec
from flowc_engine.schema import wire_schema
from flowc_engine.state import StateDir
from flowc_engine.stored import stored_faults
from flowc_engine.supervisor.compat import adopt_plan
from support.journal import TIME_US, JournalBuilder
from support.runs import Run

FIRST = """
system Shop
enum Color {{ RED BLUE }}
type Line {{ sku: string  color: Color? }}
external event Paid key id {{ id: string  amount: int  color: Color }}
external event Sent {version} key id {{ id: string  lines: list<Line>  {more} }}
service Ledger {{ run mock  on Paid  on Sent }}
"""


def system(text: str) -> System:
    made = compile_program({"main.flow": text}, "main.flow").system
    assert made is not None
    return made


def first(version: str = "v1", more: str = "") -> str:
    return FIRST.format(version=version, more=more)


def paid(id_: str, color: str = "RED") -> dict[str, Any]:
    return {"id": id_, "amount": 1, "color": color}


def store(folder: Path, text: str, **events: list[dict[str, Any]]) -> StateDir:
    """A state in which these were stored with the program `text`."""
    state = StateDir(folder, "Shop")
    state.create()
    plan = make_plan(system(text))
    with state.lock():
        adopt_plan(state, plan)
        journal = JournalBuilder(state.journal, plan)
        for event, rows in events.items():
            journal.emit(event, *rows)
        journal.close()
    return state


def told(faults: list[NotDecodable]) -> list[str]:
    return [NOT_DECODABLE.diagnostic(fault).message for fault in faults]


def test_what_can_be_lifted_is_no_fault_and_progress_is_told(tmp_path: Path) -> None:
    sent = {"id": "s", "lines": [{"sku": "a", "color": "BLUE"}, {"sku": "b", "color": None}]}
    state = store(tmp_path, first(), Paid=[paid("a"), paid("b")], Sent=[sent])
    seen: list[tuple[int, int]] = []
    new = first("v2", "at: timestamp?")
    before = {
        p: p.read_bytes() for p in state.path.rglob("*") if p.is_file() and p != state.lock_file
    }
    assert stored_faults(state, system(new), lambda *done: seen.append(done)) == []
    assert seen[-1] == (3, 3)
    after = {
        p: p.read_bytes() for p in state.path.rglob("*") if p.is_file() and p != state.lock_file
    }
    assert after == before


def test_a_system_that_never_ran_has_no_faults(tmp_path: Path) -> None:
    assert stored_faults(StateDir(tmp_path, "Shop"), system(first())) == []
    assert not (tmp_path / ".flow").exists()


def test_each_event_and_version_is_one_finding_with_its_count(tmp_path: Path) -> None:
    store(tmp_path, first(), Paid=[paid("a"), paid("b")])
    second = first().replace("event Paid key id", "event Paid v2 key id").replace(
        "amount: int", "amount: float"
    )  # fmt: skip
    state = store(tmp_path, second, Paid=[paid("c")], Sent=[{"id": "s", "lines": []}])
    third = second.replace("Paid v2", "Paid v3").replace("amount: float", "cents: int")
    faults = stored_faults(state, system(third))
    assert told(faults) == [
        ("2 stored events of `Paid` v1 can't be read as declared now: v1 has no cents, which is "
        "not optional"),
        ("1 stored event of `Paid` v2 can't be read as declared now: v2 has no cents, which is "
        "not optional"),
    ]  # fmt: skip
    assert [fault.offset for fault in faults] == [0, 2]
    assert faults[0].help == (
        "write `upcast v1 { rename amount to cents }` if `amount` became `cents`, else `cents = …`"
    )
    shown = NOT_DECODABLE.diagnostic(faults[0])
    assert (shown.code, shown.level, shown.subjects) == ("FLW407", "error", ("Paid",))
    assert third[shown.primary.span.start : shown.primary.span.end] == "Paid"


def test_an_event_that_is_gone_points_at_the_system(tmp_path: Path) -> None:
    state = store(tmp_path, first(), Sent=[{"id": "s", "lines": []}])
    new = re.sub(r"external event Sent.*", "", first()).replace("on Sent", "")
    [fault] = stored_faults(state, system(new))
    assert fault.why == "v1 is stored, and it is no longer declared"
    assert fault.at == system(new).span


def test_values_are_held_against_their_types(tmp_path: Path) -> None:
    """The engine lets no such event in; a file may come from elsewhere."""
    lines = [{"sku": "a", "color": "RED"}, {"sku": "b", "color": "MAUVE"}]
    state = store(
        tmp_path, first(), Paid=[paid("a"), paid("b", "PINK"), paid("c", "TEAL")],
        Sent=[{"id": "s", "lines": lines}],
    )  # fmt: skip
    assert told(stored_faults(state, system(first()))) == [
        ("2 stored events of `Paid` v1 can't be read as declared now: color holds 'PINK', which is "
        "no Color"),
        ("1 stored event of `Sent` v1 can't be read as declared now: lines holds 'MAUVE', which is "
        "no Color"),
    ]  # fmt: skip


def test_a_batch_that_is_damaged_is_one_finding(tmp_path: Path) -> None:
    state = store(tmp_path, first(), Paid=[paid("a")])
    journal = JournalBuilder(state.journal, make_plan(system(first())))
    entry = rec.SourceEvents(TIME_US, [wire.Batch("Paid", 2)], [4], "feed", 1, 1)
    journal.append(entry, [b"junk"], 2)
    journal.close()
    [fault] = stored_faults(state, system(first()))
    assert (fault.count, fault.offset) == (2, 1)
    assert "a batch is damaged" in fault.why


def test_the_state_of_a_run_that_is_up_is_read_as_far_as_it_is_durable(tmp_path: Path) -> None:
    plan = make_plan(system(first()))
    with Run(tmp_path, plan) as run:
        adopt_plan(run.state, plan)
        run.start_broker()
        source = run.source()
        schema = wire_schema(plan, "Paid")
        row = {"_time": 0, "_cause": None, "_root": None, "_partition": 0}
        source.publish("Paid", pa.RecordBatch.from_pylist([row | paid("a")], schema))
        seen: list[tuple[int, int]] = []
        new = first().replace("Paid key id", "Paid v2 key id").replace("amount", "cents")
        [fault] = stored_faults(run.state, system(new), lambda *done: seen.append(done))
        source.close()
    assert (fault.count, fault.offset, seen[-1]) == (1, 0, (1, 1))


def block(heading: str) -> str:
    text = (files("flowc_dsl") / "rules/docs/FLW407.md").read_text()
    found = re.search(rf"## {heading}\n+```flow\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize(("heading", "count"), [("Before", 0), ("Example", 1), ("Use instead", 0)])
def test_the_examples_of_its_document(tmp_path: Path, heading: str, count: int) -> None:
    row = {"id": "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11", "amount": 7}
    state = store(tmp_path, block("Before"), PaymentTaken=[row])
    assert len(stored_faults(state, system(block(heading)))) == count
