"""`retain`: what is older leaves its table for Parquet files, and queries still see all of it."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from flowc_dsl.plan import FieldPlan, TypePlan, UpcastPlan
from flowc_engine import limits
from flowc_engine.generations import History
from flowc_engine.log import archive as archived
from flowc_engine.log.archive import ExportError
from flowc_engine.log.follow import Follower, open_followed
from flowc_engine.log.query import open_log
from flowc_engine.log.readers import QueryError
from flowc_engine.log.retention import Retention
from flowc_engine.log.store import CheckpointDelayedError, LogStore
from flowc_engine.log.trace import trace
from flowc_engine.supervisor.holding import clear
from support.chain import PLAN, chain
from support.journal import TIME_US, JournalBuilder

DAY_MS = 86_400_000
DAY_US = DAY_MS * 1000
EVENTS = (replace(PLAN.event("Placed"), retain_ms=30 * DAY_MS), *PLAN.events[1:])
KEPT = replace(PLAN, events=EVENTS)
NOW_US = TIME_US + 40 * DAY_US
ALL = [{"_offset": i} for i in range(10)]


class Log:
    """An open log of a folder's journal."""

    live = False

    def __init__(self, folder: Path, history: History | None = None) -> None:
        history = history or History.of(KEPT)
        journal = folder / "journal"
        self.store: LogStore = open_followed(folder / "log.duckdb", journal, history, print)
        self._follower = Follower(journal, history, self.store, print)
        with closing(JournalBuilder(journal, history.plan)) as end:
            while self._follower.step(end.durable):
                pass

    def query(self, sql, rows_max=None, *, as_of=-1):
        answer = self.store.readers.query(sql, rows_max)
        return type("Answer", (), {"table": answer.table, "applied": as_of, "truncated": False})

    def rows(self, sql):
        return self.query(sql).table.to_pylist()

    def retain(self, now_us: int = NOW_US) -> int:
        """All that is due; how many files."""
        files = 0
        while self.store.retain(now_us):
            self.store.checkpoint()
            files += 1
        return files

    def close(self):
        self._follower.close()
        self.store.close()


@contextmanager
def opened(folder, *args):
    with closing(Log(folder, *args)) as log:
        yield log


def files(folder):
    return sorted(p.name for p in (folder / "archive").rglob("*") if p.is_file())


def placed(folder, *days, plan=KEPT, **more):
    """Events `Placed`, one for each number of days after the beginning."""
    with closing(JournalBuilder(folder / "journal", plan)) as journal:
        for day in days:
            journal.emit("Placed", {"k": f"day {day}", "_time": TIME_US + day * DAY_US, **more})


@pytest.fixture
def ten(tmp_path):
    """Seven of ten are older than 30 days, 40 days after the first."""
    placed(tmp_path, *range(7), 20, 30, 39)
    return tmp_path


def test_what_is_older_is_in_a_file_and_queries_see_all(ten):
    """6.10, 6.11."""
    with opened(ten) as log:
        before = log.rows("FROM Placed ORDER BY _offset")
        assert log.retain() == 1
        assert files(ten) == ["0-6.parquet"]
        assert log.rows('SELECT _offset FROM "Placed@v1"') == ALL[7:]
        assert log.rows("FROM Placed ORDER BY _offset") == before
        assert log.rows("SELECT _offset FROM _events ORDER BY ALL") == ALL
        assert log.rows("SELECT count(DISTINCT _offset) AS n FROM Placed") == [{"n": 10}]
        assert trace(log, 3, 10).root.key == "day 3"
        assert log.retain() == 0
    with opened(ten) as log:
        assert log.rows("FROM Placed ORDER BY _offset") == before
        assert log.retain(NOW_US + 31 * DAY_US) == 1
        assert files(ten) == ["0-6.parquet", "7-9.parquet"]
        assert log.rows("FROM Placed ORDER BY _offset") == before


def test_events_go_on_coming(ten):
    with opened(ten) as log:
        log.retain()
    placed(ten, 40, 41)
    with opened(ten) as log:
        assert log.rows("SELECT count(*) AS n FROM Placed") == [{"n": 12}]
        assert log.rows('SELECT count(*) AS n FROM "Placed@v1"') == [{"n": 5}]


def test_rows_wait_for_others_to_go_with(ten):
    """6.10: a tenth of 30 days is more than a day, so they wait for a day."""
    with opened(ten) as log:
        assert log.retain(TIME_US + 31 * DAY_US) == 0
        assert log.retain(TIME_US + 31 * DAY_US + 1) == 1
        assert files(ten) == ["0-1.parquet"]


def test_a_file_has_so_many_rows_at_most(ten, monkeypatch):
    monkeypatch.setattr(limits, "RETAIN_FILE_ROWS_MAX", 3)
    with opened(ten) as log:
        assert log.retain() == 3
        assert files(ten) == ["0-2.parquet", "3-5.parquet", "6-6.parquet"]
        assert log.rows("SELECT _offset FROM Placed ORDER BY 1") == ALL


def test_times_that_go_back_and_forth(tmp_path):
    placed(tmp_path, 5, 39, 1, 39, 2)
    with opened(tmp_path) as log:
        assert log.retain() == 1
        assert files(tmp_path) == ["0-4.parquet"]
        assert log.rows('SELECT _offset FROM "Placed@v1"') == [ALL[1], ALL[3]]
        assert log.rows("SELECT _offset FROM Placed ORDER BY 1") == ALL[:5]


def test_what_has_no_retain_stays(ten):
    with opened(ten, History.of(PLAN)) as log:
        assert log.retain() == 0
    assert files(ten) == []


def test_older_versions_are_lifted_from_files_too(tmp_path):
    """6.12."""
    note = FieldPlan("note", TypePlan("string"))
    now = replace(
        EVENTS[0], version=2, fields=(FieldPlan("key", TypePlan("string")), note), key="key",
        upcasts=(UpcastPlan(1, (("note", '"old"'),), (("k", "key"),)),),
    )  # fmt: skip
    second = replace(KEPT, events=(now, *EVENTS[1:]))
    placed(tmp_path, 0, 1)
    with opened(tmp_path) as log:
        log.retain()
    history = History.of(KEPT).adopt(second, lambda: 2)
    with closing(JournalBuilder(tmp_path / "journal", second)) as journal:
        journal.emit("Placed", {"key": "new", "note": "n", "_time": TIME_US + 2 * DAY_US})
    with opened(tmp_path, history) as log:
        wanted = [
            {"key": "day 0", "note": "old", "_version": 1},
            {"key": "day 1", "note": "old", "_version": 1},
            {"key": "new", "note": "n", "_version": 2},
        ]
        asked = "SELECT key, note, _version FROM Placed ORDER BY _offset"
        assert log.rows(asked) == wanted
        assert log.retain() == 1
        assert log.rows(asked) == wanted
    assert files(tmp_path) == ["0-1.parquet", "2-2.parquet"]


# ---- files that are not what they were


def test_a_file_that_is_gone_is_named_and_may_come_back(ten):
    """6.14."""
    with opened(ten) as log:
        log.retain()
        path = ten / "archive/Placed@v1/0-6.parquet"
        path.rename(ten / "away")
        with pytest.raises(QueryError, match=r"0-6\.parquet"):
            log.rows("SELECT count(*) FROM Placed")
    with opened(ten) as log:
        for sql in ("SELECT count(*) FROM Placed", "SELECT k FROM Placed WHERE _offset > 100",
                    "SELECT max(_time) FROM _events"):  # fmt: skip
            with pytest.raises(QueryError, match=r"0-6\.parquet.* 7 events .*put it back"):
                log.rows(sql)
        assert log.rows("FROM Paid") == []
        assert log.retain(NOW_US + 31 * DAY_US) == 1  # the others still are exported
    (ten / "away").rename(path)
    with opened(ten) as log:
        assert log.rows("SELECT _offset FROM Placed ORDER BY 1") == ALL


@pytest.mark.parametrize("damage", ["cut", "flipped", "another"])
def test_a_file_that_is_damaged_is_named(ten, damage):
    with opened(ten) as log:
        log.retain()
    path = ten / "archive/Placed@v1/0-6.parquet"
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[:-1], "another": b"PAR1" * (len(data) // 4)}.get(damage, data))
    with opened(ten) as log, pytest.raises(QueryError, match=r"0-6\.parquet is not what was"):
        log.rows("SELECT count(*) FROM Placed")


def test_a_copy_of_a_file_is_as_good(ten):
    with opened(ten) as log:
        log.retain()
    path = ten / "archive/Placed@v1/0-6.parquet"
    data = path.read_bytes()
    path.write_bytes(data)  # now it has another time
    with opened(ten) as log:
        assert log.rows("SELECT _offset FROM Placed ORDER BY 1") == ALL


def test_a_state_can_be_moved(ten, tmp_path_factory):
    with opened(ten) as log:
        log.retain()
    moved = tmp_path_factory.mktemp("moved") / "state"
    shutil.move(ten, moved)
    with opened(moved) as log:
        assert log.rows("SELECT _offset FROM Placed ORDER BY 1") == ALL


# ---- other readers, and a disk that fails


def test_a_query_that_is_at_older_rows_delays_the_checkpoint(ten):
    """6.13."""
    with opened(ten) as log:
        log.store.checkpoint()
        with log.store.readers._lend(limits.QUERY_TIMEOUT_MS) as con:
            con.execute("BEGIN TRANSACTION READ ONLY")
            assert con.execute("SELECT count(*) FROM Placed").fetchall() == [(10,)]
            assert log.store.retain(NOW_US)
            with pytest.raises(CheckpointDelayedError):
                log.store.checkpoint()
            assert con.execute("SELECT count(*) FROM Placed").fetchall() == [(10,)]
        assert log.store.unsaved
        log.store.checkpoint()
        assert not log.store.unsaved
        assert log.rows("SELECT _offset FROM Placed ORDER BY 1") == ALL


def test_a_file_that_can_not_be_written_changes_nothing(ten):
    (ten / "archive").write_text("in the way")
    with opened(ten) as log:
        with pytest.raises(ExportError):
            log.store.retain(NOW_US)
        assert log.rows("SELECT _offset FROM Placed ORDER BY 1") == ALL
        assert not log.rows("FROM _exports")


def test_a_file_that_is_not_what_was_written_changes_nothing(ten, monkeypatch):
    monkeypatch.setattr(archived, "_sync", lambda path: path.write_bytes(_other_parquet(path)))
    with opened(ten) as log:
        with pytest.raises(ExportError, match="does not hold"):
            log.store.retain(NOW_US)
        assert log.rows("SELECT _offset FROM Placed ORDER BY 1") == ALL
    assert files(ten) == []


def _other_parquet(path):
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    return path.read_bytes()


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{archive}/evil.csv'",
        "explain (ANALYZE, FORMAT json) COPY (SELECT 1) TO '{archive}/evil.csv'",
        "/* x */ EXPLAIN -- y\n ANALYZE /* z */ COPY (SELECT 1) TO '{archive}/evil.csv'",
        "COPY (PIVOT Placed ON k USING count(*)) TO '{archive}/evil.csv'",
        "/* */ COPY (PIVOT Placed ON k USING count(*)) TO '{archive}/evil.csv' /* */",
        "EXPLAIN ANALYZE COPY (PIVOT Placed ON k USING count(*)) TO '{archive}/evil.csv'",
        "WITH a AS (SELECT 1) COPY (FROM a) TO '{archive}/evil.csv'",
        "EXPLAIN ANALYZE ATTACH '{archive}/evil.db'",
        "COPY Placed TO '{archive}/evil.csv'",
        "EXPORT DATABASE '{archive}/evil'",
        "ATTACH '{archive}/evil.db'",
        "SELECT * FROM read_text('{archive}/../secret.txt')",
        "SELECT * FROM read_text('{archive}/link.txt')",
        "SELECT * FROM read_text('{archive}2/secret.txt')",
        "SELECT * FROM glob('{archive}/../*')",
        "SET allowed_directories = ['/']",
    ],
)
def test_the_archive_is_no_way_out(retained, sql):
    """6.15."""
    with pytest.raises(QueryError):
        retained.rows(sql.format(archive=retained.store.file.parent / "archive"))
    assert files(retained.store.file.parent) == ["0-6.parquet", "link.txt"]


@pytest.fixture(scope="module")
def retained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retained").resolve()
    placed(folder, *range(7), 20, 30, 39)
    (folder / "secret.txt").write_text("secret")
    (folder / "archive2").mkdir()
    (folder / "archive2/secret.txt").write_text("secret")
    with opened(folder) as log:
        log.retain()
        (folder / "archive/link.txt").symlink_to(folder / "secret.txt")
        yield log


# ---- killed


def _killed(folder: Path, stage: str) -> None:
    """In a process of its own: export, and be killed at a stage."""

    def die(*_args, **_kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    log = Log(folder)
    log.store.checkpoint()
    match stage:
        case "written":
            archived._sync = die
        case "named":
            Retention._take_out = die
        case "committed":
            log.store.checkpoint = die
    log.store.retain(NOW_US)
    log.store.checkpoint()
    die()


@pytest.mark.parametrize(
    "stage",
    [
        "named",
        *(pytest.param(s, marks=pytest.mark.slow) for s in ("written", "committed", "saved")),
    ],
)
def test_killed_at_any_stage_nothing_is_lost_or_doubled(ten, stage):
    """6.13."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    ended = subprocess.run([sys.executable, __file__, ten, stage], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(files(ten)) == 1
    with opened(ten) as log:
        assert log.rows("SELECT _offset FROM Placed ORDER BY 1") == ALL
        assert len(log.rows("FROM _exports")) == (stage == "saved")
        log.retain(NOW_US)
        log.retain(NOW_US + 31 * DAY_US)
        assert log.rows("SELECT _offset FROM Placed ORDER BY 1") == ALL
    assert files(ten) == ["0-6.parquet", "7-9.parquet"]


def test_what_a_killed_process_left_is_swept(ten):
    folder = ten / "archive/Placed@v1"
    folder.mkdir(parents=True)
    for name in ("0-3.parquet", "0-5.parquet.tmp", "0-400.parquet", "notes-of-mine.txt"):
        (folder / name).write_text("left")
    with opened(ten) as log:
        log.retain()
    # One with events that the log does not have may be all that is left of them.
    assert files(ten) == ["0-400.parquet", "0-6.parquet", "notes-of-mine.txt"]


# ---- as a whole


def test_a_log_without_a_run_exports_when_it_is_asked(tmp_path):
    state = chain(tmp_path, KEPT)
    with open_log(state) as log:
        assert log.query("SELECT _offset FROM Placed ORDER BY 1").table.to_pylist() == ALL[:2]
    assert files(state.path) == ["0-1.parquet"]
    clear(state)
    assert files(state.path) == []


if __name__ == "__main__":
    _killed(Path(sys.argv[1]), sys.argv[2])
