"""The log process beside a real broker: follows, answers, survives."""

import random
import resource
import signal
import time
from dataclasses import replace

import duckdb
import pytest

from flowc_dsl.plan import EventPlan, FieldPlan, Plan, TypePlan
from flowc_engine import limits
from flowc_engine.journal import record as rec
from flowc_engine.journal.segments import list_segments, list_unpacked, segment_path
from flowc_engine.log import protocol
from flowc_engine.log.query import LogUnavailableError, open_log, query
from flowc_engine.log.readers import QueryError
from flowc_engine.log.store import LogHeldError, hold_log
from support.journal import wire_batch
from support.runs import Run, stop, until

FIELDS = (FieldPlan("k", TypePlan("string")), FieldPlan("n", TypePlan("int")))
PLAN = Plan("Small", (EventPlan("Placed", "event", 1, "k", FIELDS, external=True),), (), {}, {})


def batch(first: int, rows: int, text: str = "x"):
    listed = [{"k": f"{text}{n}", "n": n} for n in range(first, first + rows)]
    return wire_batch(PLAN, "Placed", listed)


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """A run with 100 events, for tests that only read."""
    with Run(tmp_path_factory.mktemp("up"), PLAN) as run:
        run.start_broker()
        run.start_log()
        source = run.source()
        source.publish("Placed", batch(0, 100))
        source.close()
        yield run


@pytest.fixture
def log(up):
    asking = up.ask()
    yield asking
    asking.close()


def test_what_was_acknowledged_is_in_the_answer(up, log):
    source = up.source("more")
    for n in range(5):
        source.publish("Placed", batch(1000 + n, 1))
        answer = log.query(f"SELECT count(*) AS n FROM Placed WHERE n = {1000 + n}")
        assert answer.current
        assert answer.table.to_pylist() == [{"n": 1}]
    source.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM glob('/*')",
        "COPY Placed TO '/tmp/flowc-must-not-exist.csv'",
        "EXPORT DATABASE '/tmp/flowc-must-not-exist'",
        "ATTACH '/tmp/flowc-must-not-exist.db'",
        "INSTALL httpfs",
        "LOAD json",
        "PRAGMA enable_profiling",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET memory_limit",
        "USE memory",
        "CHECKPOINT",
        "CALL force_checkpoint('log')",
        "INSERT INTO Placed (k) VALUES ('x')",
        "WITH a AS (INSERT INTO Placed (k) VALUES ('x') RETURNING *) SELECT * FROM a",
        "EXPLAIN ANALYZE INSERT INTO Placed (k) VALUES ('x')",
        "UPDATE Placed SET k = ''",
        "DELETE FROM Placed",
        "DROP TABLE Placed",
        "CREATE TEMP TABLE t (i INTEGER)",
        "PREPARE v AS SELECT 1",
        "BEGIN",
        "SELECT 1; DROP TABLE Placed",
        "SELECT * FROM _batch",
        "",
    ],
)
def test_sql_can_only_read(log, sql):
    with pytest.raises(QueryError):
        log.query(sql, as_of=0)
    assert log.query("SELECT count(*) AS n FROM Placed WHERE n < 100").table.to_pylist() == [
        {"n": 100}
    ]


def test_reading_in_all_its_forms_is_let_through(log):
    recursive = "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 9)"
    for sql in [
        "FROM Placed",
        "SHOW TABLES",
        "DESCRIBE Placed",
        "EXPLAIN SELECT 1",
        "VALUES (1)",
        "PIVOT (SELECT n % 2 AS p FROM Placed) ON p USING count(*)",
        f"{recursive} FROM r;",
    ]:
        assert log.query(sql, as_of=0).table.num_rows, sql


def test_an_error_is_duckdbs_and_the_next_query_works(log):
    with pytest.raises(QueryError, match="Plced") as caught:
        log.query("SELECT * FROM Plced")
    assert caught.value.kind == "sql"
    assert log.query("SELECT 1").table.num_rows == 1


@pytest.mark.parametrize("junk", [b"", b"\xff", b"\x91\xa2\xff\xfe", b"\x91\xa5Query" * 9])
def test_what_is_no_request_is_refused(up, junk):
    asking = up.ask()
    asking._socket.send(junk)
    refused = protocol.decode_reply(asking._socket.recv())
    assert (refused.id, refused.kind) == (-1, "refused")
    assert asking.query("SELECT 1").table.num_rows == 1
    asking.close()


def test_rows_are_bounded_by_what_is_asked_for(log):
    answer = log.query("FROM Placed WHERE n < 100 ORDER BY n", 10)
    assert answer.truncated
    assert answer.table.column("n").to_pylist() == list(range(10))
    assert not log.query("FROM Placed WHERE n < 100", 100).truncated


def test_a_large_answer_comes_whole(log):
    answer = log.query("SELECT i, repeat('y', 1000) AS t FROM range(40000) r(i)")
    assert answer.table.num_rows == 40_000
    assert answer.table.nbytes > 40_000_000


def test_history_is_what_was_on_the_wire(up, log):
    following, found = log.history(["Placed"], 10, 20, 4)
    assert following == 14
    table = found["Placed"]
    assert table.column("_offset").to_pylist() == [10, 11, 12, 13]
    sent = batch(10, 4)
    assert table.select(sent.schema.names).to_batches()[0].equals(sent)
    assert log.history(["Placed"], 14, 20)[0] == 20
    with pytest.raises(QueryError, match="Unknown is no event"):
        log.history(["Unknown"], 0, 10)


def test_it_follows_after_kill_9_and_after_a_restarted_broker(tmp_path):
    with Run(tmp_path, PLAN) as run:
        broker = run.start_broker()
        process = run.start_log()
        source = run.source()
        for n in range(20):
            source.publish("Placed", batch(n * 100, 100))
            if n == 7:
                process.send_signal(signal.SIGKILL)
                process.wait()
            if n == 12:
                process = run.start_log()
        source.close()
        broker.kill()
        broker.wait()
        run.start_broker()
        source = run.source()
        source.publish("Placed", batch(2000, 1))
        source.close()
        log = run.ask()
        answer = log.query("SELECT count(*) AS n, count(DISTINCT n) AS d FROM Placed")
        log.close()
        assert answer.current
        assert answer.table.to_pylist() == [{"n": 2001, "d": 2001}]
        assert stop(process) == 0


def test_after_kill_9_the_file_is_brought_up_to_the_journal(tmp_path, monkeypatch):
    with Run(tmp_path, PLAN) as run:
        broker = run.start_broker()
        process = run.start_log()
        source = run.source()
        source.publish("Placed", batch(0, 100))
        process.kill()
        process.wait()
        monkeypatch.setattr("flowc_engine.limits.LOG_LOCK_WAIT_MS", 200)
        with pytest.raises(LogUnavailableError, match="held by"):
            query(run.state, "FROM Placed")
        source.publish("Placed", batch(100, 50))
        source.close()
        broker.kill()
        broker.wait()
    answer = query(run.state, "SELECT count(*) AS n FROM Placed")
    assert answer.current
    assert answer.table.to_pylist() == [{"n": 150}]


def test_sigterm_saves_all_that_the_broker_has(tmp_path, monkeypatch):
    with Run(tmp_path, PLAN) as run:
        run.start_broker()
        process = run.start_log()
        monkeypatch.setattr("flowc_engine.limits.LOG_LOCK_WAIT_MS", 50)
        with pytest.raises(LogHeldError), hold_log(run.state.log_file):
            pass
        with open_log(run.state) as log:
            assert log.live
        source = run.source()
        source.publish("Placed", batch(0, 100))
        source.close()
        log = run.ask()
        assert log.query("SELECT 1").current
        assert stop(process) == 0
        with pytest.raises(LogUnavailableError, match="has ended"):
            log.query("SELECT 1")
        log.close()
        with duckdb.connect(str(run.state.log_file), read_only=True) as con:
            assert con.execute("SELECT count(*) FROM Placed").fetchall() == [(100,)]


def ask_unless(log, sql: str, *excuses: str):
    """The answer, or None when the log is closed for now or for one of `excuses`."""
    try:
        return log.query(sql)
    except QueryError as error:
        if error.kind not in {"unavailable", *excuses}:
            raise
        return None


@pytest.mark.slow
def test_a_damaged_block_is_noticed_and_the_log_rebuilt(tmp_path):
    with Run(tmp_path, PLAN) as run:
        run.start_broker()
        process = run.start_log()
        source = run.source()
        source.publish("Placed", batch(0, 5000, "some text that fills a block "))
        assert stop(process) == 0
        data = bytearray(run.state.log_file.read_bytes())
        data[-20_000] ^= 1
        run.state.log_file.write_bytes(data)
        run.start_log()
        log = run.ask()

        def counted():
            answer = ask_unless(log, "SELECT count(DISTINCT k) AS n FROM Placed", "damaged")
            return answer and answer.table.to_pylist()

        assert until(counted, "a rebuilt log") == [{"n": 5000}]
        assert list(run.state.path.glob("log.duckdb.bad-*"))
        assert "rebuilt" in run.said()
        source.publish("Placed", batch(5000, 1))
        assert counted() == [{"n": 5001}]
        log.close()
        source.close()


@pytest.mark.slow
def test_a_log_ahead_of_the_journal_stops_the_process(tmp_path):
    with Run(tmp_path, PLAN) as run:
        run.start_broker()
        process = run.start_log()
        source = run.source()
        source.publish("Placed", batch(0, 100))
        source.close()
        assert stop(process) == 0
        broker = run.processes[0]
        assert stop(broker) == 0
        _forget_the_end(run.state.journal)
        run.start_broker()
        process = run.start_log()
        assert process.wait(20) == 3
        assert "acknowledged data is missing from the journal" in run.said()


def _forget_the_end(journal):
    """As if a disk had lost all but the first records, whose journal id stays."""
    path = segment_path(journal, 0)
    data = bytearray(path.read_bytes())
    keep = rec.decode_header(data).record_bytes
    data[keep:] = bytes(len(data) - keep)
    path.write_bytes(data)


def test_a_full_disk_closes_the_log_and_not_the_process(tmp_path):
    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))

    with Run(tmp_path, PLAN) as run:
        run.start_broker()
        process = run.start_log(small_files)
        source = run.source()
        for n in range(40):
            source.publish("Placed", batch(n * 1000, 1000, f"{n * 7919 % 97}-no two alike-"))
        source.close()
        until(lambda: "the log is closed for" in run.said(), "a disk that is full")
        assert process.poll() is None
        resource.prlimit(
            process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
        log = run.ask()

        def counted():
            answer = ask_unless(log, "SELECT count(*) AS n, count(DISTINCT n) AS d FROM Placed")
            return answer and answer.current and answer.table.to_pylist()

        assert until(counted, "an open log") == [{"n": 40_000, "d": 40_000}]
        log.close()


@pytest.mark.slow
def test_killed_at_any_moment_the_file_is_never_damaged(tmp_path):
    """With small checkpoints, so that many kills hit one."""
    seed = 20130101
    moments = random.Random(seed)
    rows = 40 * limits.BATCH_ROWS_MAX // 32
    with Run(tmp_path, PLAN) as run:
        run.start_broker()
        source = run.source()
        process = run.start_log(eager=True)
        sent = 0
        for round_ in range(40):
            for _ in range(4):
                source.publish("Placed", batch(sent, rows // 160, f"{round_}-"))
                sent += rows // 160
            time.sleep(moments.uniform(0, 0.15))
            process.kill()
            process.wait()
            process = run.start_log(eager=True)
        source.close()
        log = run.ask()
        answer = log.query("SELECT count(*) AS n, count(DISTINCT n) AS d FROM Placed")
        assert answer.table.to_pylist() == [{"n": sent, "d": sent}]
        log.close()
        assert not list(run.state.path.glob("log.duckdb.bad-*")), run.said()


@pytest.mark.slow
def test_events_are_exported_and_segments_packed_and_deleted_while_it_runs(tmp_path):
    """5.11, 5.14, 6.10: what is 2023 here is older than a day."""
    kept = replace(PLAN, events=(replace(PLAN.events[0], retain_ms=86_400_000),))
    with Run(tmp_path, kept) as run:
        run.start_broker()
        process = run.start_log()
        source = run.source()
        for n in range(400):
            source.publish("Placed", batch(n * 1000, 1000, f"{n * 7919 % 97}-no two alike-"))
        assert stop(process) == 0
        segments = list_segments(run.state.journal)
        assert len(segments) > 3
        run.start_log()
        until(lambda: list_unpacked(run.state.journal) == segments[-2:], "two that are not packed")
        log, asked = run.ask(), 'SELECT count(*) AS n FROM "Placed@v1"'
        until(lambda: _counted(log, asked) == [{"n": 0}], "all exported")
        asked = "SELECT count(*) AS n, count(DISTINCT _offset) AS d, sum(n) AS s FROM Placed"
        wanted = [{"n": 400_000, "d": 400_000, "s": sum(range(400_000))}]
        assert log.query(asked).table.to_pylist() == wanted
        log.close()
        assert list_segments(run.state.journal) == segments
        for n in range(400, 800):
            source.publish("Placed", batch(n * 1000, 1000, f"{n * 7919 % 97}-no two alike-"))
        source.close()
        assert list_segments(run.state.journal)[-1] > segments[-1]
        until(lambda: list_segments(run.state.journal)[0] > 0, "segments are deleted", 60)
        for process in reversed(run.processes):
            stop(process)
        run.start_broker()
        run.start_log()
        log = run.ask()
        wanted = [{"n": 800_000, "d": 800_000, "s": sum(range(800_000))}]
        assert log.query(asked).table.to_pylist() == wanted
        log.close()


def _counted(log, sql):
    """None before there is a table of that name."""
    try:
        return log.query(sql).table.to_pylist()
    except QueryError:
        return None
