"""A replay of one replica of a service: its code of today over what was recorded.

    python -I -m flowc.replay --plan FILE --service NAME --slot N --root FOLDER --journal FOLDER
        --end SEGMENT,POSITION,RECORD,OFFSET --from OFFSET --to OFFSET --pipe FD

It reads the journal's files up to `--end`, and writes to nothing but the pipe, in the frames of
`flowc_engine.replaying.protocol`, and to stores of its own, in `stores/` beside the plan. What
`schemas.json` there is: see `flowc.host`. Exit codes: `flowc.exits`.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import numpy as np

from flowc.attempts import GaveUp, try_all
from flowc.calls import Call, Failed
from flowc.classes import Classes
from flowc.clock import Clock
from flowc.draft import Draft
from flowc.errors import FlowcError
from flowc.exits import Exit
from flowc.load import user_trace
from flowc.outbox import Outbox
from flowc.process import parse, run
from flowc.reports import Reports
from flowc.rows import Rows, in_order, rows_between, rows_of_partitions, stored_rows
from flowc.serving import Serving
from flowc.undoing import undoing
from flowc.waits import Waits
from flowc_dsl.plan import HandlerPlan
from flowc_engine.broker.fetch import bodies_of, record_of
from flowc_engine.bus import wire
from flowc_engine.generations import read_history
from flowc_engine.journal.reader import JournalRotError, Read, journal_id
from flowc_engine.journal.recovery import state_at
from flowc_engine.replaying import protocol
from flowc_engine.replaying.original import OriginalError, Share, records, share_of
from flowc_engine.state import SCHEMAS_FILE, STORES_FOLDER

_SAY_EVERY_S: Final = 0.2
STORE_ROWS: Final = 10_000
"""Events are committed to a store together: a replay that is cut short leaves none."""


def main(argv: list[str] | None = None) -> int:
    """Replay; the exit code comes back."""
    parser = argparse.ArgumentParser(prog="flowc.replay", description=__doc__)
    parser.add_argument("--service", required=True, help="the service's name")
    parser.add_argument("--slot", type=int, required=True, help="the replica, from 0")
    parser.add_argument("--journal", type=Path, required=True, help="the folder of the journal")
    parser.add_argument("--end", type=_place, required=True, help="where it ends")
    parser.add_argument("--from", dest="begin", type=int, required=True, help="the first offset")
    parser.add_argument("--to", type=int, required=True, help="the offset behind the last")
    parser.add_argument("--without", type=_offsets, default=(), help="inputs to leave out, as 1,2")
    parser.add_argument("--pipe", type=int, required=True, help="the descriptor to write to")
    parser.add_argument("--terminal", action="store_true", help="Ctrl-C is for the user's code")
    args = parse(parser, sys.argv[1:] if argv is None else argv, broker=False)

    def body(classes: Classes) -> Exit:
        if args.terminal:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        service = classes.plan.service(args.service)
        history = read_history(args.plan.with_name(SCHEMAS_FILE), classes.plan)
        serving = Serving(classes, service, args.slot, history)
        try:
            if service.stores:
                folder = args.plan.with_name(STORES_FOLDER)
                (folder / service.name).mkdir(parents=True, exist_ok=True, mode=0o700)
                serving.open_stores(folder, journal_id(args.journal))
            own = share_of(state_at(args.journal, args.end), service)
            with os.fdopen(args.pipe, "wb") as pipe:
                span = (args.begin, args.to)
                replay = Replay(serving, args.slot, own, span, pipe, args.without)
                for read in records(args.journal, replay.reads_from, args.end):
                    if read.header.first_offset >= args.to:
                        break
                    replay.see(read)
                replay.done()
        except (OriginalError, JournalRotError, OSError) as error:
            raise FlowcError(str(error)) from error
        finally:
            serving.close()
        return Exit.DONE

    return run(f"service {args.service}", args.root, args.plan, body)


def _offsets(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()


def _place(text: str) -> wire.Durable:
    return wire.Durable(*map(int, text.split(",")))


class Replay:
    """Is shown records in their order, and says what comes of them: of those with offsets in
    `span` (from, to), what the handlers emit, but for those `without`; the ones before rebuild
    memory."""

    def __init__(
        self,
        serving: Serving,
        slot: int,
        own: Share,
        span: tuple[int, int],
        pipe: IO[bytes],
        without: Sequence[int] = (),
    ) -> None:
        self._service = service = serving.service
        self._serving, self._pipe = serving, pipe
        self._begin, self._end = span
        self._partitions = frozenset(
            range(slot, serving.codecs.classes.plan.partitions, own.replicas)
            if own.replicas > 1
            else ()
        )
        self._subscribes = frozenset(service.subscribes)
        self._stores = serving.stores
        if self._stores is not None:
            each = sorted(self._partitions)
            self._stores.begin(wire.Assign(service.name, slot, 0, each, 0, since=own.since))
        self._past = self._calls_of(lambda declared: declared.replayed)
        self._calls = self._calls_of(lambda declared: declared.replay != "skip")
        log = logging.getLogger(f"flowc.{service.name}")
        self._reports = Reports(log, serving.handlers, Clock())
        self._waits = Waits(service, slot, serving.codecs)
        self._waits.begin(own.since)
        self._without = frozenset(without)
        self._not_past = own.waiting | own.parked
        self._warmed = self._failed = 0
        self._uncommitted = 0
        self._said_s = 0.0

    def _calls_of(self, wanted: Callable[[HandlerPlan], bool]) -> dict[str, Call]:
        serving = self._serving
        return undoing(serving.calls(wanted), self._stores, serving.codecs, serving.handlers)

    @property
    def _remembers(self) -> bool:
        return not self._service.stateless or self._stores is not None

    @property
    def reads_from(self) -> int:
        """The first offset that it has to be shown."""
        return 0 if self._remembers or self._waits.any else self._begin

    def see(self, read: Read) -> None:
        """Take the next record."""
        first, rows = read.header.first_offset, read.header.rows
        if not rows:
            return
        draft = Draft(first, self._serving.codecs)
        draft.end = first + rows
        seen: list[protocol.Seen] = []
        for rows_ in in_order(self._own(read)):
            self._warm(rows_between(rows_, 0, self._begin))
            present = self._next(rows_between(rows_, self._begin, self._end))
            present = _not_among(self._without, present)
            if len(present) and self._serving.handlers[present.event]:
                called = self._handle(present, draft)
                offsets = np.asarray(present.offsets, "<i8").tobytes()
                seen.append(protocol.Seen(present.event, offsets, called))
        if seen:
            self._say(draft, seen, read.entry.time_us)
        self._commit(draft.end, at_least=STORE_ROWS)
        now = time.monotonic()
        if now - self._said_s > _SAY_EVERY_S:
            self._said_s = now
            protocol.write(self._pipe, protocol.Went(draft.end))

    def done(self) -> None:
        """All was shown."""
        self._commit(self._end)
        protocol.write(self._pipe, protocol.Done(self._warmed, self._failed))

    def _commit(self, end: int, at_least: int = 1) -> None:
        """What was done to a store is kept: after so many events, as each time costs a sync."""
        if self._stores is not None and self._uncommitted >= at_least:
            self._stores.commit(end, ())
            self._uncommitted = 0

    def _own(self, read: Read) -> list[Rows]:
        header = read.header
        record = record_of(header.first_offset, header.rows, read.entry, list(read.bodies))
        return [
            rows_of_partitions(stored_rows(self._serving.codecs, batch, body), self._partitions)
            for batch, body, _ in bodies_of(record)
            if batch.event in self._subscribes
        ]

    def _next(self, rows: Rows) -> Rows:
        """Those that are to be handled, now that they come next."""
        return self._waits.seen(rows)[0] if len(rows) else rows

    def _warm(self, rows: Rows) -> None:
        past = self._next(rows)
        if not self._remembers or not len(past):
            return
        past = _not_among(self._not_past, past)
        nowhere = Outbox(self._serving.codecs)
        self._failed += sum(1 for _ in self._tried(self._past[past.event], past, nowhere))
        self._warmed += len(past)

    def _handle(self, rows: Rows, draft: Draft) -> bool:
        """Whether there was anybody to handle them."""
        handlers = self._serving.handlers[rows.event]
        if all(h.declared.replay == "skip" for h in handlers):
            return False
        draft.ran(rows)
        for gave_up in self._tried(self._calls[rows.event], rows, draft.outbox):
            trace = user_trace(gave_up.error)
            parked = self._reports.parked(gave_up.row, 0, trace, gave_up.attempts)
            draft.parked.append(parked)
        return True

    def _tried(self, call: Call, rows: Rows, outbox: Outbox) -> Iterator[GaveUp]:
        def attempt(part: Rows, number: int) -> Failed | None:
            return call.run(part, outbox, attempt=number, replaying=True)

        handlers = self._serving.handlers[rows.event]
        retries = handlers[0].retry.attempts if handlers else 0
        if self._stores is None:
            yield from try_all(attempt, rows, retries, whole=call.whole)
            return
        self._stores.note(rows)
        self._uncommitted += len(rows)
        for part in self._stores.split(rows, together=call.whole):
            yield from try_all(attempt, part, retries, whole=call.whole)

    def _say(self, draft: Draft, seen: list[protocol.Seen], time_us: int) -> None:
        for part in draft.steps(self._reports.blame, time_us):  # which may split it
            out = part.out
            sizes = [len(body) for body in out.bodies]
            made = protocol.Made(time_us, seen, out.batches, sizes, part.parked)
            protocol.write(self._pipe, made, out.bodies)
            seen = []


def _not_among(offsets: frozenset[int], rows: Rows) -> Rows:
    if offsets.isdisjoint(rows.offsets):
        return rows
    return rows.take([i for i, o in enumerate(rows.offsets) if o not in offsets])


if __name__ == "__main__":
    sys.exit(main())
