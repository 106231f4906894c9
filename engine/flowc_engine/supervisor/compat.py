"""Whether a plan fits the state that earlier plans left behind, and making it the one in force.

What is stored stays as it was written. A plan is taken if every stored event can be read as it
declares it; which events were written how is in the state's generations.
"""

from __future__ import annotations

from flowc_dsl.plan import Plan
from flowc_engine.bus import wire
from flowc_engine.files import write_atomically
from flowc_engine.generations import (
    History,
    has_events,
    note_plan,
    stored_history,
    stored_plan,
    write_history,
)
from flowc_engine.journal.ending import JournalHeldError, hold_journal, journal_end
from flowc_engine.journal.reader import JournalRotError, read_first_header
from flowc_engine.journal.segments import list_segments
from flowc_engine.state import StateDir


class PlanChangedError(Exception):
    """The state holds events that the plan can't read; `changes` are one a line."""

    def __init__(self, state: StateDir, changes: list[str]) -> None:
        listed = "\n".join(f"  {change}" for change in changes)
        super().__init__(
            f"{state.path} holds events that can't be read as they are declared now:\n{listed}\n"
            "or start over with `--fresh` (it deletes the journal and the log)"
        )
        self.changes = changes


def adopt_plan(state: StateDir, plan: Plan) -> History:
    """Make `plan` the one in force; how its stored events are read comes back. The state's lock
    must be held.

    Raises `PlanChangedError` where stored events can't be read, `ValueError` for files of the state
    that are damaged.
    """
    old = stored_plan(state)
    if not has_events(state):
        history = History.of(plan)
    else:
        history = stored_history(state, old or plan).adopt(plan, lambda: _end(state).offset)
        if any(history.unliftable()):
            history = _of_what_is_stored(state, history)
        changes = history.faults()
        if changes:
            raise PlanChangedError(state, changes)
    # In this order: until the plan is in force, what the history adds is about no event.
    write_history(state.schemas_file, history)
    write_atomically(state.plan_file, plan.to_json().encode())
    note_plan(state, plan)
    return history


def _of_what_is_stored(state: StateDir, history: History) -> History:
    """Without the events that can't be lifted and of which none was ever stored: that is looked up
    in the journal, which takes its time, and only where the plan would be refused."""
    from flowc_engine.stored import stored_counts  # noqa: PLC0415 - it imports pyarrow

    end = _end(state)
    first = read_first_header(state.journal, list_segments(state.journal)[0]).first_offset
    # What was written before the first segment that is left is in exported files.
    doubtful = {(f.event, g.begin) for g, f in history.unliftable() if g.begin >= first}
    return history.without(doubtful - stored_counts(state.journal, end, history).keys())


def _end(state: StateDir) -> wire.Durable:
    """Where the journal ends."""
    try:
        with hold_journal(state.journal):
            return journal_end(state.journal)
    except JournalHeldError as error:
        raise ValueError(f"{error}; it ends soon after its run, try again") from None
    except JournalRotError as error:
        raise ValueError(f"the journal is damaged: {error}") from None
