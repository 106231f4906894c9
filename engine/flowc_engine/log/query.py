"""Asking the log: through the log process while a run is up, else from the file.

The file may lack what the last run had acknowledged when it was killed: that is applied from the
journal first, under the state's lock, so an answer is never short of what was acknowledged.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

import duckdb
import pyarrow as pa
import zmq

from flowc_engine import limits
from flowc_engine.bus.client import configure
from flowc_engine.generations import History, has_events, stored_history, stored_plan
from flowc_engine.journal.ending import JournalHeldError, hold_journal, journal_end
from flowc_engine.log import protocol
from flowc_engine.log.archive import ExportError
from flowc_engine.log.follow import Follower, open_followed, set_aside
from flowc_engine.log.readers import QueryError, is_damage
from flowc_engine.log.store import LogStore, Note, hold_log
from flowc_engine.state import StateDir, StateHeldError, query_endpoint

_PING_MS = 500
_SLACK_MS = 5_000

Progress = Callable[[int, int], None]
"""Called with how many events are in the log, and how many there are."""


class NoLogError(Exception):
    """This system has not run yet."""


class LogUnavailableError(Exception):
    """The log can't be asked now."""


@dataclass(frozen=True, slots=True)
class LogAnswer:
    """`applied`: the log had all events below this offset. `current`: no acknowledged event is
    missing. `truncated`: there were more rows than asked for."""

    table: pa.Table
    truncated: bool
    applied: int
    current: bool


class Log(Protocol):
    """The log, wherever it is. `live`: a run is up."""

    live: bool

    def query(self, sql: str, rows_max: int | None = None, *, as_of: int = -1) -> LogAnswer:
        """The answer to one statement that reads. Raises `QueryError`."""
        ...


class LiveLog:
    """The log of the run that is up. `as_of`: see `protocol.Query`."""

    live = True

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        configure(self._socket)
        # Without this, a log process that dies would be waited for until the time is up.
        self._gone = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._gone, zmq.POLLIN)
        self._socket.connect(endpoint)
        self._ids = itertools.count()

    def ping(self) -> bool:
        """Whether the log process answers."""
        try:
            self._ask(protocol.Query(next(self._ids), "SELECT 1", 1, 0), _PING_MS)
        except LogUnavailableError:
            return False
        return True

    def query(self, sql: str, rows_max: int | None = None, *, as_of: int = -1) -> LogAnswer:
        rows = -1 if rows_max is None else rows_max
        head, frames = self._ask(protocol.Query(next(self._ids), sql, rows, as_of))
        assert isinstance(head, protocol.Answer)
        table = protocol.read_table(frames)
        return LogAnswer(table, head.truncated, head.applied, head.current)

    def history(
        self, events: list[str], begin: int, end: int, rows_max: int = limits.HISTORY_ROWS_MAX
    ) -> tuple[int, dict[str, pa.Table]]:
        """Where to go on, and the events of each type: see `protocol.History`.

        Raises `QueryError`.
        """
        asked = protocol.History(next(self._ids), events, begin, end, rows_max)
        head, frames = self._ask(asked)
        assert isinstance(head, protocol.HistoryPart)
        found = zip(head.events, frames, strict=True)
        return head.next, {event: protocol.read_table([frame]) for event, frame in found}

    def _ask(
        self,
        request: protocol.Query | protocol.History,
        timeout_ms: int = limits.QUERY_TIMEOUT_MS * 2 + limits.QUERY_AS_OF_MS + _SLACK_MS,
    ) -> tuple[protocol.Reply, list[bytes]]:
        self._socket.send(protocol.encode(request))
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            left_ms = max(0, int((deadline - time.monotonic()) * 1000))
            ready = dict(self._poller.poll(left_ms))
            if not ready:
                raise LogUnavailableError(f"the log process did not answer in {timeout_ms} ms")
            if self._socket not in ready:
                raise LogUnavailableError("the log process has ended")
            head, *frames = self._socket.recv_multipart()
            reply = protocol.decode_reply(head)
            if reply.id != request.id:
                continue  # the answer to a ping that came late
            if isinstance(reply, protocol.Failure):
                raise QueryError(reply.kind, reply.message)
            return reply, frames

    def close(self) -> None:
        """Drop the connection."""
        self._socket.disable_monitor()
        self._gone.close(linger=0)
        self._socket.close(linger=0)
        self._context.term()


class FileLog:
    """The log of a system that does not run. The state's lock must be held."""

    live = False

    def __init__(self, state: StateDir, history: History, note: Note, progress: Progress) -> None:
        self._state, self._history = state, history
        self._note, self._progress = note, progress
        self._store: LogStore | None = None

    def open(self) -> LogStore:
        """Open the file and apply what the journal has more; rebuild it if it is damaged."""
        if self._store is None:
            try:
                self._store = self._catch_up()
            except duckdb.Error as error:
                if not is_damage(error):
                    raise
                self._set_aside(error)
                self._store = self._catch_up()
        return self._store

    def _set_aside(self, error: Exception) -> None:
        set_aside(self._state.log_file, self._state.journal, str(error), self._note)

    def query(self, sql: str, rows_max: int | None = None, *, as_of: int = -1) -> LogAnswer:  # noqa: ARG002 - nothing is added here
        try:
            return self._query(sql, rows_max)
        except QueryError as error:
            if error.kind != "damaged":
                raise
            self.close()
            self._set_aside(error)
            return self._query(sql, rows_max)

    def _query(self, sql: str, rows_max: int | None) -> LogAnswer:
        store = self.open()
        result = store.readers.query(sql, rows_max)
        return LogAnswer(result.table, result.truncated, store.applied.offset, current=True)

    def _catch_up(self) -> LogStore:
        journal = self._state.journal
        durable = journal_end(journal)
        store = open_followed(self._state.log_file, journal, self._history, self._note)
        follower = Follower(journal, self._history, store, self._note)
        try:
            follower.check(durable)
            while follower.step(durable):
                self._progress(store.applied.offset, durable.offset)
                if store.bytes_since_save >= limits.LOG_CHECKPOINT_BYTES:
                    store.checkpoint()
            self._retain(store)
            if store.unsaved:
                store.checkpoint()
        except BaseException:
            store.close()
            raise
        finally:
            follower.close()
        return store

    def _retain(self, store: LogStore) -> None:
        try:
            for _ in range(limits.RETAIN_FILES_AT_OPEN_MAX):
                if not store.retain(time.time_ns() // 1000):
                    return
        except ExportError as error:
            self._note(f"nothing was exported: {error}")

    def close(self) -> None:
        """Let go of the file."""
        if self._store is not None:
            self._store.close()
            self._store = None


def query(state: StateDir, sql: str, rows_max: int | None = None) -> LogAnswer:
    """Ask once. Raises as `open_log` does, and `QueryError`."""
    with open_log(state) as log:
        return log.query(sql, rows_max)


def _quiet(_text: str) -> None:
    pass


def _no_progress(_done: int, _all: int) -> None:
    pass


@contextmanager
def open_log(
    state: StateDir, note: Note = _quiet, progress: Progress = _no_progress
) -> Iterator[LiveLog | FileLog]:
    """The log of a system. `note` hears of repairs.

    Raises `NoLogError`, `LogUnavailableError`, and, of a log without a run: `LogConflictError`,
    `JournalRotError`, `LogSchemaError`, `LogHeldError`, `duckdb.Error`, `OSError`.
    """
    if not has_events(state):
        raise NoLogError(f"{state.system} has not run yet: there is no log in {state.path}")
    with ExitStack() as stack:
        live = _connect(state, stack)
        if live is not None:
            yield live
            return
        stack.callback(os.umask, os.umask(0o077))  # DuckDB makes its files for all to read
        history = _history(state)
        stack.enter_context(hold_log(state.log_file))
        log = FileLog(state, history, note, progress)
        stack.callback(log.close)
        log.open()
        yield log


def _history(state: StateDir) -> History:
    try:
        plan = stored_plan(state)
        if plan is None:
            raise LogUnavailableError(f"{state.plan_file} is gone: without it, nothing is read")
        return stored_history(state, plan).latest
    except ValueError as error:
        raise LogUnavailableError(str(error)) from None


def _connect(state: StateDir, stack: ExitStack) -> LiveLog | None:
    """The log of the run that is up; or None, and the state is ours until the stack ends."""
    deadline = time.monotonic() + limits.LOG_LOCK_WAIT_MS / 1000
    while True:
        try:
            stack.enter_context(state.lock())
            stack.enter_context(_held(state))
        except StateHeldError as held:
            sockets = state.sockets()
            if sockets is not None:
                live = LiveLog(query_endpoint(sockets))
                if live.ping():
                    stack.callback(live.close)
                    return live
                live.close()
            if time.monotonic() > deadline:
                raise LogUnavailableError(f"{held}, and its log process does not answer") from held
        else:
            return None


@contextmanager
def _held(state: StateDir) -> Iterator[None]:
    try:
        with hold_journal(state.journal):
            yield
    except JournalHeldError as error:
        raise LogUnavailableError(str(error)) from None
