"""Which findings `flowc check` reports, and at which level."""

import json
from pathlib import Path

import pytest

from flowc_dsl.codes import UnknownCodeError, known_codes, prefixes, whole_code
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label, Level
from flowc_dsl.diagnostics.policy import Policy
from flowc_dsl.source import Span
from support.invoking import flowc

TEXT = """system Shop
event Paid key id { id: uuid }
event Lost key id { id: uuid }
external event Sent key id { id: uuid }
rules { allow FLW204 on Ledger because "never true" }
service Ledger { on Paid }
"""  # 202 error, 203 and 201 and 902 warnings


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.flow").write_text(TEXT)
    return tmp_path


def codes(*args: str) -> dict[str, str]:
    done = flowc("check", "--output-format", "json", *args)
    assert done.stdout, done.stderr
    return {d["code"]: d["level"] for d in json.loads(done.stdout)["diagnostics"]}


def test_select_takes_codes_and_prefixes(here):
    assert set(codes()) == {"FLW201", "FLW202", "FLW203", "FLW902"}
    assert set(codes("--select", "FLW203,FLW9")) == {"FLW203", "FLW902"}
    assert set(codes("--select", "201", "--select", "flw202")) == {"FLW201", "FLW202"}
    assert set(codes("--select", "FLW2", "--ignore", "FLW202")) == {"FLW201", "FLW203"}


def test_the_exit_code_is_that_of_what_is_left(here):
    assert flowc("check", "--select", "FLW1").exit_code == 0
    assert flowc("check", "--select", "FLW203").exit_code == 1


def test_what_is_ignored_by_family_keeps_its_faults_of_text(here):
    assert set(codes("--ignore", "FLW")) == {"FLW902"}


def test_broken_text_is_never_clean(here):
    (here / "shop.flow").write_text("system Shop\nservice {")
    assert flowc("check", "--select", "FLW2").exit_code == 1
    assert codes("--select", "FLW2")


@pytest.mark.parametrize(
    ("option", "code", "said"),
    [
        ("--select", "FLW2O1", "--select: no code begins with `FLW2O1`; did you mean `FLW201`?"),
        ("--select", "FLW44", "no code begins with `FLW44`"),
        ("--ignore", "unused", "no code begins with `unused`; `flowc explain` lists all codes"),
        ("--ignore", "FLW902", "FLW902 can't be ignored"),
        ("--ignore", "FLW0", "FLW0 can't be ignored"),
    ],
)
def test_codes_that_can_not_be_meant_are_two(here, option, code, said):
    done = flowc("check", option, code)
    assert done.exit_code == 2
    assert said in done.stderr


def test_levels_of_flow_toml(here):
    (here / "flow.toml").write_text(
        '[levels]\nFLW201 = "error"\nFLW202 = "info"\nflw203 = "off"\nFLW902 = "error"\n'
    )
    assert codes() == {"FLW201": "error", "FLW202": "info", "FLW902": "error"}
    (here / "flow.toml").write_text('[levels]\nFLW201 = "info"\nFLW202 = "info"\nFLW203 = "off"\n')
    done = flowc("check", "--select", "FLW2")
    assert done.exit_code == 0, done.output


def test_levels_belong_to_their_root(here):
    for name in ("a", "b"):
        (here / name).mkdir()
        (here / name / "shop.flow").write_text(TEXT)
    (here / "shop.flow").unlink()
    (here / "a/flow.toml").write_text('[levels]\nFLW203 = "off"\n')
    lines = flowc("check", "--output-format", "concise").stdout.splitlines()
    assert [line.split(":")[0] for line in lines if "FLW203" in line] == ["b/shop.flow"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('\n[levels]\nFLW2O1 = "off"\n', "flow.toml:3: unknown code `FLW2O1`; did you mean"),
        ('[levels]\nFLW2 = "off"\n', "flow.toml:2: unknown code `FLW2`"),
        ('[levels]\nFLW201 = "none"\n', "flow.toml:2: the level of FLW201 is one of"),
        ("[levels]\nFLW201 = 3\n", "flow.toml:2: the level of FLW201 is one of"),
        ('[levels]\nFLW902 = "info"\n', 'flow.toml:2: FLW902 can only be raised to "error"'),
        ('[levels]\nFLW207 = "off"\n', "flow.toml:2: FLW207 can only be raised"),
        ("levels = 1\n", "flow.toml:1: `levels` is no table"),
        ('[levls]\nFLW201 = "off"\n', "flow.toml:1: unknown key `levls`; did you mean `levels`?"),
    ],
)
def test_levels_that_can_not_be_are_two_with_their_line(here, text, said):
    (here / "flow.toml").write_text(text)
    done = flowc("check")
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_lowered_error_still_stops_a_run(here):
    (here / "flow.toml").write_text('[levels]\nFLW202 = "off"\n')
    done = flowc("run", "shop.flow", "--until-idle")
    assert done.exit_code == 1
    assert "FLW202" in done.stderr


def test_codes_in_one_spelling():
    assert whole_code(" 101 ") == "FLW101"
    assert prefixes(["FLW1, 2", ""]) == ("FLW1", "FLW2")
    assert {"FLW001", "FLW101", "FLW903", "FLW999"} <= known_codes()
    with pytest.raises(UnknownCodeError, match="did you mean `FLW201`"):
        whole_code("FLW210")


@pytest.mark.parametrize("code", ["FLW001", "FLW207", "FLW901", "FLW999"])
def test_a_policy_never_lowers_what_is_fixed(code):
    error = Diagnostic(code, Level.ERROR, "m", Label(Span("a", 0, 0)))
    policy = Policy({code: None}, ignore=("FLW",))
    assert policy.apply([error]) == (error,)


LOADED = """system Shop
external event Placed key id rate 60/s { id: uuid }
service Bank { on Placed takes constant(10ms) }
"""


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("", {}),
        ("[thresholds]\nutilisation = 0.5\n", {"FLW508": "info"}),
        ('[thresholds]\nutilisation = 0.5\n[levels]\nFLW508 = "error"\n', {"FLW508": "error"}),
    ],
)
def test_thresholds_of_flow_toml(here, toml, said):
    (here / "shop.flow").write_text(LOADED)
    (here / "flow.toml").write_text(toml)
    assert {c: level for c, level in codes().items() if c == "FLW508"} == said


def test_a_threshold_that_can_not_be_is_two_with_its_line(here):
    (here / "flow.toml").write_text("[thresholds]\nutilization = 0.5\n")
    done = flowc("check")
    assert done.exit_code == 2
    assert (
        "flow.toml:2: unknown threshold `utilization`; did you mean `utilisation`?" in done.stderr
    )
