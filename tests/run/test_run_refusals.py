"""`flowc run`: what stops it before anything is started, with its exit code."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flowc_engine.cli.run import command
from support.tiny import FLOW, Tiny

STORE = (
    FLOW + 'service Clock { run python "app.ship"  store seen engine duckdb  on Placed as seen }\n'
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    made = Tiny(tmp_path / "p")
    monkeypatch.chdir(made.root)
    return made


def run(*args: str) -> Result:
    return CliRunner().invoke(command, ["--until-idle", *args])


def test_a_file_that_is_not_there(project: Tiny) -> None:
    done = run("nope.flow")
    assert done.exit_code == 2
    assert "can't read `nope.flow`: no such file" in done.stderr


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"system", b"system S\nservice A { on }\n"])
def test_a_file_that_is_no_program(project: Tiny, text: bytes) -> None:
    (project.root / "main.flow").write_bytes(text)
    done = run("main.flow")
    assert done.exit_code == 1
    assert "error[FLW0" in done.stderr


def test_errors_stop_a_run_in_full(project: Tiny) -> None:
    project.write("main.flow", FLOW + "service Also { run mock on Placed -> Paid }\n")
    done = run("main.flow")
    assert done.exit_code == 1
    assert "error[FLW101]" in done.stderr
    assert not project.state.path.exists()


def test_what_can_not_be_run_yet_is_named_with_its_place(project: Tiny) -> None:
    project.write("main.flow", STORE)
    done = run("main.flow")
    assert done.exit_code == 1
    assert "`engine duckdb` of `Clock` is not run yet: only SQLite is run so far" in done.stderr
    assert "main.flow:7:" in done.stderr
    assert "`--skip-unsupported` runs it without them" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sources.feed]\npyton = 'app.feed:feed'\n", "flow.toml:2: source 'feed': unknown key"),
        ("[sources.feed]\npython = 'app.feed:feed'\nemits = ['Pad']\n", "there is no event Pad"),
    ],
)
def test_a_faulty_configuration(project: Tiny, text: str, message: str) -> None:
    project.write("flow.toml", text)
    done = run("main.flow")
    assert done.exit_code == 2
    assert message in done.stderr
