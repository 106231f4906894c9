"""`flowc log` and `flowc trace` on a system that ran: what they print, and how they fail."""

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner

from flowc_engine.cli import main
from flowc_engine.state import StateDir
from support.chain import PLAN, chain
from support.journal import wire_batch
from support.runs import Run, stop, until


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def flowc(state):
    return command_on(state)


def command_on(state: StateDir):
    """Run commands on a system. Its file has an error: what it did can be asked all the same."""
    file = state.root / "chain.flow"
    file.write_text("system Chain\nevent Placed { k: nonsense }\n", encoding="utf-8")

    def run(command: str, *args: str, exit_code: int = 0, stdin: str | None = None):
        result = CliRunner().invoke(main, [command, str(file), *args], input=stdin)
        assert result.exit_code == exit_code, result.output
        return result

    return run


def test_without_sql_it_lists_the_event_types(flowc):
    result = flowc("log")
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert lines[0][:2] == ["event", "count"]
    assert [(line[0], line[1]) for line in lines[2:]] == [
        ("Lost", "0"), ("Paid", "1"), ("Placed", "2"), ("Shipped", "2"),
    ]  # fmt: skip
    assert "5 events of 4 types" in result.stderr
    assert "1 parked: `flowc parked list" in result.stderr
    assert "fit no table" not in result.stderr


def test_the_event_types_as_json_have_what_the_table_shows(flowc):
    value = json.loads(flowc("log", "--json").stdout)
    assert value["format_version"] == "1.0"
    assert (value["system"], value["live"], value["parked"]) == ("Chain", False, 1)
    placed = next(e for e in value["events"] if e["event"] == "Placed")
    assert placed == {
        "event": "Placed", "count": 2, "rate_per_s": 0.1, "recent_per_s": 0.033,
        "first": "2023-11-14T22:13:20Z", "last": "2023-11-14T22:13:30Z",
    }  # fmt: skip


def test_rows_as_a_table_json_and_csv(flowc):
    sql = "SELECT _offset, k, _cause FROM Paid"
    words = flowc("log", sql).stdout.split()
    assert [w for w in words if "─" not in w] == ["_offset", "k", "_cause", "2", "a", "0"]
    value = json.loads(flowc("log", sql, "--json").stdout)
    assert value["columns"] == ["_offset", "k", "_cause"]
    assert value["rows"] == [[2, "a", 0]]
    assert list(csv.reader(io.StringIO(flowc("log", sql, "--csv").stdout))) == [
        ["_offset", "k", "_cause"], ["2", "a", "0"],
    ]  # fmt: skip


def test_sql_from_standard_input_and_a_limit_that_is_told(flowc):
    result = flowc("log", "-", "--limit", "2", "--csv", stdin="FROM range(5)")
    assert result.stdout == "range\n0\n1\n"
    assert "the first 2 rows; --limit 0 shows all" in result.stderr
    assert flowc("log", "FROM range(5)", "--limit", "0", "--csv").stdout.count("\n") == 6


def test_text_from_events_can_not_command_the_terminal(flowc):
    result = flowc("log", "SELECT chr(27) || '[31m[bold]x' AS t")
    assert "\x1b" not in result.stdout
    assert "[31m[bold]x" in result.stdout


def test_wide_rows_are_cut_into_blocks_on_a_terminal(flowc, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    listed = ", ".join(f"repeat('{c}', 20) AS col_{c}" for c in "abcde")
    output = flowc("log", f"SELECT {listed}").stdout
    assert "columns 1 to 2 of 5" in output
    assert "columns 5 to 5 of 5" in output
    assert "e" * 20 in output
    assert all(len(line) <= 75 for line in output.splitlines())


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nothing FROM Placed", 'column "nothing" not found'),
        ("SELEC 1", "syntax error"),
        ("DELETE FROM Placed", "the log is read-only: DELETE is not a query"),
        ("SELECT 1; SELECT 2", "one statement, please: these are 2"),
        ("COPY Placed TO 'x.csv'", "the log is read-only: COPY is not a query"),
    ],
)
def test_sql_that_fails_says_why_and_exits_1(flowc, sql, said):
    result = flowc("log", sql, exit_code=1)
    assert said in result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output


def test_sql_that_is_no_text_is_told(flowc):
    assert "the SQL is not UTF-8 at byte 8" in flowc("log", "SELECT '\udcff'", exit_code=2).stderr


def test_trace_draws_the_tree(flowc):
    lines = flowc("trace", "2").stdout.splitlines()
    assert lines[0].startswith("Placed #0  key a  from shop  +0.0 ms")
    assert "Paid #2 (asked for)  key a  from Pay  +5.0 ms" in lines[1]
    assert "Shipped #3  from Ship  +7.5 ms" in lines[2]
    assert "parked by Ship.on_shipped after 5 attempts: ValueError: no" in lines[4]


def test_trace_as_json_lists_the_events(flowc):
    value = json.loads(flowc("trace", "4", "--json").stdout)
    assert (value["offset"], value["root"], value["truncated"]) == (4, 0, False)
    assert [(e["offset"], e["cause"], e["effects"]) for e in value["events"]] == [
        (0, None, [2]), (2, 0, [3, 4]), (3, 2, []), (4, 2, []),
    ]  # fmt: skip
    assert value["events"][3]["parked"][0]["handler"] == "on_shipped"


def test_trace_of_no_event_names_the_range(flowc):
    result = flowc("trace", "99", exit_code=1)
    assert "there is no event 99: the log has the offsets 0 to 4" in result.stderr


def test_a_system_that_never_ran_says_how_to_start(tmp_path):
    flowc = command_on(StateDir(tmp_path, "Chain"))
    result = flowc("log", exit_code=2)
    assert "Chain has not run yet" in result.stderr
    assert "chain.flow`" in result.stderr


def test_follow_shows_events_as_they_come_until_the_run_ends(tmp_path, monkeypatch):
    with Run(tmp_path, PLAN) as run, ThreadPoolExecutor(1) as pool:
        run.start_broker()
        process = run.start_log()
        source = run.source("shop")
        source.publish("Placed", wire_batch(PLAN, "Placed", [{"k": "first"}]))
        flowc = command_on(run.state)
        seen = []
        monkeypatch.setattr("click.echo", lambda text, **_: seen.append(text))
        following = pool.submit(flowc, "log", "--follow")
        until(lambda: len(seen) == 1, "the first event")
        source.publish("Placed", wire_batch(PLAN, "Placed", [{"k": "second"}]))
        until(lambda: len(seen) == 2, "the second event")
        source.close()
        assert stop(process) == 0
        following.result()
    assert [line.split()[2:] for line in seen[:2]] == [
        ["Placed", "first", "from", "shop"],
        ["Placed", "second", "from", "shop"],
    ]
    assert seen[2:] == ["the run has ended"]


def test_a_file_that_can_not_be_read_or_names_no_system(tmp_path):
    result = CliRunner().invoke(main, ["log", str(tmp_path / "none.flow")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "can't read" in result.stderr
    empty = tmp_path / "empty.flow"
    empty.write_text("", encoding="utf-8")
    result = CliRunner().invoke(main, ["log", str(empty)])
    assert result.exit_code == 1
    assert "system" in result.stderr


def test_follow_needs_a_run(flowc):
    assert "nothing runs" in flowc("log", "--follow", exit_code=2).stderr


def test_a_damaged_journal_is_named(tmp_path):
    state = chain(tmp_path)
    segment = state.journal / "0000000000.seg"
    data = bytearray(segment.read_bytes())
    at = data.rindex(b"on_shipped")
    data[at] ^= 1
    data[at - 400] ^= 1
    segment.write_bytes(data)
    flowc = command_on(state)
    result = flowc("log", exit_code=3)
    assert "the journal is damaged: 0000000000.seg at byte" in result.stderr
