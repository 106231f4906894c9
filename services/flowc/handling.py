"""Calling handlers for rows, and what becomes of those that fail.

What comes of rows goes into a draft. `now` is the caller's monotonic clock, in s.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from typing import TYPE_CHECKING

from flowc.attempts import LASTING, try_all
from flowc.budgets import Budgets
from flowc.calls import Call, Failed, NoCall
from flowc.errors import HaltedError, KilledError
from flowc.load import Handler, user_trace
from flowc.outbox import Outbox
from flowc.retries import Held, Retries, backoff_s
from flowc.undoing import undoing
from flowc_dsl.plan import RetryPlan, ServicePlan

if TYPE_CHECKING:
    import logging

    from flowc.clock import Clock
    from flowc.codec import Codecs
    from flowc.draft import Draft
    from flowc.reports import Reports
    from flowc.rows import Rows
    from flowc.stores import Stores
    from flowc.suspects import Suspects


class Handling:
    """`handlers` and `calls` by event; `past` are the calls that rebuild memory, and `older` those
    for events that were there before the process: handlers of `delivery latest` don't want them."""

    def __init__(
        self,
        service: ServicePlan,
        codecs: Codecs,
        handlers: dict[str, list[Handler]],
        calls: dict[str, Call],
        reports: Reports,
        log: logging.Logger,
        *,
        seed: int,
        suspects: Suspects | None,
        clock: Clock,
        past: dict[str, Call] | None = None,
        older: dict[str, Call] | None = None,
        stores: Stores | None = None,
    ) -> None:
        self.retries = Retries()
        self._codecs, self._handlers, self._reports, self._log = codecs, handlers, reports, log
        all_of = {event: calls.get(event) or NoCall() for event in service.subscribes}
        self._calls = undoing(all_of, stores, codecs, handlers)
        self._past = self._calls if past is None else undoing(past, stores, codecs, handlers)
        self._older = self._calls if older is None else undoing(older, stores, codecs, handlers)
        self._latest = {e for e, own in handlers.items() if _any_latest(own)}
        self._budgets = Budgets(handlers, clock, log)
        self.began = 0  # what was there before has offsets below
        self._passed = 0  # and not told yet
        self._dice = random.Random(seed)  # noqa: S311 - jitter
        self._suspects, self._stores = suspects, stores

    def whole(self, event: str, *, past: bool = False) -> bool:
        """Whether the handlers of this event type take rows as one batch."""
        return (self._past if past else self._calls)[event].whole

    def has_handlers(self, event: str) -> bool:
        """Whether anybody handles this event type; it may only be waited for."""
        return bool(self._handlers.get(event))

    def run(self, rows: Rows, draft: Draft, now: float) -> None:
        """Handle the rows in order; those of a key that waits are deferred. What a store has
        already is not handled again."""
        if self._stores is not None:
            self._stores.note(rows)
            rows = self._recall(rows, draft, self._stores)
        if len(rows) and rows.event in self._latest and rows.offsets[0] < self.began:
            older = bisect_left(rows.offsets, self.began)
            self._run_older(rows.part(0, older), draft, now)
            rows = rows.part(older, len(rows))
        if len(rows):
            self._run_split(self._calls[rows.event], rows, draft, now)

    def _run_split(self, call: Call, rows: Rows, draft: Draft, now: float) -> None:
        if self._stores is None:
            self._run(call, rows, draft, now)
            return
        for part in self._stores.split(rows, together=call.whole):
            self._run(call, part, draft, now)

    def _recall(self, rows: Rows, draft: Draft, stores: Stores) -> Rows:
        """Have come of these events what came of them before; the new ones come back."""
        if not stores.may_have(rows.offsets[0]):
            return rows
        new = []
        for index, offset in enumerate(rows.offsets):
            if not stores.applied(offset):
                new.append(index)
                continue
            if stores.settled(offset) and rows.keys[index] in self.retries.keys:
                self._hold(rows, index, draft, attempts=0, due=0.0)  # it is emitted in its turn
                continue
            draft.handled += 1
            outcome = stores.recall(offset)
            if outcome is None:
                continue
            outcome.emit(offset, draft.outbox)
            if outcome.parked is not None:
                draft.parked.append(outcome.parked)
            elif outcome.deferred:
                self._hold(rows, index, draft, attempts=0, due=0.0)
        return rows.take(new)

    def _run_older(self, rows: Rows, draft: Draft, now: float) -> None:
        """Handlers of `delivery latest` pass them over; others of the same event do not."""
        draft.passed += len(rows)
        self._passed += len(rows)
        if self._has_older(rows.event):
            self._run_split(self._older[rows.event], rows, draft, now)

    def _has_older(self, event: str) -> bool:
        """Whether there is a handler that wants what was there before."""
        return any(h.declared.delivery != "latest" for h in self._handlers[event])

    def tell_passed(self, through: int) -> None:
        """All below `through` was seen: say once what was passed over, when that is over."""
        if self._passed and through >= self.began:
            self._log.info(
                "%d events that were there before are passed over, as declared by `delivery "
                "latest`", self._passed,
            )  # fmt: skip
            self._passed = 0

    def _run(self, call: Call, rows: Rows, draft: Draft, now: float) -> None:
        if self._cautious and len(rows) > 1:
            for index in range(len(rows)):
                self._run(call, rows.part(index, index + 1), draft, now)
            return
        draft.ran(rows)
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
                self._handled(part, draft)
                begin = end
            else:
                self._handled(part.part(0, failed.row), draft)
                self._failed(part, failed, draft, now)
                begin += failed.row + 1

    def _handled(self, rows: Rows, draft: Draft) -> None:
        draft.handled += len(rows)
        if len(rows):
            self._budgets.handled(rows, draft)

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
            self._handled(rows, draft)
        elif len(rows) == 1:
            self._failed(rows, failed, draft, now)
        else:
            middle = len(rows) // 2
            self._run_whole(call, rows.part(0, middle), draft, now)
            self._run_whole(call, rows.part(middle, len(rows)), draft, now)

    def replay(self, rows: Rows) -> None:
        """Rebuild memory: what is emitted is dropped. An event that failed, and was handled when it
        was tried again, is here too; one that fails on all of its attempts did so then."""
        if self._stores is None:
            self._replay(rows)
            return
        self._stores.note(rows)
        past = self._stores.to_build(rows)
        for part in self._stores.split(past, together=self.whole(rows.event, past=True)):
            self._replay(part)

    def _replay(self, rows: Rows) -> None:
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

    def _hold(
        self, rows: Rows, index: int, draft: Draft, *, attempts: int, due: float, error: str = ""
    ) -> None:
        self.retries.hold(rows.take([index]), attempts=attempts, due=due, error=error)
        draft.deferred[rows.offsets[index]] = rows.partition(index)

    def _failed(self, rows: Rows, failed: Failed, draft: Draft, now: float) -> None:
        offset, error = rows.offsets[failed.row], failed.error
        self._reports.complain(rows.event, offset, 1, error)
        if isinstance(error, LASTING):
            draft.parked.append(self._reports.parked(rows, failed.row, user_trace(error), 1))
            return
        row = rows.part(failed.row, failed.row + 1)
        due = self._due(row, 1, now)
        self._hold(rows, failed.row, draft, attempts=1, due=due, error=user_trace(error))

    def _due(self, row: Rows, attempts: int, now: float) -> float:
        """When to try again, after so many attempts, or to give up because the time is over."""
        pause = backoff_s(self._retry_plan(row.event), attempts, self._dice)
        return now + max(min(pause, self._budgets.left_s(row)), 0.0)

    def retry(self, held: Held, draft: Draft, now: float) -> None:
        """Try an event again, unless its time is over, or a store has it. Raises `HaltedError`."""
        row = held.row
        draft.ran(row)
        if self._was_through(held, draft):
            pass
        elif held.attempts and self._budgets.over(row):
            why = self._budgets.why(row, held.attempts, held.error)
            self._give_up(row, held.attempts, why, draft)
        elif not self._try_again(held, draft, now):
            return
        draft.resolved.append(held.offset)
        self.retries.done(held, now)

    def _was_through(self, held: Held, draft: Draft) -> bool:
        """Whether it was through, and the broker had not heard."""
        if self._stores is None:
            return False
        self._stores.note(held.row)
        outcome = self._stores.recall(held.offset)
        if outcome is None:
            return False
        outcome.emit(held.offset, draft.outbox)
        draft.parked += [outcome.parked] if outcome.parked is not None else []
        draft.handled += 1
        return True

    def _try_again(self, held: Held, draft: Draft, now: float) -> bool:
        """Whether that was the end of it."""
        row, event, attempts = held.row, held.row.event, held.attempts + 1
        failed = self._call(self._call_of(row), row, draft.outbox, attempt=attempts)
        if failed is None:
            self._handled(row, draft)
            return True
        self._reports.complain(event, held.offset, attempts, failed.error)
        trace = user_trace(failed.error)
        if isinstance(failed.error, LASTING):
            draft.parked.append(self._reports.parked(row, 0, trace, attempts))
        elif attempts <= self._retry_plan(event).attempts:
            self.retries.again(held, self._due(row, attempts, now), trace)
            return False
        else:
            self._give_up(row, attempts, trace, draft)
        return True

    def _call_of(self, row: Rows) -> Call:
        """Who handles an event that is tried again: as when it was tried first."""
        event = row.event
        older = event in self._latest and row.offsets[0] < self.began and self._has_older(event)
        return (self._older if older else self._calls)[event]

    def _give_up(self, row: Rows, attempts: int, why: str, draft: Draft) -> None:
        event, offset = row.event, row.offsets[0]
        then = self._retry_plan(event).then
        if then == "park":
            draft.parked.append(self._reports.parked(row, 0, why, attempts))
        elif then == "halt":
            raise HaltedError(
                f"{self._reports.names(event)} gave up on {event} at offset {offset} "
                f"after {attempts} attempts, and is declared `then halt`: {why.splitlines()[0]}"
            )
        else:
            self._log.error("%s at offset %d dropped, as declared: %s", event, offset, why)

    def _retry_plan(self, event: str) -> RetryPlan:
        handlers = self._handlers.get(event)
        return handlers[0].retry if handlers else RetryPlan()


def _any_latest(handlers: list[Handler]) -> bool:
    return any(h.declared.delivery == "latest" for h in handlers)
