"""Asking logs what they have seen, for `flowc drift` and `flowc check --log`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowc_engine.cli.asking import asked_state
from flowc_engine.cli.common import ExitCode, fail, look_for

if TYPE_CHECKING:
    from flowc_dsl.drift.observed import Observed
    from flowc_dsl.model import System
    from flowc_dsl.rules.stored import NotDecodable
    from flowc_engine.log.query import Log
    from flowc_engine.state import StateDir


def watched(log: Log, system: System, begin: int = 0) -> Observed:
    """What the log has seen; on a terminal, a line says what is looked at."""
    from flowc_engine.log.observe import observe

    with progress_line() as show:
        return observe(log, system, begin=begin, progress=lambda what: show(f"looking at {what}"))


def decoded(state: StateDir, system: System) -> tuple[NotDecodable, ...]:
    """What of a state's stored events can't be read as they are declared now. What goes wrong ends
    the process with a message."""
    from flowc_engine.journal.reader import JournalRotError
    from flowc_engine.stored import StoredUnavailableError, stored_faults

    try:
        with progress_line() as show:
            return tuple(stored_faults(
                state, system, lambda done, end: show(f"decoding: {done:,} of {end:,} events")
            ))  # fmt: skip
    except (StoredUnavailableError, ValueError) as error:
        fail(str(error), ExitCode.FAILURE)
    except JournalRotError as error:
        fail(f"the journal is damaged: {error}", ExitCode.FAILURE)
    except OSError as error:
        fail(f"{error.filename or state.path}: {error.strerror or error}", ExitCode.FAILURE)


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """Shows what is at hand in one line, on a terminal; it is gone afterwards."""
    shown = sys.stderr.isatty()

    def show(text: str) -> None:
        if shown:
            click.echo(f"\r\x1b[K{look_for(sys.stderr).show(text)}", nl=False, err=True)

    try:
        yield show
    finally:
        if shown:
            click.echo("\r\x1b[K", nl=False, err=True)


def state_with_log(root: Path, system: System) -> StateDir | None:
    """The system's state, if it has ever run."""
    from flowc_engine.generations import has_events
    from flowc_engine.state import StateDir

    state = StateDir(root, system.name)
    return state if has_events(state) else None


class Watcher:
    """Asks the log of each system that has one; who has none is told at the end."""

    def __init__(self) -> None:
        self._looked: set[str] = set()
        self._without: list[str] = []

    def __call__(self, root: Path, system: System) -> Observed | None:
        state = state_with_log(root, system)
        if state is None:
            self._without.append(system.name)
            return None
        self._looked.add(system.name)
        undecodable = decoded(state, system)
        with asked_state(state, system.span.path) as log:
            return replace(watched(log, system), undecodable=undecodable)

    def tell(self) -> None:
        """Say who has no log; if nobody has one, that ends the process with 2."""
        if self._without and not self._looked:
            fail(f"{self._without[0]} has not run yet, so there is no log: start `flowc run`")
        for name in self._without:
            click.echo(f"note: {name} has no log yet", err=True)
