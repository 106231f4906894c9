"""A fetch that is not answered with progress is asked again for ever: it has to find its events."""

from __future__ import annotations

import pytest

from flowc_engine import limits
from flowc_engine.broker.fetch import Fetcher
from flowc_engine.bus.wire import Batch
from flowc_engine.core import effects as fx
from flowc_engine.journal import record as rec
from flowc_engine.journal.state import DurableState
from flowc_engine.journal.writer import JournalWriter
from support.bodies import body, numbers
from support.plans import pipeline

PLAN = pipeline()
KEY = ("Pay", 0)


@pytest.fixture
def fetcher(tmp_path, monkeypatch):
    """200 events with 50 records without events behind each tenth, in one segment, all cold."""
    monkeypatch.setattr(limits, "SCAN_BYTES_MAX", 1024)
    monkeypatch.setattr(limits, "INDEX_EVERY_BYTES", 1 << 30)
    writer = JournalWriter(tmp_path, 7, DurableState())
    writer.create()
    record = 0
    for n in range(200):
        data = body(PLAN, "Placed", [n])
        entry = rec.SourceEvents(7, [Batch("Placed", 1)], [len(data)], "gen", 1, n)
        writer.append(entry, [data], record=record, first_offset=n, rows=1)
        record += 1
        for _ in range(50 if n % 10 == 9 else 0):
            mark = rec.Mark(7, [], [])
            writer.append(mark, [], record=record, first_offset=n + 1, rows=0)
            record += 1
    writer.sync()
    fetcher = Fetcher(tmp_path, {"Pay": frozenset({"Placed"})})
    fetcher.start(writer.durable_at)
    yield fetcher
    writer.close()


def test_all_events_from_anywhere(fetcher):
    for begin in (0, 1, 99, 100, 150, 199):
        found, at = [], begin
        while at < 200:
            end, batches, bodies = fetcher.fetch(fx.Fetch(KEY, 1, at, 200, 600))
            assert end > at, "no progress"
            assert [b.first for b in batches] == list(range(at, end))
            found += [n for data in bodies for n in numbers(PLAN, "Placed", bytes(data))]
            at = end
        assert found == list(range(begin, 200))


def test_single_offsets_deep_in_a_segment(fetcher):
    at = (3, 120, 199)
    _, batches, bodies = fetcher.fetch(fx.Fetch(KEY, 1, 3, 200, 1 << 20, at))
    assert [b.first for b in batches] == list(at)
    assert [numbers(PLAN, "Placed", bytes(b)) for b in bodies] == [[3], [120], [199]]
