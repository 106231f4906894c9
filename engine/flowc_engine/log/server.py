"""The query endpoint: one thread owns the socket, a few answer."""

from __future__ import annotations

import os
import queue
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import msgspec
import zmq

from flowc_engine import limits
from flowc_engine.bus.client import configure
from flowc_engine.log import protocol
from flowc_engine.log.history import history
from flowc_engine.log.progress import Progress, Reached, drain, wake
from flowc_engine.log.readers import QueryError
from flowc_engine.schema import WireSchemas

Frames = list[bytes | memoryview]


class QueryServer:
    """Answers at `endpoint` until `close`."""

    def __init__(self, endpoint: str, progress: Progress, schemas: WireSchemas) -> None:
        self._endpoint = endpoint
        self._progress = progress
        self._schemas = schemas
        self._pool = ThreadPoolExecutor(limits.QUERIES_AT_ONCE, thread_name_prefix="query")
        self._waiting = 0
        self._done: queue.SimpleQueue[Frames] = queue.SimpleQueue()
        self._wake_fd, self._wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        configure(self._socket)
        self._socket.bind(endpoint)
        self._thread = Thread(target=self._run, name="query-server")

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what is being asked gets no answer."""
        self._stopping = True
        wake(self._wake_end)
        self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._context.term()
        os.close(self._wake_fd)
        os.close(self._wake_end)

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_fd, zmq.POLLIN)
        while not self._stopping:
            ready = dict(poller.poll())
            if self._wake_fd in ready:
                drain(self._wake_fd)
                self._send_done()
            if self._socket in ready:
                self._take(self._socket.recv_multipart())
        self._socket.close(linger=limits.CLOSE_LINGER_MS)

    def _send_done(self) -> None:
        while not self._done.empty():
            self._waiting -= 1
            self._socket.send_multipart(self._done.get(), copy=False)

    def _take(self, frames: list[bytes]) -> None:
        peer, request = frames[0], frames[-1]
        try:
            asked = protocol.decode_request(request)
        except msgspec.DecodeError as error:
            self._fail(peer, protocol.Failure(-1, "refused", f"not a request: {error}"))
            return
        if self._waiting >= limits.QUERIES_WAITING_MAX:
            self._fail(peer, protocol.Failure(asked.id, "busy", "too many queries; try again"))
            return
        self._waiting += 1
        self._pool.submit(self._answer, peer, asked)

    def _fail(self, peer: bytes, failure: protocol.Failure) -> None:
        self._socket.send_multipart([peer, protocol.encode(failure)])

    def _answer(self, peer: bytes, asked: protocol.Query | protocol.History) -> None:
        try:
            if isinstance(asked, protocol.Query):
                frames = self._query(asked)
            else:
                frames = self._history(asked)
        except QueryError as error:
            if error.kind == "damaged":
                self._progress.report_damage()
            frames = [protocol.encode(protocol.Failure(asked.id, error.kind, str(error)))]
        except Exception as error:  # noqa: BLE001 - a thread of a pool dies unheard
            failure = protocol.Failure(asked.id, "unavailable", f"internal error: {error!r}")
            frames = [protocol.encode(failure)]
        self._done.put([peer, *frames])
        wake(self._wake_end)

    def _query(self, asked: protocol.Query) -> Frames:
        wanted: Reached | None = Reached(asked.as_of)
        if asked.as_of < 0:
            wanted = self._progress.acknowledged(limits.QUERY_AS_OF_MS)
        readers, applied, reached = self._progress.readers_at(
            wanted or Reached(), limits.QUERY_AS_OF_MS
        )
        result = readers.query(asked.sql, None if asked.rows_max < 0 else asked.rows_max)
        current = reached and wanted is not None
        head = protocol.Answer(asked.id, applied, current, result.truncated)
        return [protocol.encode(head), *protocol.table_frames(result.table)]

    def _history(self, asked: protocol.History) -> Frames:
        readers, applied, _ = self._progress.readers_at(Reached(), limits.QUERY_AS_OF_MS)
        return [*history(readers, self._schemas, asked, applied)]
