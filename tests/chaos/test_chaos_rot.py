"""Files of a state that are cut, flipped and gone: noticed, and never short (spec: guarantees)."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from flowc_engine import limits
from flowc_engine.journal import record as rec
from flowc_engine.journal.reader import JournalReader, JournalRotError
from flowc_engine.journal.recovery import recover
from flowc_engine.journal.segments import segment_path
from flowc_engine.log.query import query
from flowc_engine.state import StateDir
from flowc_engine.supervisor.compat import adopt_plan
from support.audit import assert_log_is_journal, events_of
from support.broker import BrokerProcess
from support.figures import Figures, record
from support.journal import JournalBuilder
from support.plans import pipeline

pytestmark = pytest.mark.slow
PLAN = pipeline()
SHORT = 4096
PROCESSES = 24  # of the cases, seen through a broker process too
FLIPS, CUTS = 150, 60


def written(folder: Path, events: int, each: int = 1) -> int:
    """A journal of a broker that was stopped: all of it is provably durable."""
    journal = JournalBuilder(folder, PLAN)
    for n in range(0, events, each):
        rows = [{"k": f"k{i % 7}", "n": i} for i in range(n, n + each)]
        journal.emit("Placed", *rows)
    journal.append(rec.Mark(7, [], []), [], 0)
    journal.close()
    return events


@pytest.fixture
def journal(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(limits, "SEGMENT_BYTES_MIN", SHORT)
    monkeypatch.setattr(limits, "SEGMENT_BYTES", SHORT)
    (tmp_path / "journal").mkdir()
    return tmp_path / "journal"


def numbers(folder: Path) -> list[int]:
    """What is there, read from the start as the log does, to where recovery says it ends.

    Raises `JournalRotError`.
    """
    found = recover(folder)
    os.close(found.fd)
    reader = JournalReader(folder)
    try:
        reads = list(reader.read(0, 0, found.segment, found.position, 1 << 40))
    finally:
        reader.close()
    assert sum(r.header.rows for r in reads) == found.state.offset
    return events_of(folder, PLAN, "Placed").n.tolist()


def outcome(folder: Path, path: Path, damaged: bytes, expected: list[int]) -> str:
    """Of one case: "whole", "torn" or "halt"; anything else fails."""
    path.write_bytes(damaged)
    try:
        found = numbers(folder)
    except JournalRotError as error:
        assert error.path.parent == folder
        assert error.path.name in str(error)
        assert f"at byte {error.position}" in str(error)
        assert path.read_bytes() == damaged, "evidence is not touched"
        return "halt"
    assert found == expected
    return "whole" if path.read_bytes() == damaged else "torn"


def each_byte(whole: bytes, how: str) -> list[bytes]:
    if how == "cut":
        return [whole[:at] for at in range(len(whole))]
    flipped = []
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        flipped.append(bytes(data))
    return flipped


@pytest.mark.parametrize("how", ["cut", "flipped"])
@pytest.mark.parametrize("segments", [1, 3])
def test_a_journal_damaged_at_every_byte(journal: Path, how: str, segments: int) -> None:
    """Spec 13.6: of its only segment, and of one in the middle of three."""
    expected = list(range(written(journal, 4 if segments == 1 else 14)))
    last = segments - 1
    assert segment_path(journal, last).exists()
    assert not segment_path(journal, last + 1).exists()
    path = segment_path(journal, segments // 2)
    whole = path.read_bytes()
    assert len(whole) == SHORT
    seen: Counter[str] = Counter()
    cases = each_byte(whole, how)
    for damaged in cases:
        seen[outcome(journal, path, damaged, expected)] += 1
    path.write_bytes(whole)
    assert outcome(journal, path, whole, expected) == "whole"
    if how == "cut":
        assert seen["torn"] == 0
    what = f"a journal {how} at every byte"
    record("13.6", Figures(what, len(cases), len(cases), len(expected), 0, 0, 0))


@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_damaged_journal_stops_the_broker_process(tmp_path: Path, how: str) -> None:
    """Spec 13.6: exit code 3 with file and byte, or all that was acknowledged is served."""
    broker = BrokerProcess(tmp_path, PLAN)
    folder = tmp_path / "journal"
    events = written(folder, 40)
    path = segment_path(folder, 0)
    whole, dice = path.read_bytes(), random.Random(how)
    used = len(whole.rstrip(b"\0"))
    for _ in range(PROCESSES):
        at = dice.randrange(used)
        data = bytearray(whole)
        data[at] ^= 1 << dice.randrange(8)
        path.write_bytes(whole[:at] if how == "cut" else data)
        broker.process = broker.popen()
        line = broker.process.stdout.readline()
        if line == "ready\n":
            assert broker.status().offset == events
            assert broker.stop() == 0
            assert events_of(folder, PLAN, "Placed").n.tolist() == list(range(events))
        else:
            _, said = broker.process.communicate()
            assert broker.process.returncode == 3
            assert f"journal: damaged: {path.name} at byte " in said
            broker.process = None
    what = f"a broker on a journal that was {how}"
    record("13.6", Figures(what, PROCESSES, PROCESSES, events, 0, 0, 0))


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """Stopped, with a log that is whole."""
    state = StateDir(tmp_path, PLAN.system)
    state.create()
    adopt_plan(state, PLAN)
    written(state.journal, 6000, each=100)
    query(state, "SELECT 1")
    return state


ROWS = "SELECT count(*) AS rows, count(DISTINCT n) AS n, sum(hash(k, n, _offset)) AS h FROM Placed"


@pytest.mark.parametrize("how", ["deleted", "cut", "flipped"])
def test_a_damaged_log_is_rebuilt_and_never_short(state: StateDir, how: str) -> None:
    """Spec 13.7."""
    expected = query(state, ROWS).table.to_pylist()
    assert expected[0]["rows"] == 6000
    kept = state.log_file.with_name("kept")
    shutil.copy(state.log_file, kept)
    size, dice = kept.stat().st_size, random.Random(how)
    cases = {"deleted": 1, "cut": CUTS, "flipped": FLIPS}[how]
    rebuilt = 0
    for case in range(cases):
        shutil.copy(kept, state.log_file)
        if how == "deleted":
            state.log_file.unlink()
        elif how == "cut":
            os.truncate(state.log_file, size * case // cases)
        else:
            with state.log_file.open("r+b") as file:
                at = dice.randrange(size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 1 << dice.randrange(8)]))
        assert query(state, ROWS).table.to_pylist() == expected, case
        aside = list(state.path.glob("log.duckdb.bad-*"))
        rebuilt += bool(aside)
        for path in aside:
            path.unlink()
    assert_log_is_journal(state.log_file, state.journal, PLAN)
    if how == "cut":
        assert rebuilt == cases
    record("13.7", Figures(f"log.duckdb {how}", cases, cases, 6000, 0, 0, 0))
