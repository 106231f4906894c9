"""What earlier checks of large programs found out, below `.flow/cache` of the root.

Two files a program: `NAME.report` has what a check found, for when nothing has changed, and
`NAME.files` has each file's declarations, for when a few files have. A key is over all `Inputs`,
and over flowc's own code.

Nothing here is needed: whatever is missing, damaged, of another version or of another user counts
as not there, and what can't be written is not written. Data is decoded into declared types and
never executed, so a forged entry can at most lie.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

import flowc_dsl
from flowc_engine import limits
from flowc_engine.inputs import Inputs

FOLDER: Final = ".flow/cache"
MAGIC: Final = b"flowc-cache-1\n"
_DIGEST_BYTES: Final = 16
_HEAD_BYTES: Final = len(MAGIC) + 2 * _DIGEST_BYTES  # magic, key, checksum of what follows


def key_of(inputs: Inputs) -> bytes:
    """Differs where any field of the inputs, or flowc itself, does."""
    hashed = blake2b(code_key(), digest_size=_DIGEST_BYTES)
    for part in inputs.parts():
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.digest()


def digest(data: bytes | memoryview) -> bytes:
    """What tells the content of one file from another."""
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()


@cache
def code_key() -> bytes:
    """Differs where flowc's code, Python or what decodes the cache do: by the files' sizes and
    times, since code that is being worked on has no other version."""
    hashed = blake2b(sys.version.encode(), digest_size=_DIGEST_BYTES)
    pending = [Path(flowc_dsl.__file__).parent, Path(__file__).parent]
    while pending:
        for entry in sorted(os.scandir(pending.pop()), key=lambda entry: entry.path):
            if entry.is_dir():
                if entry.name != "__pycache__":
                    pending.append(Path(entry.path))
            else:
                found = entry.stat()
                hashed.update(f"{entry.path} {found.st_size} {found.st_mtime_ns}\n".encode())
    return hashed.digest()


@dataclass(frozen=True, slots=True)
class Cache:
    """The entries of one program."""

    folder: Path
    name: str

    @classmethod
    def of(cls, root: Path, main: str) -> Cache:
        """The cache of the program with this main file."""
        return cls(root / FOLDER, digest(main.encode("utf-8", "surrogateescape")).hex())

    def read(self, kind: str, key: bytes) -> bytes | None:
        """What was written under the key, if it is all there."""
        try:
            handle = os.open(self._path(kind), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with open(handle, "rb") as file:  # noqa: PTH123  # a handle
            try:
                if not _is_ours(os.fstat(handle)):
                    return None
                data = file.read(limits.CACHE_FILE_BYTES_MAX + 1)
            except OSError:
                return None
        head = MAGIC + key
        body = memoryview(data)[_HEAD_BYTES:]
        if not data.startswith(head) or data[len(head) : _HEAD_BYTES] != digest(body):
            return None
        return bytes(body)

    def write(self, kind: str, key: bytes, body: bytes) -> None:
        """Puts it in the place of what was there; a reader sees the old or the new."""
        if len(body) > limits.CACHE_FILE_BYTES_MAX - _HEAD_BYTES:
            return
        path = self._path(kind)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(kind)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            try:
                with open(handle, "wb") as file:  # noqa: PTH123  # a handle
                    file.write(MAGIC + key + digest(body))
                    file.write(body)
                part.replace(path)
            except OSError:
                part.unlink(missing_ok=True)

    def _make_room(self, kind: str) -> None:
        """Removes the oldest entries of other programs, and what a killed process left, over the
        bound."""
        if self._path(kind).exists():
            return
        entries = sorted(self.folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in entries[: max(0, len(entries) + 1 - limits.CACHE_FILES_MAX)]:
            path.unlink(missing_ok=True)

    def _path(self, kind: str) -> Path:
        return self.folder / f"{self.name}.{kind}"


def _is_ours(found: os.stat_result) -> bool:
    """Whether nobody else can have written it."""
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not others
