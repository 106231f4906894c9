"""A source process: it runs one generator of events.

    python -I -m flowc.source --plan FILE --name NAME --target MODULE:FUNCTION [--args JSON]
        [--emits A,B] --broker ENDPOINT --root FOLDER

`--args` is a JSON object, the function's keyword arguments. `--emits` names what it may emit;
without it, every external event. `--root` is the project's root; it is put on the path of
imports.

The function is a generator (or an async generator, or returns an iterable) of events, or of
`flowc.Batch`es. After a restart it goes on behind what is durable: a function with a parameter
`skip` is told how many events that is and has to begin behind them; of any other, that many are
dropped, so it has to give the same events again. SIGTERM (and the broker's `Drained`) end it when
what it has given so far is durable. Exit codes: `flowc.exits`.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from types import FrameType
from typing import Any

from flowc.batch import Batch
from flowc.classes import Classes
from flowc.errors import CodeError, ContractError, FlowcError
from flowc.exits import Exit
from flowc.load import find_attribute, load_module
from flowc.process import failed, parse, run
from flowc.publisher import Publisher

SETTLE_S_MAX = 5.0
"""At the end, the broker has this long to confirm what was sent."""
_SWITCH_S = 0.0005  # the connection's thread gets its turn within this, whatever the generator does


class StopSource(BaseException):
    """SIGTERM, raised where the generator is."""


def main(argv: list[str] | None = None) -> int:
    """Publish until exhausted; the exit code comes back."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="flowc.source", description=__doc__)
    parser.add_argument("--name", required=True, help="the source's name")
    parser.add_argument("--target", required=True, help="MODULE:FUNCTION")
    parser.add_argument("--args", type=json.loads, default={}, help="keyword arguments, as JSON")
    parser.add_argument("--emits", default="", help="what it may emit, separated by commas")
    args = parse(parser, argv)
    prog = f"source {args.name}"
    try:
        signal.signal(signal.SIGTERM, _stop)
        return run(prog, args.root, args.plan, lambda classes: _serve(classes, args, prog))
    except StopSource:
        return Exit.DONE  # before there was anything to confirm


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StopSource


class _Publisher(Publisher):
    def drained(self) -> None:
        """The generator may sleep: only a signal gets it out."""
        os.kill(os.getpid(), signal.SIGTERM)


def _serve(classes: Classes, args: argparse.Namespace, prog: str) -> Exit:
    module_name, _, attribute = args.target.partition(":")
    function = find_attribute(load_module(module_name), attribute)
    classes.adopt_imported()
    emits = [name for name in args.emits.split(",") if name] or None
    publisher = _Publisher(args.broker, classes.plan, args.name, emits, args.key)
    sys.setswitchinterval(_SWITCH_S)
    try:
        opened = publisher.open()
        if opened.done:
            return Exit.DONE
        feed(publisher, _events(function, args.args, opened.seq, args.target))
        publisher.finish()
    except StopSource:
        publisher.settle(SETTLE_S_MAX)
    except FlowcError as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if isinstance(error, ContractError | CodeError):
            publisher.settle(SETTLE_S_MAX)  # what came before it is sound
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        publisher.settle(SETTLE_S_MAX)
        return failed(prog, error)
    finally:
        publisher.close()
    return Exit.DONE


def feed(publisher: Publisher, events: Iterable[Any]) -> None:
    """Publish all; `Publisher.publish`, unrolled."""
    queue, allowed = publisher.queue, publisher.allowed
    append = queue.append
    throw = getattr(events, "throw", None)
    for event in events:
        if type(event) not in allowed:
            try:
                publisher.check(event)
            except ContractError as error:
                if throw is not None:
                    throw(error)  # so that the traceback ends at the `yield`
                raise
        append(event)
        if publisher.idle or len(queue) >= publisher.high:
            publisher.attend()


def _events(function: Any, kwargs: dict[str, Any], skip: int, target: str) -> Iterable[Any]:
    """What the function gives, from event number `skip` on."""
    try:
        parameters = inspect.signature(function).parameters
        resumes = "skip" in parameters and "skip" not in kwargs
        bound = {**kwargs, "skip": skip} if resumes else kwargs
        inspect.signature(function).bind(**bound)
    except TypeError as error:
        raise CodeError(f"{target} can't be called with {kwargs}: {error}") from error
    events = function(**bound)
    if isinstance(events, AsyncIterator):
        events = _drive(events)
    if not isinstance(events, Iterable):
        raise CodeError(f"{target} returned {type(events).__name__}, not a generator of events")
    return events if resumes or not skip else drop(iter(events), skip)


def drop(events: Iterator[Any], skip: int) -> Iterator[Any]:
    """All but the first `skip` events; a batch counts its rows, and may be cut."""
    for event in events:
        rows = len(event) if isinstance(event, Batch) else 1
        if rows <= skip:
            skip -= rows
            continue
        yield event.tail(skip) if skip else event
        skip = 0
        break
    yield from events


def _drive(events: AsyncIterator[Any]) -> Iterator[Any]:
    """An async generator as a plain one, on a loop of its own."""
    with asyncio.Runner() as runner:

        async def take() -> Any:
            return await anext(events)

        while True:
            try:
                event = runner.run(take())
            except StopAsyncIteration:
                return
            yield event


if __name__ == "__main__":
    sys.exit(main())
