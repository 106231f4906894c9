"""What `flowc log` and `flowc trace` share: getting at the log, and showing what it says."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from flowc_engine.cli.common import ExitCode, fail

if TYPE_CHECKING:
    from rich.table import Table

    from flowc_dsl.plan import Plan
    from flowc_engine.log.query import FileLog, LiveLog
    from flowc_engine.state import StateDir

LIMIT_DEFAULT: Final = 1_000
Format = Literal["table", "json", "csv"]
_CELL_CHARS_MAX = 60
_CATCH_UP_NOTED = 200_000  # events; fewer are applied before anyone could read about it


def _state_of(file: str) -> tuple[StateDir, Plan]:
    from flowc_engine.cli.common import load_checked
    from flowc_engine.state import StateDir

    checked = load_checked(file)
    assert checked.program is not None
    assert checked.compilation is not None
    plan = checked.compilation.plan
    assert plan is not None
    return StateDir(checked.program.root, plan.system), plan


@contextmanager
def asked_log(file: str) -> Iterator[tuple[str, LiveLog | FileLog]]:
    """The name of the file's system, and its log. What goes wrong ends the process with a message."""
    state, plan = _state_of(file)

    import duckdb

    from flowc_engine.journal.reader import JournalRotError
    from flowc_engine.log.follow import LogConflictError
    from flowc_engine.log.query import LogUnavailableError, NoLogError, open_log
    from flowc_engine.log.readers import QueryError
    from flowc_engine.log.store import LogHeldError
    from flowc_engine.log.tables import LogSchemaError

    try:
        with open_log(state, plan, _note, _catching_up()) as log:
            yield plan.system, log
    except BrokenPipeError:
        raise  # whoever reads our output has seen enough: click ends quietly
    except NoLogError as error:
        fail(f"{error}; start it with `flowc run {file}`")
    except QueryError as error:
        own = error.kind in {"sql", "refused", "too_large", "timeout"}
        fail(str(error).strip(), ExitCode.FINDINGS if own else ExitCode.FAILURE)
    except (LogUnavailableError, LogHeldError, LogConflictError, LogSchemaError) as error:
        fail(str(error), ExitCode.FAILURE)
    except JournalRotError as error:
        fail(f"the journal is damaged: {error}", ExitCode.FAILURE)
    except (duckdb.Error, OSError) as error:
        fail(f"the log can't be opened: {error}", ExitCode.FAILURE)


def _note(text: str) -> None:
    click.echo(text, err=True)


def _catching_up() -> Any:
    noted = False

    def progress(done: int, end: int) -> None:
        nonlocal noted
        if not noted and end - done > _CATCH_UP_NOTED:
            noted = True
            _note(f"the last run was cut short: {end - done} events are moved into the log first")

    return progress


def _warn(applied: int, *, current: bool) -> None:
    if not current:
        _note(f"warning: the broker is ahead; this is the log up to event {applied}")


def print_rows(log: LiveLog | FileLog, sql: str, form: Format, rows_max: int | None) -> None:
    """The answer to a query, on stdout."""
    from flowc_engine.log.shown import to_json_value, to_rows, to_text

    answer = log.query(sql, rows_max)
    names = answer.table.column_names
    rows = to_rows(answer.table)
    _warn(answer.applied, current=answer.current)
    match form:
        case "json":
            value = {
                "format_version": "1.0",
                "columns": names,
                "rows": [[to_json_value(v) for v in row] for row in rows],
                "truncated": answer.truncated,
                "applied": answer.applied,
                "current": answer.current,
            }
            click.echo(json.dumps(value, ensure_ascii=False))
        case "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(names)
            writer.writerows([to_text(v) for v in row] for row in rows)
        case "table":
            _print_blocks(names, rows)
            click.echo(f"{len(rows)} {'row' if len(rows) == 1 else 'rows'}", err=True)
    if answer.truncated and form != "json":
        _note(f"the first {len(rows)} rows; --limit 0 shows all")


def _print_blocks(names: list[str], rows: list[list[Any]]) -> None:
    """A table, in blocks of columns that fit the terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) + 3 for i, name in enumerate(names)]
    width = console.width if console.is_terminal else sum(widths) + 1
    right = [
        all(isinstance(r[i], int | float) or r[i] is None for r in rows) for i in range(len(names))
    ]
    begin = 0
    while begin < len(names):
        end, used = begin, 1
        while end < len(names) and (end == begin or used + widths[end] <= width):
            used += widths[end]
            end += 1
        if end - begin < len(names):
            console.print(f"columns {begin + 1} to {end} of {len(names)}", style="dim")
        table = _plain_table()
        for i in range(begin, end):
            table.add_column(names[i], justify="right" if right[i] else "left", no_wrap=True)
        for row in cells:
            table.add_row(*row[begin:end])
        console.print(table, width=max(used, width), soft_wrap=True)
        begin = end


def _plain_table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")


def _cell(value: object) -> str:
    from rich.markup import escape

    from flowc_engine.log.shown import to_text

    text = "NULL" if value is None else to_text(value)
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if len(text) > _CELL_CHARS_MAX:
        text = text[: _CELL_CHARS_MAX - 1] + "…"
    return escape(text)


def print_stats(log: LiveLog | FileLog, system: str, form: Format) -> None:
    """The event types of the log, on stdout."""
    from flowc_engine.log.shown import iso
    from flowc_engine.log.stats import log_stats

    stats = log_stats(log)
    _warn(stats.applied, current=stats.current)
    listed = [
        {
            "event": e.event,
            "count": e.count,
            "rate_per_s": round(e.rate_per_s, 3),
            "recent_per_s": round(e.recent_per_s, 3),
            "first": iso(e.first) if e.first else None,
            "last": iso(e.last) if e.last else None,
        }
        for e in stats.events
    ]
    if form == "json":
        value = {
            "format_version": "1.0",
            "system": system,
            "live": log.live,
            "applied": stats.applied,
            "current": stats.current,
            "parked": stats.parked,
            "rejected": stats.rejected,
            "events": listed,
        }
        click.echo(json.dumps(value, ensure_ascii=False))
        return
    names = ["event", "count", "rate_per_s", "recent_per_s", "first", "last"]
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([row[n] for n in names] for row in listed)
        return
    heads = ["event", "count", "per s", "per s, last minute", "first", "last"]
    _print_blocks(heads, [[row[n] for n in names] for row in listed])
    _note(f"{stats.applied} events of {len(listed)} types" + (", running" if log.live else ""))
    if stats.parked:
        _note(f"{stats.parked} parked: SELECT * FROM _parked")
    if stats.rejected:
        _note(f"{stats.rejected} fit no table: SELECT * FROM _rejected")
