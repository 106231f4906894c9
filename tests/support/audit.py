"""What a journal holds, read without the engine's own reader, and the verdict on it.

The format is `flowc_engine.journal.record`'s docstring; nothing of its code is used here, so that a
mistake there is not made twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import xxhash

from flowc_dsl.plan import Plan
from flowc_engine.schema import wire_schema

_HEADER = struct.Struct("<IHHIIQQQQQQ")
_SNAPSHOT = 2


class Record(NamedTuple):
    kind: int
    number: int
    first: int
    rows: int
    entry: list[Any]
    bodies: list[memoryview]


def journal_records(folder: Path) -> Iterator[Record]:
    """All records. Fails on anything that is not one, short of the zeros behind the last."""
    number = first = 0
    files = {int(path.name[:10]): path for path in sorted(folder.glob("*.seg*"), reverse=True)}
    for segment, path in sorted(files.items()):
        assert segment == len([n for n in files if n < segment]), f"{path.name} follows nothing"
        data = memoryview(path.read_bytes() if path.suffix == ".seg" else _unpacked(path))
        at = 0
        while at < len(data) and data[at : at + 4] == b"FLOW":
            one = _record(data, at)
            assert (one.number, one.first) == (number, first), f"{path.name} at {at}: {one[:4]}"
            at += 64 + _padded(struct.unpack_from("<I", data, at + 8)[0])
            if one.kind != _SNAPSHOT:
                number, first = number + 1, first + one.rows
                yield one
        assert not any(data[at : at + (1 << 20)]), f"{path.name}: something behind the last record"


def _record(data: memoryview, at: int) -> Record:
    _, _, kind, size, rows, number, first, _, _, payload_sum, own_sum = _HEADER.unpack_from(
        data, at
    )
    assert xxhash.xxh3_64_intdigest(data[at : at + 56]) == own_sum, f"header at {at}"
    payload = data[at + 64 : at + 64 + size]
    assert xxhash.xxh3_64_intdigest(payload) == payload_sum, f"payload at {at}"
    (length,) = struct.unpack_from("<I", payload)
    entry = msgspec.msgpack.decode(payload[4 : 4 + length])
    bodies, begin = [], _padded(4 + length)
    for each in entry[3]:
        bodies.append(payload[begin : begin + each])
        begin += _padded(each)
    return Record(kind, number, first, rows, entry, bodies)


def _unpacked(path: Path) -> bytes:
    """A segment that was packed: as the docstring of `flowc_engine.journal.packed` says."""
    data = path.read_bytes()
    _, _, _, frame_bytes, frames, size = struct.unpack_from("<IHHIIQ", data)
    sizes = struct.unpack_from(f"<{frames}I", data, 24 + 64)
    at = 24 + 64 + 4 * frames + 8
    assert xxhash.xxh3_64_intdigest(data[: at - 8]) == struct.unpack_from("<Q", data, at - 8)[0]
    parts = []
    for index, packed in enumerate(sizes):
        whole = min(frame_bytes, size - index * frame_bytes)
        parts.append(pa.decompress(data[at : at + packed], whole, codec="zstd", asbytes=True))
        at += packed
    return b"".join(parts)


def _padded(size: int) -> int:
    return -(-size // 64) * 64


class Events(NamedTuple):
    """All events of one type in offset order, as columns."""

    offset: np.ndarray
    cause: np.ndarray  # -1: none
    n: np.ndarray
    key: np.ndarray


def events_of(folder: Path, plan: Plan, name: str) -> Events:
    schema = wire_schema(plan, name)
    parts: list[Events] = []
    for record in journal_records(folder):
        first = record.first
        for (event, rows, *places), body in zip(record.entry[2], record.bodies, strict=True):
            given = places[0] if places else b""
            at = np.frombuffer(given, "<u4") if given else np.arange(rows)
            if event == name:
                batch = pa.ipc.read_record_batch(pa.py_buffer(body), schema)
                assert batch.num_rows == rows
                cause = batch.column("_cause").fill_null(-1).to_numpy()
                keys = np.array(batch.column("k").to_pylist())
                parts.append(Events(first + at, cause, batch.column("n").to_numpy(), keys))
            if not given:
                first += rows
    if not parts:
        nothing = np.array([], np.int64)
        return Events(nothing, nothing, nothing, np.array([], str))
    whole = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(whole[0])
    return Events(*(column[order] for column in whole))


@dataclass(frozen=True)
class Verdict:
    acknowledged: int
    lost: int
    doubled: int
    disordered: int

    @property
    def good(self) -> bool:
        return self.lost == self.doubled == self.disordered == 0


def judge(folder: Path, plan: Plan, acknowledged: int) -> Verdict:
    """`Placed` n = 0, 1, … of one source, of which so many were acknowledged, and one `Paid` for
    each `Placed` that is there."""
    placed, paid = events_of(folder, plan, "Placed"), events_of(folder, plan, "Paid")
    there = np.unique(placed.n)
    lost = acknowledged - int((there < acknowledged).sum())
    lost += len(np.setdiff1d(placed.offset, paid.cause))
    doubled = len(placed.n) - len(there) + len(paid.cause) - len(np.unique(paid.cause))
    of_cause = dict(zip(placed.offset.tolist(), placed.n.tolist(), strict=True))
    strange = [n for n, c in zip(paid.n.tolist(), paid.cause.tolist(), strict=True)
               if of_cause.get(c) != n]  # fmt: skip
    assert not strange, f"Paid for what was not placed: {strange[:5]}"
    return Verdict(acknowledged, lost, doubled, _disordered(placed) + _disordered(paid))


def _disordered(events: Events) -> int:
    """Events of a key that stand behind a later one."""
    each = (events.n[events.key == key] for key in np.unique(events.key))
    return sum(int((np.diff(n) <= 0).sum()) for n in each)


def assert_log_is_journal(log_file: Path, folder: Path, plan: Plan) -> int:
    """The log's tables hold what the journal holds, row by row; how many rows comes back."""
    rows = 0
    with duckdb.connect(str(log_file), read_only=True) as connection:
        for event in plan.events:
            kept = events_of(folder, plan, event.name)
            sql = f'SELECT _offset, n, k FROM "{event.name}" ORDER BY _offset'
            offset, n, key = connection.execute(sql).fetchnumpy().values()
            assert np.array_equal(offset, kept.offset), f"{event.name}: {len(offset)} rows"
            assert np.array_equal(n, kept.n)
            assert key.tolist() == kept.key.tolist()
            rows += len(offset)
    return rows
