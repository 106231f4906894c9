"""`flowc emit`: what is refused, before anything is sent."""

from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from flowc_engine.cli.emit import command
from flowc_engine.emitting import EmitError, Publisher, make_parts
from support.plans import pipeline
from support.tiny import Tiny, until

GOOD = '{"k": "a", "n": 1}'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    made = Tiny(tmp_path / "p")
    monkeypatch.chdir(made.root)
    return made


@pytest.mark.parametrize(
    ("event", "text", "message"),
    [
        ("Placd", "{}", "there is no event Placd; did you mean `Placed`?"),
        ("Paid", "{}", "can't come from outside; it is emitted by Pay"),
        ("Placed", '{"k": "a", "n": "x"}', "Placed: n: expected int"),
        ("Placed", '{"k": "a", "m": 1}', "Placed: m: Placed has no such field"),
        ("Placed", f"[{GOOD}, 3]", "Placed: event 2: expected Placed as an object, got 3"),
        ("Placed", "[]", "no events were given"),
        ("Placed", "{", "Placed: not JSON: "),
    ],
)  # fmt: skip
def test_refuses_what_does_not_fit(project: Tiny, event: str, text: str, message: str) -> None:
    done = CliRunner().invoke(command, ["main.flow", event, text])
    assert done.exit_code == 2
    assert message in done.stderr
    assert not project.state.path.exists()


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (f'{GOOD}\n\n{{"k": 1, "n": 1}}\n'.encode(), "Placed: line 3: k: expected string, got 1"),
        (f"{GOOD}\n{{\n".encode(), "Placed: line 2: not JSON: "),
        (b'{"k": "\xff"}', "stdin: not UTF-8 at byte 7"),
        (b'{"k": "a', "not JSON: unterminated string starting at line 1, column 7"),
        (b"\n", "no events were given"),
    ],
)
def test_refuses_what_does_not_fit_on_stdin(project: Tiny, stdin: bytes, message: str) -> None:
    done = CliRunner().invoke(command, ["main.flow", "Placed", "-"], input=stdin)
    assert done.exit_code == 2
    assert message in done.stderr


def test_large_events_travel_in_several_messages_and_too_large_ones_not_at_all() -> None:
    rows = [{"k": "x" * 300_000, "n": n} for n in range(7)]
    parts = make_parts(pipeline(), "Placed", rows)
    assert sum(p.rows for p in parts) == 7
    assert [p.before for p in parts] == [sum(p.rows for p in parts[:i]) for i in range(len(parts))]
    assert len(parts) > 2
    with pytest.raises(EmitError, match="event 1 is 1,2"):
        make_parts(pipeline(), "Placed", [{"k": "x" * 1_200_000, "n": 0}])


def test_a_broker_that_dies_meanwhile_is_named(project: Tiny, monkeypatch) -> None:
    def deliver(_publisher: Publisher, _endpoint: str, _timeout_ms: int) -> bool:
        (broker,) = psutil.Process().children()
        broker.kill()
        until("the broker is dead", lambda: broker.status() == psutil.STATUS_ZOMBIE)
        return False

    monkeypatch.setattr(Publisher, "deliver", deliver)
    done = CliRunner().invoke(command, ["main.flow", "Placed", GOOD])
    assert done.exit_code == 3
    assert done.stderr == "error: the broker ended: killed by SIGKILL\n"
