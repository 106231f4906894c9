"""What handlers may do with a store, and what its files are held against (spec: 8.20 to 8.29)."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowc.errors import CodeError, StoreError, StoreFailedError, StoreUseError
from flowc.guarded import GuardedConnection
from flowc.marks import Mark, Marks
from flowc.storefile import KeptStep, Owner, StoreFile
from flowc.stores import Stores
from flowc_dsl.plan import ServicePlan, StorePlan
from flowc_engine import limits
from flowc_engine.bus import wire
from support.fates import CODECS
from support.stored import setup

OWNER = Owner(7, "Sum", "sums", 0)


def kept(number: int, deferred: list[int]) -> KeptStep:
    return KeptStep(number, [], [], deferred, [])


@pytest.fixture
def file(tmp_path: Path) -> Iterator[StoreFile]:
    made = StoreFile(tmp_path / "sums.db", OWNER, setup, limits.MIB)
    made.begin()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("COMMIT", "a handler can't COMMIT its store: flowc commits what a handler did"),
        ("commit", "a handler can't COMMIT"),
        ("ROLLBACK", "a handler can't ROLLBACK"),
        ("BEGIN", "a handler can't BEGIN"),
        ("ATTACH ':memory:' AS other", "a store is one file"),
        ("PRAGMA synchronous=OFF", "PRAGMA synchronous of a store is set by flowc"),
        ("PRAGMA journal_mode=DELETE", "PRAGMA journal_mode"),
        ("DELETE FROM _flowc_steps", "_flowc_steps is a table of flowc's"),
        ("UPDATE _flowc_store SET applied = 0", "_flowc_store is a table of flowc's"),
        ("DROP TABLE _flowc_store", "is a table of flowc's"),
        ("ALTER TABLE _flowc_store RENAME TO mine", "is a table of flowc's"),
    ],
)
def test_what_a_handler_may_not_say(file: StoreFile, sql: str, why: str) -> None:
    """Spec 8.23: and it says why."""
    for run in (file.connection.execute, file.connection.cursor().execute,
                file.connection.executescript):  # fmt: skip
        with pytest.raises(StoreUseError, match="^" + why if why[0] == "a" else why):
            run(sql)
    file.connection.execute("INSERT INTO effects VALUES (1, 'a')")
    file.commit(1, [])
    assert file.connection.execute("SELECT * FROM effects").fetchall() == [(1, "a")]


def test_what_a_handler_may_not_call(file: StoreFile) -> None:
    """Spec 8.23."""
    db = file.connection
    for call in (db.commit, db.rollback, db.close, db.__enter__, db.set_authorizer):
        with pytest.raises(StoreUseError):
            call()


def test_what_a_handler_may(file: StoreFile) -> None:
    """Spec 8.23: all else is SQLite's own."""
    db = file.connection
    db.executescript("CREATE TABLE a (x); INSERT INTO a VALUES (';'); INSERT INTO a VALUES (2)")
    db.execute("SAVEPOINT mine")
    db.executemany("INSERT INTO a VALUES (?)", [(3,), (4,)])
    db.execute("ROLLBACK TO mine")
    assert [row[1] for row in db.execute("PRAGMA table_info(a)")] == ["x"]
    assert db.execute("SELECT x FROM a").fetchall() == [(";",), (2,)]
    with pytest.raises(sqlite3.OperationalError, match="no such table: b"):
        db.execute("SELECT * FROM b")


def test_what_is_undone_is_that_of_one_event(file: StoreFile) -> None:
    """Spec 8.22: also what a handler had kept within its own savepoints."""
    db = file.connection
    file.save()
    db.execute("INSERT INTO effects VALUES (1, 'a')")
    file.keep()
    file.save()
    db.executescript("SAVEPOINT mine; INSERT INTO effects VALUES (2, 'b'); RELEASE mine")
    file.undo()
    file.commit(3, [])
    assert db.execute("SELECT o FROM effects").fetchall() == [(1,)]


def test_a_transaction_that_is_gone_is_noticed(file: StoreFile) -> None:
    """Spec 8.22: SQLite rolls back by itself: the events since the last step are handled again."""
    file.save()
    with pytest.raises(sqlite3.IntegrityError):
        file.connection.executescript(
            "CREATE TABLE u (x UNIQUE); INSERT INTO u VALUES (1); "
            "INSERT OR ROLLBACK INTO u VALUES (1)"
        )
    with pytest.raises(StoreFailedError, match="has rolled the transaction back"):
        file.undo()


def test_a_full_disk_at_a_commit_loses_nothing(tmp_path: Path) -> None:
    """Spec 8.28: what was committed before is there, and what was not is done again."""
    path = tmp_path / "sums.db"
    file = StoreFile(path, OWNER, setup, limits.MIB)
    file.begin()
    file.commit(1, [kept(0, [5])])
    pages = file.connection.own("PRAGMA page_count").fetchone()[0]
    file.connection.own(f"PRAGMA max_page_count={pages}")
    file.save()
    with pytest.raises((sqlite3.OperationalError, StoreFailedError), match="full"):
        for n in range(100_000):
            file.connection.execute("INSERT INTO effects VALUES (?, ?)", (n, "x" * 1000))
    file.close()
    file = StoreFile(path, OWNER, setup, limits.MIB)
    assert (file.applied, [s.deferred for s in file.kept()]) == (1, [[5]])
    assert file.connection.execute("SELECT count(*) FROM effects").fetchone() == (0,)
    file.close()


def test_setup_is_part_of_the_first_transaction(tmp_path: Path) -> None:
    """Spec 8.21: a file that was never committed is as good as none."""
    path, made = tmp_path / "sums.db", []

    def note(store: sqlite3.Connection) -> None:
        made.append(store)
        setup(store)

    for _ in range(2):
        file = StoreFile(path, OWNER, note, limits.MIB)
        assert not file.known
        file.begin()
        file.close()
    file = StoreFile(path, OWNER, note, limits.MIB)
    file.begin()
    file.commit(0, [])
    file.close()
    file = StoreFile(path, OWNER, note, limits.MIB)
    file.begin()
    assert file.known
    assert len(made) == 3
    file.close()


def test_a_setup_that_raises_is_the_authors(tmp_path: Path) -> None:
    """Spec 8.21."""
    file = StoreFile(tmp_path / "s.db", OWNER, lambda s: s.execute("CREATE TABEL x"), limits.MIB)
    with pytest.raises(CodeError, match=r"Sum.setup_store raised .*syntax error"):
        file.begin()
    file.close()


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (Owner(8, "Sum", "sums", 0), "belongs to another journal"),
        (Owner(7, "Sum", "sums", 3), "is the file of Sum sums 0; put it back"),
        (Owner(7, "Tally", "sums", 0), "is the file of Sum sums 0; put it back"),
    ],
)
def test_a_file_of_somebody_else(tmp_path: Path, other: Owner, why: str) -> None:
    """Spec 8.27."""
    path = tmp_path / "sums.db"
    file = StoreFile(path, OWNER, setup, limits.MIB)
    file.begin()
    file.commit(0, [])
    file.close()
    with pytest.raises(StoreError, match=why):
        StoreFile(path, other, setup, limits.MIB)


def test_a_file_that_is_none_of_flowcs(tmp_path: Path) -> None:
    """Spec 8.27."""
    db = sqlite3.connect(tmp_path / "sums.db")
    db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(StoreError, match="is no store of flowc's; move it away"):
        StoreFile(tmp_path / "sums.db", OWNER, setup, limits.MIB)
    (tmp_path / "junk.db").write_bytes(b"junk" * 1000)
    with pytest.raises(StoreError, match="is damaged: file is not a database"):
        StoreFile(tmp_path / "junk.db", OWNER, setup, limits.MIB)


def test_steps_are_kept_until_they_are_confirmed_or_recalled(tmp_path: Path) -> None:
    """Spec 8.25."""
    path = tmp_path / "sums.db"

    def deferred(file: StoreFile) -> list[list[int]]:
        return [step.deferred for step in file.kept()]

    file = StoreFile(path, OWNER, setup, limits.MIB)
    file.commit(9, [kept(4, [7]), kept(5, [8])])
    file.confirmed(4)
    file.commit(9, [kept(6, [9])])
    assert deferred(file) == [[8], [9]]
    file.close()
    file = StoreFile(path, OWNER, setup, limits.MIB)
    file.keep_for({8, 9})
    file.commit(10, [kept(5, [8])], [8])
    assert deferred(file) == [[8], [9], [8]]
    file.confirmed(5)
    file.commit(10, [kept(6, [10])])
    assert deferred(file) == [[8], [9], [10]], "what another step holds for 9 is of use yet"
    file.commit(10, [kept(7, [9])], [9])
    assert deferred(file) == [[10], [9]], "it is kept anew"
    file.close()
    file = StoreFile(path, OWNER, setup, limits.MIB)
    file.keep_for(())
    file.commit(10, [])
    assert deferred(file) == []
    file.close()


# ---- of a replica


def service(*, each: bool) -> ServicePlan:
    stores = (StorePlan("sums", per_partition=each),)
    return ServicePlan("Sum", "python", "app", (), stores=stores)


def stores(folder: Path, *, each: bool = False, journal: int = 7) -> Stores:
    return Stores(folder / "Sum", service(each=each), 64, journal, CODECS, setup)


def assign(cursor: int, since: int = 0, **more: Any) -> wire.Assign:
    key = StorePlan("sums").since_key
    return wire.Assign("Sum", 0, 1, [], cursor, since={key: since}, **more)


def begun(folder: Path, cursor: int, since: int = 0, *, each: bool = False) -> None:
    """Serve once, up to an offset."""
    one = stores(folder, each=each)
    one.begin(assign(cursor, since))
    one.reached(cursor + 10)
    one.close()


def test_a_file_that_is_gone_or_older_is_told(tmp_path: Path) -> None:
    """Spec 8.26: and goes on once it is put back."""
    begun(tmp_path, 0)
    db = tmp_path / "Sum" / "sums.db"
    shutil.copy(db, tmp_path / "older.db")
    begun(tmp_path, 10)
    shutil.move(db, tmp_path / "newer.db")
    with pytest.raises(StoreError, match=r"sums.db is gone: Sum had handled the events up to offs"):
        stores(tmp_path).begin(assign(20))
    db.unlink(missing_ok=True)
    shutil.copy(tmp_path / "older.db", db)
    with pytest.raises(StoreError, match="older than the log: it has the events up to offset 10,"):
        stores(tmp_path).begin(assign(20))
    shutil.copy(tmp_path / "newer.db", db)
    begun(tmp_path, 20)


def test_one_of_many_files_that_is_gone_or_older_is_told(tmp_path: Path) -> None:
    """Spec 8.26: `marks` says of each how far it was."""
    one = stores(tmp_path, each=True)
    one.begin(assign(0))
    for end in (10, 20):
        one._touched.add(5)
        one.commit(end, ())
        if end == 10:
            shutil.copy(tmp_path / "Sum" / "sums" / "p05.db", tmp_path / "older.db")
            shutil.copy(tmp_path / "Sum" / "sums" / "p05.db-wal", tmp_path / "older.db-wal")
    one.close()
    begun(tmp_path, 20, each=True)
    db = tmp_path / "Sum" / "sums" / "p05.db"
    db.rename(tmp_path / "newer.db")
    with pytest.raises(StoreError, match=r"p05.db is gone: .* up to offset 20"):
        stores(tmp_path, each=True).begin(assign(20))
    shutil.copy(tmp_path / "older.db", db)
    shutil.copy(tmp_path / "older.db-wal", db.with_name("p05.db-wal"))
    with pytest.raises(StoreError, match=r"p05.db is older than the log: it has the events"):
        stores(tmp_path, each=True).begin(assign(20))


def test_a_store_of_another_journal_is_told(tmp_path: Path) -> None:
    """Spec 8.27."""
    begun(tmp_path, 0)
    with pytest.raises(StoreError, match=r"sums.marks belongs to another journal"):
        stores(tmp_path, journal=8).begin(assign(0))
    (tmp_path / "Sum" / "sums.marks").unlink()
    with pytest.raises(StoreError, match=r"sums.db belongs to another journal"):
        stores(tmp_path, journal=8).begin(assign(0))


def test_a_store_that_is_declared_later_is_filled(tmp_path: Path) -> None:
    """Spec 8.28: until it is, a restart begins anew; and from then on it may not be missing."""
    one = stores(tmp_path)
    one.begin(assign(100, since=120))
    assert one.building
    one.close()
    one = stores(tmp_path)
    one.begin(assign(100, since=120))
    assert one.building
    one.reached(100)
    assert not one.building
    one.close()
    begun(tmp_path, 100, 120)
    shutil.rmtree(tmp_path / "Sum")
    with pytest.raises(StoreError, match="is gone"):
        stores(tmp_path).begin(assign(121, since=120))


def test_a_replica_has_its_files_alone(tmp_path: Path) -> None:
    """Spec 8.24: another process that wants a place waits, and says who has it."""
    one = Marks(tmp_path / "m" / "s.marks", 7, 64)
    assert one.hold([1, 2]) is None
    one.write({2: Mark(10, 5)})
    code = (
        "import sys; from pathlib import Path; from flowc.marks import Marks\n"
        "m = Marks(Path(sys.argv[1]), 7, 64); print(m.hold([3]), m.hold([2, 4]), m[2].through)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m" / "s.marks")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.split() == ["None", str(os.getpid()), "10"]
    one.close()


def test_the_connection_is_sqlites_own_class(file: StoreFile) -> None:
    assert isinstance(file.connection, sqlite3.Connection)
    assert isinstance(file.connection, GuardedConnection)
