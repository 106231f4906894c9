"""Looking up events after a restart, when only the beginnings of segments are known (spec: 4.6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowc_engine import limits
from flowc_engine.broker.fetch import Fetcher
from flowc_engine.bus import wire
from flowc_engine.core import effects as fx
from flowc_engine.journal import record as rec
from support.journal import JournalBuilder
from support.plans import pipeline

BODY = bytes(256 * limits.KIB)
RECORDS = 6 * limits.SCAN_BYTES_MAX // len(BODY)
KEY = ("Pay", 0)


@pytest.fixture(scope="module")
def fetcher(tmp_path_factory: pytest.TempPathFactory) -> Fetcher:
    """Of a journal with more than a scan's bytes in its last segment, just started."""
    folder = tmp_path_factory.mktemp("journal")
    builder = JournalBuilder(folder, pipeline())
    for number in range(RECORDS):
        entry = rec.SourceEvents(7, [wire.Batch("Placed", 1)], [len(BODY)], "s", 1, number)
        builder.append(entry, [BODY], 1)
    durable = builder.durable
    sizes = [p.stat().st_size for p in sorted(Path(folder).glob("*.seg"))]
    assert sizes[-1] > limits.SCAN_BYTES_MAX
    builder.close()
    found = Fetcher(folder, {"Pay": frozenset({"Placed"})})
    found.start(durable)
    return found


@pytest.mark.parametrize("begin", [0, RECORDS // 2, RECORDS - 1])
def test_every_offset_is_reached(fetcher: Fetcher, begin: int) -> None:
    sent, seen = begin, []
    for _ in range(2 * RECORDS):
        fetch = fx.Fetch(KEY, 1, sent, RECORDS, limits.DELIVER_BYTES_MAX)
        found = fetcher.fetch(fetch)
        seen += [b.first for b in found.batches]
        sent = found.end
        if sent == RECORDS:
            break
    assert seen == list(range(begin, RECORDS))


@pytest.mark.parametrize("offset", [0, RECORDS // 2, RECORDS - 1])
def test_a_deferred_event_is_found_wherever_it_is(fetcher: Fetcher, offset: int) -> None:
    fetch = fx.Fetch(KEY, 1, offset, offset + 1, limits.FRAME_BYTES_MAX, (offset,))
    assert [b.first for b in fetcher.fetch(fetch).batches] == [offset]
