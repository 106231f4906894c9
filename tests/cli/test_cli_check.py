"""`flowc check` and `flowc explain`, as a user meets them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowc_engine.cli import COMMANDS
from support.invoking import flowc

CLEAN = "system Shop\nexternal event Paid key id { id: uuid }\nservice Ledger { on Paid }\n"
WARNS = "system Shop\nexternal event Paid key id { id: uuid }\n"
FAULTY = "system Shop\nevent Paid key id { id: uuid }\nservice Ledger { on Paid }\n"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_clean_is_zero_and_says_what_was_looked_at(here):
    write(here / "shop.flow", CLEAN)
    done = flowc("check", "shop.flow")
    assert done.exit_code == 0
    assert "shop.flow: 1 service, 1 event, 1 handler, 1 edge, no findings" in done.stdout


@pytest.mark.parametrize(("text", "code"), [(WARNS, "FLW201"), (FAULTY, "FLW202")])
def test_findings_are_one(here, text, code):
    write(here / "shop.flow", text)
    done = flowc("check", "shop.flow")
    assert done.exit_code == 1
    assert f"[{code}]" in done.stdout
    assert f"flowc explain {code}" in done.stdout


def test_json_has_the_promised_shape(here):
    write(here / "shop.flow", FAULTY)
    done = flowc("check", "shop.flow", "--output-format", "json")
    document = json.loads(done.stdout)
    assert document["format_version"] == "1.0"
    assert document["summary"] == {
        "services": 1,
        "events": 1,
        "handlers": 1,
        "edges": 1,
        "errors": 1,
        "warnings": 0,
        "infos": 0,
        "baselined": 0,
    }
    (found,) = document["diagnostics"]
    assert (found["code"], found["level"], found["path"]) == ("FLW202", "error", "shop.flow")
    assert "`Paid`" in found["message"]
    assert found["start"] == {"line": 2, "column": 7}
    assert found["end"] == {"line": 2, "column": 11}
    assert found["related"][0]["start"] == {"line": 3, "column": 21}
    assert found["help"]


def test_concise_is_one_line_each_on_stdout_and_prose_on_stderr(here):
    write(here / "shop.flow", FAULTY)
    done = flowc("check", "shop.flow", "--output-format", "concise")
    assert done.stdout.startswith("shop.flow:2:7: error[FLW202] ")
    assert done.stdout.count("\n") == 1
    assert "1 error" in done.stderr


TASTE = """system Shop
external event Cart key id { id: uuid }
event Feed key id { id: uuid }
event Need key id { id: uuid }
exported event Told key id { id: uuid }
service Orders { on Cart -> Feed, Need, Told }
service Ledger { on Feed | Need }
"""


@pytest.mark.parametrize("style", ["full", "concise"])
def test_infos_take_one_line_a_code_and_change_no_exit_code(here, style):
    write(here / "shop.flow", TASTE)
    done = flowc("check", "shop.flow", "--output-format", style)
    assert done.exit_code == 0
    lines = [line for line in done.stdout.splitlines() if "info[" in line]
    assert [line.partition(" ")[2] for line in lines] == [
        "info[FLW601] the name of event `Feed` does not say what has happened, and 1 more (--info)",
        "info[FLW606] exported event `Told` has no doc",
    ]
    all_ = flowc("check", "shop.flow", "--output-format", style, "--info").stdout
    assert all_.count("info[FLW601]") == 2
    document = json.loads(flowc("check", "shop.flow", "--output-format", "json").stdout)
    assert len(document["diagnostics"]) == document["summary"]["infos"] == 3


def test_without_paths_the_folder_is_searched_for_main_files(here):
    write(here / "a/shop.flow", 'system A\nimport "parts/events.flow"\nservice S { on Paid }\n')
    write(here / "a/parts/events.flow", "external event Paid key id { id: uuid }\n")
    write(here / "b/other.flow", CLEAN.replace("Shop", "B"))
    write(here / ".venv/x.flow", FAULTY)
    write(here / "node_modules/x.flow", FAULTY)
    write(here / "lonely.flow", "event Nobody {}\n")
    done = flowc("check")
    assert done.exit_code == 0, done.output
    assert "2 systems: 2 services" in done.stdout
    assert "lonely.flow is not checked" in done.stderr


def test_systems_are_reported_together_with_paths_from_here(here):
    write(here / "a/shop.flow", FAULTY)
    write(here / "b/shop.flow", FAULTY)
    document = json.loads(flowc("check", "a", "b", "--output-format", "json").stdout)
    assert [d["path"] for d in document["diagnostics"]] == ["a/shop.flow", "b/shop.flow"]
    assert document["summary"]["errors"] == 2
    assert document["summary"]["services"] == 2


def test_standard_input(here):
    done = flowc("check", "-", input=FAULTY)
    assert done.exit_code == 1
    assert "<stdin>:2:7" in done.stdout


def test_standard_input_imports_from_the_current_folder(here):
    write(here / "parts/events.flow", "external event Paid key id { id: uuid }\n")
    text = 'system A\nimport "parts/events.flow"\nservice S { on Paid }\n'
    assert flowc("check", "-", input=text).exit_code == 0


@pytest.mark.parametrize("args", [["nowhere.flow"], ["--output-format", "xml"], ["--bogus"]])
def test_usage_and_unreadable_input_are_two(here, args):
    done = flowc("check", *args)
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_an_empty_folder_is_two(here):
    done = flowc("check")
    assert done.exit_code == 2
    assert "no .flow file" in done.stderr


def test_an_unreadable_file_is_two_with_its_path(here):
    (here / "shop.flow").symlink_to("shop.flow")
    done = flowc("check", "shop.flow", "--output-format", "json")
    assert done.exit_code == 2
    (found,) = json.loads(done.stdout)["diagnostics"]
    assert (found["code"], found["path"]) == ("FLW008", "shop.flow")
    assert flowc("check").exit_code == 2


def test_a_pipe_in_a_folder_is_not_waited_for(here):
    write(here / "shop.flow", CLEAN)
    os.mkfifo(here / "pipe.flow")
    done = flowc("check", ".")
    assert done.exit_code == 2
    assert "pipe.flow`: it is no regular file" in done.stdout


def test_a_file_that_is_too_large_is_two_and_says_what_to_do(here):
    write(here / "large.flow", CLEAN + "// \n" * 300_000)
    done = flowc("check", "large.flow", "--output-format", "concise")
    assert done.exit_code == 2
    assert "FLW005" in done.stdout


def test_an_output_that_is_full_is_three_in_one_line(here):
    write(here / "shop.flow", WARNS)
    with Path("/dev/full").open("w") as full:
        for args in (["check", "shop.flow"], ["--version"]):
            done = subprocess.run(
                [sys.executable, "-c", "from flowc_engine.cli import main; main()", *args],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=30,
                check=False,
            )
            assert (done.returncode, done.stderr) == (3, "error: stdout: No space left on device\n")


def test_a_fault_of_ours_is_a_diagnostic_and_three(here, monkeypatch):
    write(here / "shop.flow", CLEAN)

    def broken(*_args, **_more):
        raise KeyError("inside")

    monkeypatch.setattr("flowc_engine.cli.checking.check_system", broken)
    done = flowc("check", "shop.flow")
    assert done.exit_code == 3
    assert "FLW999" in done.stdout
    assert "KeyError" in done.stdout


def test_an_exemption_expires_as_of_the_day_given(here):
    rules = 'rules { allow FLW201 on Paid because "soon" until 2026-06-30 }\n'
    write(here / "shop.flow", WARNS + rules)
    assert flowc("check", "shop.flow", "--today", "2026-06-30").exit_code == 0
    done = flowc("check", "shop.flow", "--today", "2026-07-01", "--output-format", "json")
    assert [d["code"] for d in json.loads(done.stdout)["diagnostics"]] == ["FLW201", "FLW901"]


def test_color_follows_the_flag_and_no_color(here, monkeypatch):
    write(here / "shop.flow", FAULTY)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in flowc("check", "shop.flow").stdout
    assert "\x1b[" in flowc("check", "shop.flow", "--color", "always").stdout


def test_ascii_output_where_the_encoding_has_no_more(here):
    write(here / "shop.flow", CLEAN + 'service Other { run exec "\u6ce8" on Paid }\n')
    command = [sys.executable, "-c", "from flowc_engine.cli import main; main()", "check"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run([*command, "shop.flow"], capture_output=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"ok shop.flow")


def test_explain_shows_the_document():
    done = flowc("explain", "flw301")
    assert done.exit_code == 0
    assert done.stdout.startswith("# FLW301: handler-cycle")
    assert "## Use instead" in done.stdout
    assert flowc("explain", "301").stdout == flowc("explain", "handler-cycle").stdout == done.stdout


def test_explain_lists_all_codes():
    lines = flowc("explain").stdout.splitlines()
    assert lines[0].split() == ["code", "level", "name", "summary"]
    assert [line for line in lines if line.startswith("FLW101  error")]
    listed = json.loads(flowc("explain", "--json").stdout)["codes"]
    assert len(listed) == len(lines) - 1


def test_explain_of_an_unknown_code_is_two_and_suggests():
    done = flowc("explain", "FLW1O1")
    assert done.exit_code == 2
    assert "did you mean FLW101?" in done.stderr


def test_help_imports_no_command_and_typos_are_answered():
    done = flowc("--help")
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    done = flowc("chekc")
    assert done.exit_code == 2
    assert "Did you mean 'check'?" in done.stderr


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_give_valid_json(here, data):
    write(here / "any.flow", data)
    done = flowc("check", "any.flow", "--output-format", "json")
    assert done.exit_code in {0, 1}, done.output
    document = json.loads(done.stdout)
    assert "FLW999" not in {d["code"] for d in document["diagnostics"]}
    assert flowc("check", "any.flow", "--output-format", "json").stdout == done.stdout


def test_a_command_that_fails_says_so_in_one_line(here, monkeypatch):
    def broken(_folder):
        raise KeyError("inside")

    monkeypatch.setattr("flowc_engine.cli.discover.discover", broken)
    done = flowc("check")
    assert done.exit_code == 3
    assert "`flowc check` failed (FLW999): KeyError at test_cli_check.py:" in done.stderr
    monkeypatch.setenv("FLOWC_TRACEBACK", "1")
    assert isinstance(flowc("check").exception, KeyError)
