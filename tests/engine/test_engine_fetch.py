"""Fetches against a naive reading, on journals of any shape (spec: 4.6, 4.9, 7.6)."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from flowc.rows import offsets_of
from flowc_engine import limits
from flowc_engine.broker.fetch import Fetcher, Found
from flowc_engine.bus import wire
from flowc_engine.core import effects as fx
from flowc_engine.journal import record as rec
from flowc_engine.journal.segments import list_segments
from flowc_engine.log.packing import pack_next
from support.journal import JournalBuilder
from support.plans import pipeline

TYPES = ("A", "B", "C")
READS = {"Pay": frozenset("A"), "Ship": frozenset("BC"), "Other": frozenset("X")}


class Shaped(JournalBuilder):
    """A journal by seed. `fetcher` watches it grow, as the broker's does."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.fetcher: Fetcher | None = None
        self.log: list[str] = []  # the type at each offset
        super().__init__(folder, pipeline())
        self.fetcher = self.restarted()

    def restarted(self) -> Fetcher:
        fetcher = Fetcher(self.folder, READS)
        fetcher.start(self.durable)
        return fetcher

    def append(self, entry, bodies, rows: int) -> int:
        record, first = self._state.record, self._state.offset
        place = self._writer.append(entry, bodies, record=record, first_offset=first, rows=rows)
        self._state.apply(entry, rows)
        if self.fetcher is not None:
            self.fetcher.appended(fx.Append(record, first, rows, entry, bodies), *place)
        return first

    def grow(self, records: int) -> None:
        """Events of one type and several, that follow each other and that interleave; and long
        runs of records without any."""
        for _ in range(records):
            if self.dice.random() < 0.1:
                for _ in range(self.dice.choice((1, 20, 200))):
                    self.append(rec.Mark(7, [], []), [], 0)
                continue
            kinds = self.dice.choices(TYPES, k=self.dice.randrange(1, 12))
            places = self.dice.random() < 0.5
            if not places:
                kinds.sort()
            listed = [
                wire.Batch(kind, kinds.count(kind), _places(kinds, kind) if places else b"")
                for kind in sorted(set(kinds))
            ]
            bodies = [self.dice.randbytes(self.dice.randrange(1, 300)) for _ in listed]
            sizes = list(map(len, bodies))
            self.append(rec.SourceEvents(7, listed, sizes, "s", 1, 0), bodies, len(kinds))
            self.log += kinds
        self._writer.sync()
        assert self.fetcher is not None
        self.fetcher.durable(self.durable)


def _places(kinds: list[str], kind: str) -> bytes:
    return np.array([i for i, k in enumerate(kinds) if k == kind], "<u4").tobytes()


def read_on(fetcher: Fetcher, fetch: fx.Fetch) -> list[tuple[int, str]]:
    """(offset, type) of what the fetches find, as a service sees it; all of [begin, limit)."""
    seen = []
    for _ in range(1_000):
        found = fetcher.fetch(fetch)
        assert fetch.begin <= found.end <= fetch.limit
        rows = [(o, b.event) for b in found.batches for o in offsets_of(b)]
        seen += sorted(row for row in rows if fetch.begin <= row[0] < found.end)
        if found.end == fetch.limit:
            return seen
        fetch = fetch._replace(begin=found.end)
    raise AssertionError(f"does not get beyond {fetch.begin}")


def check_some(journal: Shaped, fetcher: Fetcher) -> None:
    dice, log = journal.dice, journal.log
    for _ in range(10):
        key = (dice.choice(list(READS)), 0)
        begin = dice.randrange(len(log))
        limit = dice.randrange(begin, len(log)) + 1
        fetch = fx.Fetch(key, 1, begin, limit, dice.choice((1, 300, 10**6)))
        naive = [(o, log[o]) for o in range(begin, limit) if log[o] in READS[key[0]]]
        assert read_on(fetcher, fetch) == naive
        if naive:
            at = tuple(sorted(o for o, _ in dice.choices(naive, k=5)))
            check_at(fetcher, fetch._replace(begin=at[0], limit=at[-1] + 1, at=at))


def size(found: Found) -> int:
    return sum(map(len, found.bodies))


def check_at(fetcher: Fetcher, fetch: fx.Fetch) -> None:
    """In parts that are no larger than asked, unless they are one record; each body once (spec:
    4.40)."""
    at = fetch.at
    while at:
        found = fetcher.fetch(fetch._replace(at=at))
        rows = [o for b in found.batches for o in offsets_of(b)]
        assert {o for o in at if o < found.end} <= set(rows)
        assert len(rows) == len(set(rows)), "a body twice"
        least = fetcher.fetch(fetch._replace(at=at, bytes_max=0))  # of one record
        assert size(found) <= max(fetch.bytes_max, size(least))
        assert found.end > at[0], "a part is not empty"
        at = tuple(o for o in at if o >= found.end)


@pytest.mark.parametrize("seed", range(6))
def test_fetches_find_what_a_naive_reading_finds(tmp_path: Path, monkeypatch, seed: int) -> None:
    """Also of segments that were packed (5.12)."""
    for name, tiny in (
        ("SEGMENT_BYTES_MIN", 8_192), ("SEGMENT_BYTES", 16_384), ("SCAN_BYTES_MAX", 4_096),
        ("INDEX_EVERY_BYTES", 2_048), ("HOT_BYTES_MAX", 3_000), ("OPEN_SEGMENTS_MAX", 2),
    ):  # fmt: skip
        monkeypatch.setattr(limits, name, tiny)
    journal = Shaped(tmp_path, seed)
    for _ in range(4):
        journal.grow(30)
        if journal.dice.random() < 0.5:  # under the fetcher, which has some of them open
            while pack_next(tmp_path, journal.durable.segment):
                pass
        check_some(journal, journal.fetcher)
        check_some(journal, journal.restarted())
        if journal.dice.random() < 0.3:
            journal.fetcher = journal.restarted()
    assert len(list_segments(tmp_path)) > 2
    journal.close()
