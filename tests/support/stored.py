"""Services with stores in a world of `support.services`: what they write, where it is kept, and the
death between the commits of one step."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flowc.marks import Marks
from flowc.storefile import StoreFile
from flowc.stores import Stores
from flowc_engine import limits
from support.fates import CODECS

if TYPE_CHECKING:
    import random

    from flowc_dsl.plan import ServicePlan

JOURNAL = 7
MEMORY = Path("/dev/shm")


class DiedError(BaseException):
    """The process was killed here."""


class WorldMarks(Marks):
    """Locks between the processes of a world, which are one process here."""

    held: dict[tuple[Path, int], WorldMarks] = {}  # noqa: RUF012 - of all

    def hold(self, partitions: Any) -> int | None:
        for partition in partitions:
            if self.held.setdefault((self.path, partition), self) is not self:
                self._let_go()
                return 1
        return None

    def _let_go(self) -> None:
        for key in [key for key, holder in self.held.items() if holder is self]:
            del self.held[key]

    def close(self) -> None:
        self._let_go()
        super().close()


class MortalStores(Stores):
    """`die` says whether the process is killed at a commit: before it, or behind it."""

    dice: random.Random
    mortal = True

    def _save(self, *args: Any, **kwargs: Any) -> None:
        self._maybe_die()
        super()._save(*args, **kwargs)
        self._maybe_die()

    def _maybe_die(self) -> None:
        if self.mortal and self.dice.random() < 0.01:
            raise DiedError


def setup(store: sqlite3.Connection) -> None:
    store.executescript("CREATE TABLE effects (o INTEGER, k TEXT); CREATE INDEX i ON effects (o);")


def open_stores(folder: Path, service: ServicePlan, dice: random.Random) -> MortalStores:
    partitions = CODECS.classes.plan.partitions
    stores = MortalStores(folder / service.name, service, partitions, JOURNAL, CODECS, setup)
    stores.dice = dice
    return stores


def effects(folder: Path, service: str) -> list[tuple[int, str]]:
    """What the files of a service say that was done: (offset, key), in the order of each."""
    found: list[tuple[int, str]] = []
    for path in sorted((folder / service).rglob("*.db")):
        db = sqlite3.connect(path)
        if db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'effects'").fetchone()[0]:
            found += db.execute("SELECT o, k FROM effects ORDER BY rowid").fetchall()
        db.close()
    return found


@contextmanager
def store_folder() -> Iterator[Path]:
    """Somewhere for the files of a world, in which nothing is synced."""
    base = str(MEMORY) if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=base) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowc.stores.Marks", WorldMarks)
        patch.setattr(limits, "STORE_LOCK_MS_MAX", -1)
        patch.setattr("flowc.stores.StoreFile", UnsyncedFile)
        patch.setattr(WorldMarks, "held", {})
        yield Path(folder)


class UnsyncedFile(StoreFile):
    """Quick: nobody pulls a plug here."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.connection.own("PRAGMA synchronous=OFF")
