"""Looking up events for deliveries: the newest in memory, the rest in the journal's files."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.core import effects as fx
from flowc_engine.journal import record as rec
from flowc_engine.journal.disk import OS_DISK, Disk
from flowc_engine.journal.reader import JournalReader, JournalRotError, read_first_header
from flowc_engine.journal.segments import list_segments, segment_path
from flowc_engine.journal.sizes import JournalSizes, standard_sizes
from flowc_engine.journal.state import SlotKey


class Found(NamedTuple):
    """The events of a fetch in [fetch.begin, end)."""

    end: int
    batches: list[wire.Delivered]
    bodies: list[fx.Body]


class _Record(NamedTuple):
    first_offset: int
    rows: int
    source: str
    batches: list[wire.Batch]
    bodies: list[fx.Body]


class Place(NamedTuple):
    """A record begins here, and its first event has this offset (or the next one has)."""

    offset: int
    segment: int
    position: int


class PlaceIndex:
    """Where to begin to read for an offset: a place every so many bytes, so its size is bounded by
    the disk's."""

    def __init__(self, folder: Path, disk: Disk, every_bytes: int) -> None:
        self._every_bytes = every_bytes
        self._places: list[Place] = []
        for segment in list_segments(folder, disk):
            header = read_first_header(folder, segment, disk)
            self._places.append(Place(header.first_offset, segment, 0))
        self._bytes = 0
        self.begin = self._places[0].offset if self._places else 0

    def add(self, offset: int, segment: int, position: int, size: int) -> None:
        """A record of `size` bytes was written at a place."""
        self._bytes += size
        last = self._places[-1] if self._places else None
        if last is None or last.segment != segment or self._bytes >= self._every_bytes:
            self._places.append(Place(offset, segment, position))
            self._bytes = 0

    def find(self, offset: int) -> Place:
        """The last known place at or before the record that holds `offset`."""
        at = bisect_right(self._places, offset, key=lambda p: p.offset) - 1
        # Records without events share an offset with the next; the first of equals is the safe one.
        while at > 0 and self._places[at - 1].offset == self._places[at].offset:
            at -= 1
        return self._places[max(at, 0)]

    def forget(self, segment: int) -> None:
        """The segments up to this one were deleted."""
        self._places = [place for place in self._places if place.segment > segment]


class Fetcher:
    """Answers the core's `Fetch`es."""

    def __init__(
        self,
        folder: Path,
        events: dict[str, frozenset[str]],
        disk: Disk = OS_DISK,
        sizes: JournalSizes | None = None,
    ) -> None:
        """`events`: what each service subscribes to."""
        self._sizes = sizes or standard_sizes()
        self._folder = folder
        self._reader = JournalReader(folder, disk)
        self._index = PlaceIndex(folder, disk, self._sizes.index_every)
        self._events = events
        self._hot: list[_Record] = []
        self._hot_bytes = 0
        self._hot_from = 0  # all events from this offset on are in `_hot`
        self._resume: dict[SlotKey, Place] = {}
        self._durable = wire.Durable(0, 0, 0, 0)

    def start(self, durable: wire.Durable) -> None:
        """All that exists is on disk, up to here."""
        self._durable = durable
        self._hot_from = durable.offset

    def appended(self, append: fx.Append, segment: int, position: int) -> None:
        """A record was written (it is read only once it is durable)."""
        size = sum(map(len, append.bodies))
        self._index.add(append.first_offset, segment, position, size + rec.HEADER_BYTES)
        if append.rows:
            self._hot.append(
                record_of(append.first_offset, append.rows, append.entry, append.bodies)
            )
            self._hot_bytes += size
            self._trim()

    def _trim(self) -> None:
        drop = 0
        while self._hot_bytes > self._sizes.hot and drop < len(self._hot) - 1:
            self._hot_bytes -= sum(map(len, self._hot[drop].bodies))
            drop += 1
        if drop:
            del self._hot[:drop]
            self._hot_from = self._hot[0].first_offset

    def durable(self, durable: wire.Durable) -> None:
        """The journal is durable up to here."""
        self._durable = durable

    def fetch(self, fetch: fx.Fetch) -> Found:
        """Look up. Raises `JournalRotError`."""
        events = self._events[fetch.key[0]]
        if fetch.at:
            return self._fetch_at(fetch, events)
        if fetch.begin >= self._hot_from:
            self._resume.pop(fetch.key, None)
            return _collect(self._hot_records(fetch.begin), fetch, events)
        return self._fetch_cold(fetch, events)

    def _hot_records(self, begin: int) -> Iterator[_Record]:
        at = bisect_right(self._hot, begin, key=lambda r: r.first_offset) - 1
        for index in range(max(at, 0), len(self._hot)):
            yield self._hot[index]

    def _find(self, offset: int) -> Place:
        """Where to begin to read. A segment without events that are needed may be gone: the next
        one begins with the same offset."""
        while not self._reader.has((place := self._index.find(offset)).segment):
            self._index.forget(place.segment)
        if place.offset > max(offset, self._index.begin):
            path = segment_path(self._folder, place.segment - 1)
            raise JournalRotError(path, 0, "the segment is missing, and its events are asked for")
        return place

    def _fetch_cold(self, fetch: fx.Fetch, events: frozenset[str]) -> Found:
        place = self._find(fetch.begin)
        resumed = self._resume.get(fetch.key)
        if (
            resumed is not None
            and place.offset < resumed.offset <= fetch.begin
            and self._reader.has(resumed.segment)
        ):
            place = resumed
        found, behind = self._look(place, fetch, events)
        if behind.offset <= found.end:
            self._resume[fetch.key] = behind
        return found

    def _look(self, place: Place, fetch: fx.Fetch, events: frozenset[str]) -> tuple[Found, Place]:
        """Read from a place at or before the events of a fetch until there is an answer.

        One stretch of reading may end before them, or meet records without events only; to answer
        that with "nothing up to where you are" would be asked again for ever.
        """
        while True:
            last = [place]
            found = _collect(self._cold_records(place, last), fetch, events)
            if found.end > fetch.begin:
                return found, last[0]
            assert last[0] != place, f"no event {fetch.begin} in what is durable"
            place = last[0]

    def _cold_records(self, place: Place, last: list[Place]) -> Iterator[_Record]:
        end = self._durable
        for read in self._reader.read(
            place.segment, place.position, end.segment, end.position, self._sizes.scan
        ):
            header, entry = read.header, read.entry
            if header.first_offset != last[0].offset:
                raise JournalRotError(
                    segment_path(self._folder, read.segment), read.position - header.record_bytes,
                    f"event {header.first_offset}, and {last[0].offset} is to follow: others are "
                    "missing",
                )  # fmt: skip
            last[0] = Place(header.first_offset + header.rows, read.segment, read.position)
            if header.rows:
                bodies: list[fx.Body] = list(read.bodies)
                yield record_of(header.first_offset, header.rows, entry, bodies)
        yield _Record(last[0].offset, 0, "", [], [])  # how far it was read

    def _fetch_at(self, fetch: fx.Fetch, events: frozenset[str]) -> Found:
        found = Found(fetch.begin, [], [])
        wanted, place = deque(fetch.at), Place(0, 0, 0)
        while wanted:  # one pass: after a restart only the beginnings of segments are known
            place = max(place, self._find(wanted[0]), key=lambda p: (p.segment, p.position))
            last = [place]
            for record in self._cold_records(place, last):
                own = []
                while wanted and wanted[0] < record.first_offset + record.rows:
                    own.append(wanted.popleft())
                if own:
                    more = collect_at(record, own, events)
                    if found.batches and not fit(found, more, fetch.bytes_max):
                        return found
                    found.batches.extend(more.batches)
                    found.bodies.extend(more.bodies)
                    found = found._replace(end=more.end)
                if not wanted:
                    break
            assert last[0] != place, f"no event {wanted[0]} in what is durable"
            place = last[0]
        return found


def collect_at(record: _Record, offsets: Sequence[int], events: frozenset[str]) -> Found:
    """The bodies of a record that hold some of these offsets, which are all its own."""
    found = Found(offsets[-1] + 1, [], [])
    for batch, body, behind in bodies_of(record):
        if batch.event in events and any(batch.first <= o < behind for o in offsets):
            found.batches.append(batch)
            found.bodies.append(body)
    return found


def fit(one: Found, other: Found, bytes_max: int) -> bool:
    """Whether both may travel in one message."""
    size = sum(map(len, (*one.bodies, *other.bodies)))
    count = len(one.bodies) + len(other.bodies)
    return size <= bytes_max and count <= limits.BATCHES_PER_MESSAGE_MAX


def bodies_of(record: _Record) -> Iterator[tuple[wire.Delivered, fx.Body, int]]:
    """The bodies of a record as they are delivered, and what offset is behind each."""
    first, last = record.first_offset, record.first_offset + record.rows
    for batch, body in zip(record.batches, record.bodies, strict=True):
        behind = last if batch.places else first + batch.rows
        yield (
            wire.Delivered(batch.event, batch.rows, first, record.source, batch.places),
            body,
            behind,
        )
        if not batch.places:
            first = behind


def record_of(first_offset: int, rows: int, entry: rec.AnyEntry, bodies: list[fx.Body]) -> _Record:
    """A record with events, as it is looked through."""
    source = rec.emitter(entry)
    assert source, "events that nobody emitted"
    return _Record(first_offset, rows, source, entry.batches, bodies)


def _collect(records: Iterable[_Record], fetch: fx.Fetch, events: frozenset[str]) -> Found:
    batches: list[wire.Delivered] = []
    bodies: list[fx.Body] = []
    size = 0
    end = fetch.begin
    for record in records:
        if record.first_offset >= fetch.limit:
            return Found(fetch.limit, batches, bodies)
        for batch, body, behind in bodies_of(record):
            if batch.event in events and behind > fetch.begin and batch.first < fetch.limit:
                batches.append(batch)
                bodies.append(body)
                size += len(body)
        end = max(end, min(record.first_offset + record.rows, fetch.limit))
        if size >= fetch.bytes_max or len(batches) >= limits.BATCHES_PER_MESSAGE_MAX:
            break
    return Found(end, batches, bodies)
