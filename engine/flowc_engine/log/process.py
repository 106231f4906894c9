"""The log process: follows the journal, owns the log, answers queries.

It never holds the broker up: it is told how far it may read, and says how far it is. When the disk
fails or is full, it closes the log, and tries again later; the journal keeps what was not applied.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path

import duckdb
import zmq

from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.generations import History, read_history
from flowc_engine.journal.packed import PackedError
from flowc_engine.log.archive import ExportError
from flowc_engine.log.follow import Follower, durable_place, open_followed, set_aside
from flowc_engine.log.packing import delete_next, pack_next
from flowc_engine.log.progress import Progress, Reached
from flowc_engine.log.readers import is_damage
from flowc_engine.log.server import QueryServer
from flowc_engine.log.store import CheckpointDelayedError, LogStore
from flowc_engine.schema import WireSchemas
from flowc_engine.state import StateDir

_LAST_WORD_S = 5.0  # for the broker to say how far it got, when we are to stop: it outlives us
_LISTEN_MS = 100


class BrokerRefusedError(Exception):
    """The broker does not want this log process."""


def note(text: str) -> None:
    """A line of the process's log."""
    print(f"log: {text}", file=sys.stderr, flush=True)


class LogProcess:
    """`run` until `stopping`. The log's lock must be held."""

    def __init__(self, state: StateDir, history: History, broker: str, query: str) -> None:
        self._state = state
        self._history = history
        plan = history.plan
        self._durable: wire.Durable | None = None
        self._began: wire.Durable | None = None  # the first that was heard of
        self._store: LogStore | None = None
        self._follower: Follower | None = None
        self._retry_ms = limits.LOG_RETRY_MIN_MS
        self._apply_at = 0.0
        self._checkpoint_at = 0.0
        self._tidy_at = 0.0
        self._told: wire.Applied | None = None
        self._questions: list[int] = []
        self.stopping = False
        self._progress = Progress()
        self._server = QueryServer(query, self._progress, WireSchemas(plan))
        hello = wire.Hello("log", "log", 0, secrets.token_hex(8), plan.hash, os.getpid())
        self._client = Client(broker, hello)
        self._poller = zmq.Poller()
        self._poller.register(self._client.socket, zmq.POLLIN)
        self._poller.register(self._progress.wake_fd, zmq.POLLIN)

    def stop(self) -> None:
        """End `run` soon; for a signal handler."""
        self.stopping = True
        self._progress.wake()

    def run(self) -> None:
        """Serve. Raises `LogConflictError`, `JournalRotError`, `LogSchemaError`,
        `BrokerRefusedError`: what no new try would mend."""
        self._server.start()
        try:
            while not self.stopping:
                self._poller.poll(self._wait_ms())
                self._receive()
                self._work(time.monotonic())
            self._finish()
        finally:
            self._progress.closed()
            self._close_store()
            self._server.close()
            self._client.close()
            self._progress.close()

    def _wait_ms(self) -> int:
        """Until there is something to do; heartbeats are due in any case."""
        if self._durable is None:
            return limits.HEARTBEAT_MS // 2
        due = self._apply_at
        if self._behind():
            due = min(due, time.monotonic()) if self._full() else due
        elif self._store is not None and self._store.unsaved:
            due = self._checkpoint_at
        elif self._store is not None:
            due = self._tidy_at
        left_ms = int((due - time.monotonic()) * 1000) + 1
        return min(max(left_ms, 0), limits.HEARTBEAT_MS // 2)

    def _receive(self) -> None:
        if self._progress.take_question():
            self._questions.append(self._progress.asked)
            self._client.send(wire.StatusRequest())
        while (got := self._client.receive(0)) is not None:
            match got[0]:
                case wire.Durable():
                    self._take_durable(got[0])
                case wire.Status():
                    if self._questions:
                        self._progress.answer(got[0], self._questions.pop(0))
                case wire.Refused() | wire.Fenced():
                    raise BrokerRefusedError(got[0].why)
                case _:
                    pass

    def _take_durable(self, durable: wire.Durable) -> None:
        waiting = self._durable is not None and self._behind()
        self._durable = durable
        self._began = self._began or durable
        if not waiting and self._store is not None:
            self._apply_at = max(self._apply_at, time.monotonic() + limits.LOG_LINGER_MS / 1000)
        if self._follower is not None:
            self._follower.check_ahead(durable)

    def _behind(self) -> bool:
        """Whether the journal has something to apply."""
        if self._durable is None or self._store is None:
            return False
        return self._store.applied != durable_place(self._durable)

    def _full(self) -> bool:
        """Whether what waits is worth a transaction at once."""
        assert self._durable is not None
        if self._store is None or self._progress.hurry or self.stopping:
            return self._store is not None
        waiting = self._durable.offset - self._store.applied.offset
        return waiting >= limits.LOG_ROWS_PER_TRANSACTION

    def _work(self, now: float) -> None:
        """One transaction, and a checkpoint if it is time. A disk that fails is tried later."""
        try:
            if self._progress.damaged:
                self._set_aside("a query met a damaged block")
            if self._store is None and self._durable is not None and now >= self._apply_at:
                self._open(self._durable)
            if self._behind() and (now >= self._apply_at or self._full()):
                self._apply()
            if self._store is not None:
                self._checkpoint_if_due(self._store, now)
                self._tidy_if_due(self._store, now)
        except (duckdb.Error, OSError) as error:
            if is_damage(error):
                self._set_aside(str(error))
            else:
                self._give_up_for_now(error)

    def _open(self, durable: wire.Durable) -> None:
        file, journal = self._state.log_file, self._state.journal
        self._store = store = open_followed(file, journal, self._history, note)
        self._follower = Follower(journal, self._history, store, note)
        self._follower.check(durable)
        self._progress.opened(store.readers, _reached(store))
        self._checkpoint_at = time.monotonic() + limits.LOG_CHECKPOINT_MS / 1000
        self._tell(store)

    def _apply(self) -> None:
        store, follower, durable = self._store, self._follower, self._durable
        assert store is not None
        assert follower is not None
        assert durable is not None
        begun = time.monotonic()
        clean = not store.unsaved
        try:
            follower.step(durable)
        except duckdb.OutOfMemoryException:
            store.readers.interrupt()  # queries have taken it; they can be asked again
            follower.step(durable)
        ended = time.monotonic()
        if clean:
            self._checkpoint_at = ended + limits.LOG_CHECKPOINT_MS / 1000
        pause_ms = min((ended - begun) * 1000 * limits.LOG_DUTY, limits.LOG_LINGER_MAX_MS)
        self._apply_at = ended + max(pause_ms, limits.LOG_LINGER_MS) / 1000
        self._retry_ms = limits.LOG_RETRY_MIN_MS
        self._progress.applied(_reached(store))
        self._tell(store)

    def _checkpoint_if_due(self, store: LogStore, now: float) -> None:
        full = store.bytes_since_save >= limits.LOG_CHECKPOINT_BYTES
        if store.unsaved and (full or now >= self._checkpoint_at):
            self._checkpoint(store)

    def _checkpoint(self, store: LogStore) -> None:
        wait_ms = limits.LOG_CHECKPOINT_MS
        try:
            store.checkpoint()
        except CheckpointDelayedError:
            wait_ms = limits.LOG_LINGER_MS
        self._checkpoint_at = time.monotonic() + wait_ms / 1000
        self._tidy_at = 0.0
        self._tell(store)

    def _tidy_if_due(self, store: LogStore, now: float) -> None:
        """Export what is old, or pack what of the journal is saved: one file."""
        if now < self._tidy_at or self.stopping:
            return
        more = False
        try:
            if store.retain(time.time_ns() // 1000):
                self._checkpoint(store)
                more = True
            elif not self._full():
                more = pack_next(self._state.journal, store.saved.segment) or self._delete(store)
        except ExportError as error:
            note(f"nothing was exported: {error}")
        except PackedError as error:
            note(f"a segment was not packed: {error}")
        took_ms = (time.monotonic() - now) * 1000
        wait_ms = took_ms * limits.TIDY_DUTY if more else limits.TIDY_EVERY_MS
        self._tidy_at = time.monotonic() + wait_ms / 1000

    def _delete(self, store: LogStore) -> bool:
        """Delete a segment of the journal. Only what is saved counts."""
        assert self._began is not None
        if store.unsaved or all(e.retain_ms is None for e in self._history.plan.events):
            return False
        journal, plan = self._state.journal, self._history.plan
        return delete_next(journal, plan, self._began.segment, store.kept_from())

    def _tell(self, store: LogStore) -> None:
        applied = wire.Applied(store.applied.offset, store.applied.record, store.saved.record)
        if applied != self._told:
            self._told = applied
            self._client.send(applied)

    def _give_up_for_now(self, error: Exception) -> None:
        note(f"the log is closed for {self._retry_ms} ms: {error}")
        self._progress.closed()
        self._close_store()
        self._apply_at = time.monotonic() + self._retry_ms / 1000
        self._retry_ms = min(self._retry_ms * 2, limits.LOG_RETRY_MAX_MS)

    def _set_aside(self, why: str) -> None:
        """A block of the file is damaged: build it anew from the journal."""
        self._progress.closed()
        self._close_store()
        self._progress.damaged = False
        set_aside(self._state.log_file, self._state.journal, why, note)

    def _finish(self) -> None:
        """Apply all that the broker has made durable, and save it."""
        self._hear_the_end()
        deadline = time.monotonic() + limits.DRAIN_MS_MAX / 1000
        try:
            if self._store is None and self._durable is not None:
                self._open(self._durable)
            while self._behind() and time.monotonic() < deadline:
                self._apply()
            if self._store is not None and self._store.unsaved:
                self._store.checkpoint()
                self._tell(self._store)
        except (duckdb.Error, OSError, CheckpointDelayedError) as error:
            note(f"not saved, the journal keeps it: {error}")

    def _hear_the_end(self) -> None:
        """Wait until the broker has said how far it is; it may be gone."""
        self._client.send(wire.StatusRequest())
        deadline = time.monotonic() + _LAST_WORD_S
        end: int | None = None
        while time.monotonic() < deadline:
            got = self._client.receive(_LISTEN_MS)
            match got and got[0]:
                case wire.Durable() as durable:
                    self._durable = durable
                case wire.Status() as status:
                    end = status.record
            if end is not None and self._durable is not None and self._durable.record >= end:
                return

    def _close_store(self) -> None:
        if self._follower is not None:
            self._follower.close()
        if self._store is not None:
            self._store.close()
        self._follower = self._store = None


def _reached(store: LogStore) -> Reached:
    return Reached(store.applied.offset, store.applied.record)


def run_log(state: Path, plan_file: Path, broker: str, query: str) -> LogProcess:
    """The process, ready to `run`. Raises `ValueError` and `OSError` for the plan's files."""
    plan = Plan.from_json(plan_file.read_text(encoding="utf-8"))
    folder = StateDir(state.parent.parent, state.name)
    return LogProcess(folder, read_history(folder.schemas_file, plan), broker, query)
