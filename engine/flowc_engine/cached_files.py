"""The declarations of a program's files, as bytes for the cache, and back as a `Memo`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from flowc_dsl.lower.memo import KeptFile, Lowered, Memo
from flowc_dsl.lower.skeleton import pack, unpack
from flowc_dsl.model import Event, Service
from flowc_dsl.source import Source
from flowc_engine.cache import digest


class FilePart(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One file: its tree as `skeleton.pack` makes it, and its events and services as lowered."""

    items: list[Any]
    docs: dict[int, str]
    events: list[Event]
    services: list[Service]
    kinds: dict[str, str]


class FileEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """`part` is an encoded `FilePart`: bytes, so that what did not change is not encoded again."""

    path: str
    digest: bytes
    part: bytes


_PART = msgspec.msgpack.Decoder(FilePart)
_ENTRIES = msgspec.msgpack.Decoder(list[FileEntry])


class CachedFiles:
    """What was kept of each file of a program, and what is to be kept."""

    def __init__(self, data: bytes | None) -> None:
        """`data` as `encoded` made it; anything else is as good as nothing."""
        self._entries: dict[str, FileEntry] = {}
        if data is not None:
            try:
                self._entries = {entry.path: entry for entry in _ENTRIES.decode(data)}
            except msgspec.DecodeError:
                return

    def memo(self, files: Mapping[str, bytes]) -> Memo:
        """What is known of the files that have not changed."""
        memo = Memo()
        for path, data in files.items():
            entry = self._entries.get(path)
            if entry is not None and entry.digest == digest(data):
                kept = _decoded(path, data, entry.part)
                if kept is not None:
                    memo.files[path] = kept
        return memo

    def encoded(self, memo: Memo) -> bytes:
        """What is known now, for the next time."""
        entries = []
        for path, kept in sorted(memo.files.items()):
            if not kept.whole:
                entries.append(self._entries[path])
                continue
            lowered = kept.lowered.get(False)
            if lowered is not None and not kept.tree.faults and _is_plain(lowered):
                assert isinstance(kept.data, bytes)
                items, docs = pack(kept.tree)
                events, services = [*lowered.events.values()], [*lowered.services.values()]
                part = FilePart(items, docs, events, services, dict(lowered.kinds))
                body = msgspec.msgpack.encode(part)
                entries.append(FileEntry(path, digest(kept.data), body))
        return msgspec.msgpack.encode(entries)


def _is_plain(lowered: Lowered) -> bool:
    """Whether no value would come back as another: a nested one would."""
    values = [v for s in lowered.services.values() for _, v, _ in s.args]
    values += [v for e in lowered.events.values() for u in e.upcasts for _, v in u.sets]
    return not any(isinstance(value, (tuple, dict)) for value in values)


def _decoded(path: str, data: bytes, part: bytes) -> KeptFile | None:
    try:
        found = _PART.decode(part)
        source = Source(path, data.decode("utf-8-sig"))
        tree = unpack(source, found.items, found.docs)
    except (msgspec.DecodeError, ValueError):
        return None
    events, services = {e.name: e for e in found.events}, {s.name: s for s in found.services}
    return KeptFile(
        data, tree, whole=False, lowered={False: Lowered(events, services, found.kinds)}
    )
