"""SQL from users: what it can't read, write, take or hold up (spec 6.4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowc_dsl.plan import EventPlan, FieldPlan, Plan, TypePlan
from flowc_engine.log.query import LogUnavailableError
from flowc_engine.log.readers import QueryError
from support.journal import wire_batch
from support.runs import Run, until

FIELDS = (FieldPlan("k", TypePlan("string")), FieldPlan("n", TypePlan("int")))
PLAN = Plan("Small", (EventPlan("Placed", "event", 1, "k", FIELDS, external=True),), (), {}, {})


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    with Run(tmp_path_factory.mktemp("confined"), PLAN) as run:
        run.start_broker()
        run.start_log()
        source = run.source()
        source.publish("Placed", wire_batch(PLAN, "Placed", [{"k": "a", "n": 1}]))
        source.close()
        yield run


@pytest.fixture
def log(up):
    asking = up.ask()
    yield asking
    asking.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT getenv('HOME')",
        "FROM enable_logging('QueryLog', storage='file', storage_path='{folder}/evil')",
        "FROM query('COPY Placed TO ''{folder}/evil''')",
        "FROM query('FROM read_text(''/etc/passwd'')')",
        "FROM read_blob('/etc/passwd')",
        "FROM read_csv_auto('/etc/passwd')",
        "FROM read_json('/etc/passwd')",
        "FROM read_duckdb('/etc/passwd')",
        "FROM sniff_csv('/etc/passwd')",
        "FROM parquet_metadata('/etc/passwd')",
        "FROM 'https://192.0.2.1/x.csv'",
        "FROM sys",
        "FROM force_checkpoint('log')",
        "SELECT set_config('memory_limit', '99GB')",
    ],
)
def test_functions_are_no_way_out(log, tmp_path, sql):
    with pytest.raises(QueryError):
        log.query(sql.format(folder=tmp_path), as_of=0)
    assert not list(tmp_path.iterdir())


def test_one_value_cant_take_all_memory(up, log):
    """DuckDB does not count what one function makes: the process has a bound of its own. The query
    fails, and the process answers the next."""
    pid = up.processes[1].pid
    with pytest.raises(QueryError):
        log.query("SELECT length(repeat('x', 4200000000) || repeat('y', 4200000000))", as_of=0)
    assert log.query("SELECT count(*) AS n FROM Placed").table.to_pylist() == [{"n": 1}]
    status = Path(f"/proc/{pid}/status").read_text()
    assert int(status.partition("VmHWM:")[2].split()[0]) < 4_500 * 1024


@pytest.mark.slow
def test_a_query_that_cant_be_stopped_ends_its_process(tmp_path):
    """One call of a function takes hours, and sees no interrupt. What was acknowledged is in the
    log that is started again."""
    with Run(tmp_path, PLAN) as run:
        run.start_broker()
        stuck = run.start_log(code=IMPATIENT)
        source = run.source()
        source.publish("Placed", wire_batch(PLAN, "Placed", [{"k": "a", "n": 1}]))
        asking = run.ask()
        with pytest.raises(LogUnavailableError):
            asking.query(ENDLESS, as_of=0)
        asking.close()
        until(lambda: stuck.poll() is not None, "the log process ends")
        assert stuck.returncode == 1
        assert "is stopped with its process" in run.said()
        run.start_log()
        again = run.ask()
        assert again.query("SELECT n FROM Placed").table.to_pylist() == [{"n": 1}]
        again.close()
        source.close()


ENDLESS = "SELECT jaro_winkler_similarity(repeat('a', 1000000), repeat('b', 1000000))"
IMPATIENT = """
import sys
from flowc_engine import limits
limits.QUERY_STOP_MS = 300
from flowc_engine.log.readers import Readers
Readers.query.__defaults__ = (None, 300)
from flowc_engine.log.__main__ import main
sys.exit(main())
"""
