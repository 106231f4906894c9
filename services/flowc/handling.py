"""Calling handlers for rows, and what becomes of those that fail.

What comes of rows goes into a draft. `now` is the caller's monotonic clock, in s.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from flowc.attempts import LASTING, try_all
from flowc.calls import Call, Failed, NoCall
from flowc.errors import HaltedError, KilledError
from flowc.load import Handler, user_trace
from flowc.outbox import Outbox
from flowc.retries import Held, Retries, backoff_s
from flowc_dsl.plan import RetryPlan, ServicePlan

if TYPE_CHECKING:
    import logging

    from flowc.codec import Codecs
    from flowc.draft import Draft
    from flowc.reports import Reports
    from flowc.rows import Rows
    from flowc.suspects import Suspects


class Handling:
    """`handlers` and `calls` by event; `past` are the calls that rebuild memory."""

    def __init__(
        self,
        service: ServicePlan,
        codecs: Codecs,
        handlers: dict[str, list[Handler]],
        calls: dict[str, Call],
        reports: Reports,
        log: logging.Logger,
        seed: int,
        suspects: Suspects | None,
        past: dict[str, Call] | None = None,
    ) -> None:
        self.retries = Retries()
        self._codecs, self._handlers, self._reports, self._log = codecs, handlers, reports, log
        self._calls = {event: calls.get(event) or NoCall() for event in service.subscribes}
        self._past = self._calls if past is None else past
        self._dice = random.Random(seed)  # noqa: S311 - jitter
        self._suspects = suspects

    def whole(self, event: str, *, past: bool = False) -> bool:
        """Whether the handlers of this event type take rows as one batch."""
        return (self._past if past else self._calls)[event].whole

    def has_handlers(self, event: str) -> bool:
        """Whether anybody handles this event type; it may only be waited for."""
        return bool(self._handlers.get(event))

    def run(self, rows: Rows, draft: Draft, now: float) -> None:
        """Handle the rows in order; those of a key that waits are deferred."""
        if self._cautious and len(rows) > 1:
            for index in range(len(rows)):
                self.run(rows.part(index, index + 1), draft, now)
            return
        draft.ran(rows)
        call = self._calls[rows.event]
        if call.whole:
            self._run_whole(call, rows, draft, now)
            return
        begin, size = 0, len(rows)
        while begin < size:
            end = self._next_waiting(rows, begin)
            if end == begin:
                self._hold(rows, begin, draft, attempts=0, due=0.0)
                begin += 1
                continue
            part = rows.part(begin, end)
            failed = self._call(call, part, draft.outbox, attempt=1)
            if failed is None:
                draft.handled += end - begin
                begin = end
            else:
                draft.handled += failed.row
                self._failed(part, failed, draft, now)
                begin += failed.row + 1

    @property
    def _cautious(self) -> bool:
        return self._suspects is not None and self._suspects.cautious

    def _call(
        self, call: Call, rows: Rows, outbox: Outbox, *, attempt: int, replaying: bool = False
    ) -> Failed | None:
        """Call the handlers; after a death, of one event at a time, which is noted beforehand."""
        suspects = self._suspects
        if suspects is None or not suspects.cautious:
            return call.run(rows, outbox, attempt=attempt, replaying=replaying)
        (offset,) = rows.offsets
        if suspects.condemned(offset):
            return Failed(0, KilledError(self._reports.names(rows.event)))
        suspects.enter(offset)
        failed = call.run(rows, outbox, attempt=attempt, replaying=replaying)
        suspects.leave()
        return failed

    def _next_waiting(self, rows: Rows, begin: int) -> int:
        """The first row from `begin` on whose key has to wait, or the end."""
        if not self.retries.keys:
            return len(rows)
        waiting, keys = self.retries.keys, rows.keys
        return next((i for i in range(begin, len(rows)) if keys[i] in waiting), len(rows))

    def _run_whole(self, call: Call, rows: Rows, draft: Draft, now: float) -> None:
        """Call a handler of batches; one that fails is called for each half, down to the row that
        is to blame."""
        if self.retries.keys:
            free = []
            for i, key in enumerate(rows.keys):
                if key in self.retries.keys:
                    self._hold(rows, i, draft, attempts=0, due=0.0)
                else:
                    free.append(i)
            if not free:
                return
            rows = rows.take(free)
        failed = self._call(call, rows, draft.outbox, attempt=1)
        if failed is None:
            draft.handled += len(rows)
        elif len(rows) == 1:
            self._failed(rows, failed, draft, now)
        else:
            middle = len(rows) // 2
            self._run_whole(call, rows.part(0, middle), draft, now)
            self._run_whole(call, rows.part(middle, len(rows)), draft, now)

    def replay(self, rows: Rows) -> None:
        """Rebuild memory: what is emitted is dropped. An event that failed, and was handled when it
        was tried again, is here too; one that fails on all of its attempts did so then."""
        call, nowhere = self._past[rows.event], Outbox(self._codecs)

        def attempt(part: Rows, number: int) -> Failed | None:
            return self._call(call, part, nowhere, attempt=number, replaying=True)

        retries = self._retry_plan(rows.event).attempts
        while len(rows):
            part = rows.part(0, 1 if self._cautious else len(rows))
            for gave_up in try_all(attempt, part, retries, whole=call.whole):
                self._log.warning(
                    "%s at offset %d failed in replay, skipped: %s", rows.event,
                    gave_up.row.offsets[0], user_trace(gave_up.error),
                )  # fmt: skip
            rows = rows.part(len(part), len(rows))

    def _hold(self, rows: Rows, index: int, draft: Draft, *, attempts: int, due: float) -> None:
        self.retries.hold(rows.take([index]), attempts=attempts, due=due)
        draft.deferred.append(rows.offsets[index])

    def _failed(self, rows: Rows, failed: Failed, draft: Draft, now: float) -> None:
        offset, error = rows.offsets[failed.row], failed.error
        self._reports.complain(rows.event, offset, 1, error)
        if isinstance(error, LASTING):
            draft.parked.append(self._reports.parked(rows, failed.row, user_trace(error), 1))
            return
        due = now + backoff_s(self._retry_plan(rows.event), 1, self._dice)
        self._hold(rows, failed.row, draft, attempts=1, due=due)

    def retry(self, held: Held, draft: Draft, now: float) -> None:
        """Try an event again. Raises `HaltedError`."""
        row, event = held.row, held.row.event
        plan = self._retry_plan(event)
        draft.ran(row)
        failed = self._call(self._calls[event], row, draft.outbox, attempt=held.attempts + 1)
        if failed is None:
            draft.handled += 1
        else:
            attempts = held.attempts + 1
            self._reports.complain(event, held.offset, attempts, failed.error)
            lasting = isinstance(failed.error, LASTING)
            if not lasting and attempts <= plan.attempts:
                self.retries.again(held, now + backoff_s(plan, attempts, self._dice))
                return
            if lasting or plan.then == "park":
                parked = self._reports.parked(row, 0, user_trace(failed.error), attempts)
                draft.parked.append(parked)
            elif plan.then == "halt":
                raise HaltedError(
                    f"{self._reports.names(event)} gave up on {event} at offset {held.offset} "
                    f"after {attempts} attempts, and is declared `then halt`: {failed.error!r}"
                )
            else:
                self._log.error("%s at offset %d dropped, as declared", event, held.offset)
        draft.resolved.append(held.offset)
        self.retries.done(held, now)

    def _retry_plan(self, event: str) -> RetryPlan:
        handlers = self._handlers.get(event)
        return handlers[0].retry if handlers else RetryPlan()
