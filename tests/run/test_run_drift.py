"""What really ran, held against a declaration that has changed since (spec 3.28 to 3.30, 9.21)."""

import json
from pathlib import Path

import pytest

from support.tiny import FLOW, Tiny

EXPECTS = """
expect paid: Placed leads to Paid within 1m by k
expect few: at most 2 Paid by k
expect unseen: at most 1 Refused
"""
CHANGED = """
system Tiny
external event Placed key k { k: string  n: int }
event Paid key k { k: string  n: int }
event Refused key k { k: string  n: int }
service Pay { run python "app.pay" on Placed -> Refused? }
service Bill { run python "app.pay" on Refused -> Paid }
service Ship { run python "app.ship" on Paid | Refused }
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """21 events of 7 keys, each Placed and then Paid."""
    project = Tiny(tmp_path_factory.mktemp("drift") / "p")
    project.feed(21)
    project.summary()
    return project


def flowc(project: Tiny, flow: str, *args: str) -> tuple[int, str, str]:
    project.write("main.flow", flow)
    done = project.ask(*args)
    return done.exit_code, done.stdout, done.stderr


def test_what_is_declared_and_ran(ran: Tiny) -> None:
    code, out, _ = flowc(ran, FLOW, "drift", "main.flow", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["coverage"] == {"declared": 1, "seen": 1, "undeclared": 0}
    (edge,) = found["edges"]
    assert (edge["trigger"], edge["service"], edge["event"]) == ("Placed", "Pay", "Paid")
    assert (edge["count"], edge["state"]) == (21, "seen")
    assert found["events"] == {"Placed": 21, "Paid": 21}
    assert found["findings"] == []


def test_a_changed_declaration(ran: Tiny) -> None:
    code, out, err = flowc(ran, CHANGED, "drift", "main.flow")
    assert code == 1
    assert "coverage: 0 of 2 declared edges seen (0 %), 1 undeclared; 42 events" in out
    assert "warning[FLW801] `Pay` emitted `Paid` for `Placed`, which is not declared" in out
    assert "`flowc check main.flow --log` shows where" in err

    code, out, _ = flowc(
        ran, CHANGED, "check", "main.flow", "--log", "--output-format", "json", "--select", "FLW8"
    )
    assert code == 1
    found = {d["code"]: d for d in json.loads(out)["diagnostics"]}
    assert set(found) == {"FLW801", "FLW802"}
    assert found["FLW801"]["start"]["line"] == 6
    assert (
        "`Pay` never emitted `Refused` for `Placed`, of which there are 21"
        in found["FLW802"]["message"]
    )


def test_what_is_of_the_past_is_left_out(ran: Tiny) -> None:
    code, out, _ = flowc(ran, CHANGED, "drift", "main.flow", "--from", "42")
    assert (code, "0 events looked at" in out) == (0, True)


def test_expectations_over_a_real_run(ran: Tiny) -> None:
    flow = FLOW + "exported event Refused { why: string }" + EXPECTS
    args = (
        "check",
        "main.flow",
        "--log",
        "--output-format",
        "concise",
        "--select",
        "FLW804,FLW904",
    )
    code, out, _ = flowc(ran, flow, *args)
    assert code == 1
    assert "error[FLW804] expectation `few` did not hold 7 times" in out
    assert "expectation `paid`" not in out
    assert "error[FLW804] expectation `unseen`" not in out


def test_an_exemption_of_what_only_a_log_tells(ran: Tiny) -> None:
    rules = 'rules { allow FLW801 on Pay because "we moved to Bill" }\n'
    _, out, _ = flowc(ran, CHANGED + rules, "check", "main.flow", "--output-format", "concise")
    assert "FLW902" not in out, "no log was read"
    _, out, _ = flowc(
        ran, CHANGED + rules, "check", "main.flow", "--log", "--output-format", "concise"
    )
    assert "FLW801" not in out
    assert "FLW902" not in out
    rules = rules.replace("on Pay", "on Bill")
    _, out, _ = flowc(
        ran, CHANGED + rules, "check", "main.flow", "--log", "--output-format", "concise"
    )
    assert "warning[FLW902] exemption of `FLW801` on `Bill` matches nothing" in out


def test_before_any_run(tmp_path: Path) -> None:
    project = Tiny(tmp_path / "p")
    for command in (["drift", "main.flow"], ["check", "main.flow", "--log"]):
        done = project.ask(*command)
        assert done.exit_code == 2
        assert "flowc run" in done.stderr


def test_a_state_that_can_not_be_read_is_no_fault_of_flowc(ran: Tiny) -> None:
    schemas = ran.state.schemas_file
    aside = schemas.rename(schemas.with_suffix(".aside"))
    schemas.mkdir()
    try:
        code, _, err = flowc(ran, FLOW, "check", "main.flow", "--log")
    finally:
        schemas.rmdir()
        aside.rename(schemas)
    assert code == 3
    assert "schemas.json" in err
    assert "FLW999" not in err


def test_what_is_stored_and_can_not_be_read_any_more(ran: Tiny) -> None:
    fields = "k: string  n: int"
    flow = FLOW.replace(
        f"event Paid key k {{ {fields} }}",
        f"event Paid v2 key k {{ {fields}  why: string  upcast v1 {{ }} }}",
    )
    code, out, _ = flowc(
        ran, flow, "check", "main.flow", "--log", "--output-format", "concise", "--select", "FLW407"
    )
    assert code == 1
    assert "error[FLW407] 21 stored events of `Paid` v1 can't be read as declared now" in out
    mended = flow.replace("upcast v1 { }", 'upcast v1 { why = "old" }')
    code, _, _ = flowc(ran, mended, "check", "main.flow", "--log", "--select", "FLW407")
    assert code == 0


def test_diff_decodes_what_is_stored(ran: Tiny) -> None:
    code, out, _ = flowc(ran, FLOW, "diff", "main.flow", "--log")
    assert (code, out) == (0, "all that is stored can be read as it is declared now\n")
    other = FLOW.replace("event Paid key k { k: string  n: int }", "event Paid key k { k: string }")
    code, out, _ = flowc(ran, other, "diff", "main.flow", "--log", "--output-format", "concise")
    assert code == 1
    assert "error[FLW407] 21 stored events of `Paid` v1 can't be read as declared now" in out
    code, out, _ = flowc(
        ran, other, "diff", "main.flow", "--log", "--against", "main.flow", "--json"
    )
    assert code == 1
    assert [one["code"] for one in json.loads(out)["stored"]] == ["FLW407"]
    code, _, err = flowc(ran, FLOW, "diff", "main.flow")
    assert code == 2
    assert "name what to compare with: --against REV, DIR or FILE; or --log" in err
