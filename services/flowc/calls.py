"""Calling handlers: one loop a shape of function, chosen at the start, so that the inner loop asks
nothing that it knows.

A call handles rows until one fails. What a row emitted counts once the row is through: nothing of
the row that failed is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from flowc.batch import Batch, batch_columns
from flowc.codec import Codecs, as_int64
from flowc.columns import MisfitError
from flowc.contract import Contract
from flowc.errors import ContractError, SchemaError
from flowc.load import Function, Handler
from flowc.outbox import Outbox, roots_of, too_large
from flowc.packing import EmittedBatch
from flowc.rows import Rows

if TYPE_CHECKING:
    from flowc.stores import Stores

T = TypeVar("T")


class Who(NamedTuple):
    """Which service process this is, for `Context`."""

    service: str
    replica: int
    stores: Stores | None = None


class Failed(NamedTuple):
    """Row `row` failed; all before it are through."""

    row: int
    error: BaseException


class Call(Protocol):
    """The handlers of one event type."""

    whole: bool  # takes rows as one batch: a failure is of all of them

    def run(self, rows: Rows, outbox: Outbox, *, attempt: int, replaying: bool) -> Failed | None:
        """Handle the rows in order; what they emit goes to `outbox`."""


def make_call(
    handlers: list[Handler], codecs: Codecs, who: Who, loop: asyncio.AbstractEventLoop | None
) -> Call:
    """The call for all handlers of one event type; together they are one unit."""
    if not handlers:
        return NoCall()
    single: list[Call] = []
    for handler in handlers:
        function = handler.function
        contract = Contract(function.name, handler.declared.outputs, codecs.classes)
        if function.takes != "event":
            single.append(BatchCall(function, contract, codecs, who, loop))
        elif function.shape == "plain":
            single.append(EventCall(function, contract, who))
        else:
            single.append(AsyncCall(function, contract, who, loop))
    return single[0] if len(single) == 1 else UnitCall(single, codecs)


class NoCall:
    """Nobody handles these: they cancel a deadline, or are partners of a join."""

    whole = True

    def run(self, *_: object, **__: object) -> None:
        """See `Call`."""


class EventCall:
    """A plain function or generator function of one event."""

    whole = False

    def __init__(self, function: Function, contract: Contract, who: Who) -> None:
        self.function, self.contract, self.who = function, contract, who

    def results(self, rows: Rows, attempt: int, *, replaying: bool) -> Iterator[Any]:
        """What the function returns for each row."""
        if not self.function.context:
            return map(self.function.call, rows.events)
        contexts = rows.contexts(*self.who, attempt=attempt, replaying=replaying)
        return map(self.function.call, rows.events, contexts)

    def run(self, rows: Rows, outbox: Outbox, *, attempt: int, replaying: bool) -> Failed | None:
        """See `Call`."""
        contract = self.contract
        alone, may_be_silent = contract.alone, contract.may_be_silent
        emitted: list[Any] = []
        causes: list[int] = []
        failed = None
        i = 0
        try:
            for result in self.results(rows, attempt, replaying=replaying):
                if result is None:
                    if not may_be_silent:
                        contract.silent()
                elif type(result) in alone:
                    emitted.append(result)
                    causes.append(i)
                else:
                    several = take(contract, result)
                    emitted += several
                    causes += [i] * len(several)
                i += 1
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything
            failed = Failed(i, error)
        deliver(outbox, contract, rows, emitted, causes)
        return failed


class AsyncCall:
    """An `async def`, or an async generator function, of one event.

    Events are handled one after the other; what the function has started beside goes on while the
    loop runs.
    """

    whole = False

    def __init__(
        self,
        function: Function,
        contract: Contract,
        who: Who,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self._event_call = EventCall(function, contract, who)
        self._loop = loop
        self._generates = function.shape == "async_generator"

    def run(self, rows: Rows, outbox: Outbox, *, attempt: int, replaying: bool) -> Failed | None:
        """See `Call`."""
        return run_async(self._loop, self._run(rows, outbox, attempt, replaying=replaying))

    async def _run(
        self, rows: Rows, outbox: Outbox, attempt: int, *, replaying: bool
    ) -> Failed | None:
        contract = self._event_call.contract
        emitted: list[Any] = []
        causes: list[int] = []
        failed = None
        i = 0
        try:
            for result in self._event_call.results(rows, attempt, replaying=replaying):
                if self._generates:
                    several = await take_async(contract, result)
                else:
                    several = take(contract, await result)
                emitted += several
                causes += [i] * len(several)
                i += 1
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything
            failed = Failed(i, error)
        deliver(outbox, contract, rows, emitted, causes)
        return failed


class BatchCall:
    """A function of an Arrow batch."""

    whole = True

    def __init__(
        self,
        function: Function,
        contract: Contract,
        codecs: Codecs,
        who: Who,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self._function, self._contract, self._codecs = function, contract, codecs
        self._who, self._loop = who, loop

    def run(self, rows: Rows, outbox: Outbox, *, attempt: int, replaying: bool) -> Failed | None:
        """See `Call`."""
        try:
            found = self._results(rows, attempt, replaying=replaying)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything
            return Failed(0, error)
        for item in found:
            outbox.add_batch(item)
        return None

    def _results(self, rows: Rows, attempt: int, *, replaying: bool) -> list[EmittedBatch]:
        args: list[Any] = [rows.as_batch() if self._function.takes == "batch" else rows.arrow()]
        if self._function.context:
            last = rows.part(len(rows) - 1, len(rows))
            args += last.contexts(*self._who, attempt=attempt, replaying=replaying)
        result = self._function.call(*args)
        if self._function.shape == "plain":
            items = _one_or_several(result)
            return [self._take(item, rows, _thrower(items)) for item in items]
        return run_async(self._loop, self._results_async(result, rows))

    async def _results_async(self, result: Any, rows: Rows) -> list[EmittedBatch]:
        if self._function.shape == "async":
            return [self._take(item, rows, None) for item in _one_or_several(await result)]
        return [self._take(item, rows, None) async for item in result]

    def _take(
        self, item: Any, rows: Rows, throw: Callable[[Exception], object] | None
    ) -> EmittedBatch:
        """Check one thing that was emitted: a batch, or a single event."""
        try:
            return self._columns(item, rows)
        except ContractError as error:
            if throw is not None:
                throw(error)
            raise

    def _columns(self, item: Any, rows: Rows) -> EmittedBatch:
        """Raises `ContractError`. All is checked here, where the rows to blame are known."""
        name = self._contract.name_of(item.event if isinstance(item, Batch) else type(item))
        codec, causes = self._codecs[name], None
        try:
            if isinstance(item, Batch):
                columns, causes = batch_columns(codec, item)
                count = len(item)
            else:
                columns, count = codec.columns([item]), 1
        except MisfitError as error:
            raise SchemaError(f"{self._function.name} emitted {name}: {error}") from error
        if causes is None:
            causes = as_int64([rows.offsets[-1]] * count)
            roots = as_int64([rows.roots[-1]] * count)
        else:
            roots = roots_of(causes, list(rows.offsets), rows.roots)
            if roots is None:
                raise SchemaError(
                    f"{self._function.name} emitted a batch of {name} whose _cause is no offset "
                    "of its input"
                )
        batch = EmittedBatch(name, columns, causes, roots)
        why = too_large(codec, batch)
        if why is not None:
            raise SchemaError(f"{self._function.name} emitted {why}")
        return batch


class UnitCall:
    """Several handlers of one event type: an event is through when all have handled it."""

    whole = False

    def __init__(self, calls: list[Call], codecs: Codecs) -> None:
        self._calls = calls
        self._codecs = codecs

    def run(self, rows: Rows, outbox: Outbox, *, attempt: int, replaying: bool) -> Failed | None:
        """See `Call`."""
        for i in range(len(rows)):
            row = rows.part(i, i + 1)
            own = Outbox(self._codecs)
            for call in self._calls:
                failed = call.run(row, own, attempt=attempt, replaying=replaying)
                if failed is not None:
                    return Failed(i, failed.error)
            outbox.add_all(own)
        return None


def run_async(loop: asyncio.AbstractEventLoop | None, work: Coroutine[Any, Any, T]) -> T:
    """Run on the process's loop; there is one if any function is `async`."""
    assert loop is not None
    return loop.run_until_complete(work)


def take(contract: Contract, result: Any) -> list[Any]:
    """What a call for one event emitted, held against the contract. Raises `ContractError`."""
    emitted = []
    throw = _thrower(result)
    for item in _one_or_several(result):
        if not contract.knows(item):
            error = contract.undeclared(item)
            if throw is not None:
                throw(error)  # so that the traceback ends at the `yield`
            raise error
        emitted.append(item)
    contract.count(emitted)
    return emitted


async def take_async(contract: Contract, result: AsyncIterator[Any]) -> list[Any]:
    """`take`, for an async generator."""
    emitted = []
    async for item in result:
        if not contract.knows(item):
            error = contract.undeclared(item)
            throw = getattr(result, "athrow", None)
            if throw is not None:
                await throw(error)
            raise error
        emitted.append(item)
    contract.count(emitted)
    return emitted


def deliver(
    outbox: Outbox, contract: Contract, rows: Rows, emitted: list[Any], causes: list[int]
) -> None:
    """Hand over what rows emitted; `causes` are their places in `rows`."""
    if emitted:
        offsets, roots = rows.offsets, rows.roots
        outbox.add(
            emitted, contract.allowed, [offsets[i] for i in causes], [roots[i] for i in causes]
        )


def _one_or_several(result: Any) -> Iterable[Any]:
    if result is None:
        return ()
    if isinstance(result, list | tuple | Iterator):
        return result
    return (result,)


def _thrower(result: Any) -> Callable[[Exception], object] | None:
    return getattr(result, "throw", None)
