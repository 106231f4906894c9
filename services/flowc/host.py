"""A service process: it holds one replica of one service.

    python -I -m flowc.host --plan FILE --service NAME --slot N --broker ENDPOINT --root FOLDER

`--root` is the project's root; it is put on the path of imports. `schemas.json` beside the plan
says with which plans older events were written; without it, all were with this one. With `--key`
the broker is on another machine, and says that itself. The broker's `Drained` drains: what was
delivered is finished and confirmed, then it ends with 0. SIGTERM stops sooner: the event at hand is
finished and confirmed; the rest is delivered to the next process. Exit codes: `flowc.exits`.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import zmq

from flowc.classes import Classes
from flowc.errors import CodeError
from flowc.exits import Exit
from flowc.process import Stop, parse, run
from flowc.remote import credentials, fetch_schemas
from flowc.serving import Serving
from flowc.suspects import Suspects
from flowc.worker import MemoryLostError, Worker
from flowc_dsl.plan import Plan, ServicePlan
from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.bus.curve import Credentials
from flowc_engine.core.access import Principal
from flowc_engine.generations import History, parse_history, read_history
from flowc_engine.journal.reader import journal_id
from flowc_engine.state import SCHEMAS_FILE, STORES_FOLDER

CONFIRM_MS_MAX = 5_000
"""After SIGTERM, the broker has this long to confirm what was handled."""


def main(argv: list[str] | None = None) -> int:
    """Serve until drained; the exit code comes back."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="flowc.host", description=__doc__)
    parser.add_argument("--service", required=True, help="the service's name")
    parser.add_argument("--slot", type=int, required=True, help="the replica, from 0")
    parser.add_argument("--suspects", type=Path, help="where its processes note what they are at")
    args = parse(parser, argv)
    stop = Stop()

    def body(classes: Classes) -> Exit:
        try:
            service = classes.plan.service(args.service)
        except KeyError:
            raise CodeError(f"{classes.plan.system} has no service {args.service}") from None
        broker = _find(args, classes.plan, stop)
        if broker is None:
            return Exit.DONE
        suspects = Suspects(args.suspects) if args.suspects else None
        try:
            state = args.plan.parent
            with Host(classes, service, args.slot, broker, suspects, state) as host:
                return host.serve(stop)
        finally:
            if suspects is not None:  # only a process that is killed leaves its notes
                suspects.close()

    try:
        return run(f"service {args.service}", args.root, args.plan, body)
    except MemoryLostError:
        # The broker was restarted in the middle of our replay. A new image has an empty memory.
        command = [sys.executable, "-I", "-m", "flowc.host", *argv]
        os.execv(sys.executable, command)  # noqa: S606 - our own image


class Broker(NamedTuple):
    """Where it is, and how its events were written; `key` and `schemas` if it is elsewhere."""

    endpoint: str
    history: History | None = None
    key: Credentials | None = None
    schemas: wire.Schemas | None = None


def _find(args: argparse.Namespace, plan: Plan, stop: Stop) -> Broker | None:
    """The broker, which is waited for if it is elsewhere; None if that took until `stop`."""
    key = credentials(args.key, args.broker, plan, Principal("service", args.service))
    if key is None:
        return Broker(args.broker, read_history(args.plan.with_name(SCHEMAS_FILE), plan))
    schemas = fetch_schemas(args.broker, plan, key, lambda: stop.wanted)
    if schemas is None:
        return None
    history = History.of(plan)
    if schemas.text:
        history = parse_history(schemas.text, plan, "what the broker said of its events")
    return Broker(args.broker, history, key, schemas)


class Host:
    """A worker and its connection. `state` is the folder in which the journal and the stores are.

    Raises `CodeError` for user code that can't be used, `StoreError` for a store."""

    def __init__(
        self,
        classes: Classes,
        service: ServicePlan,
        slot: int,
        broker: Broker,
        suspects: Suspects | None = None,
        state: Path | None = None,
    ) -> None:
        self._schemas = broker.schemas
        self._serving = serving = Serving(classes, service, slot, broker.history)
        if service.stores:
            assert state is not None
            journal = broker.schemas.journal if broker.schemas else journal_id(state / "journal")
            serving.open_stores(state / STORES_FOLDER, journal)
        self._client = Client(
            broker.endpoint,
            wire.Hello(
                "service", service.name, slot, uuid.uuid4().hex, classes.plan.hash, os.getpid()
            ),
            broker.key,
        )
        self._worker = Worker(
            service, slot, serving.codecs, serving.handlers, serving.calls(), self._send,
            seed=os.getpid(), suspects=suspects,
            past=serving.calls(lambda declared: declared.replayed),
            older=serving.calls(lambda declared: declared.delivery != "latest"),
            stores=serving.stores,
        )  # fmt: skip

    def _send(self, message: wire.Message, bodies: Sequence[memoryview]) -> None:
        self._client.send(message, bodies)

    def serve(self, stop: Stop) -> Exit:
        """Until drained or told to stop."""
        worker, client = self._worker, self._client
        poller = zmq.Poller()
        poller.register(client.socket, zmq.POLLIN)
        poller.register(stop.fd, zmq.POLLIN)
        while not stop.wanted and not (worker.draining and worker.settled):
            pause = worker.pause_s(time.monotonic())
            if pause != 0.0:
                wait_ms = limits.HEARTBEAT_MS if pause is None else math.ceil(pause * 1000)
                poller.poll(min(wait_ms, limits.HEARTBEAT_MS))
            got = client.receive(0)
            if got is not None:
                self._receive(*got)
            worker.work(time.monotonic())
        worker.flush()
        self._confirm()
        return Exit.DONE

    def _receive(self, message: wire.BrokerMessage, bodies: list[bytes]) -> None:
        if isinstance(message, wire.Schemas):
            if message != self._schemas:  # the state behind the broker is another one by now
                raise MemoryLostError
            return
        self._worker.receive(message, bodies)

    def _confirm(self) -> None:
        """Wait until what was handled is durable, or for as long as may be."""
        end = time.monotonic() + CONFIRM_MS_MAX / 1000
        while not self._worker.confirmed and time.monotonic() < end:
            got = self._client.receive(50)
            if got is not None and isinstance(got[0], wire.Stepped):
                self._worker.receive(*got)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._schemas is None:
            self._client.close()
        else:
            self._client.leave()  # no supervisor beside the broker sees us end
        self._serving.close()


if __name__ == "__main__":
    sys.exit(main())
