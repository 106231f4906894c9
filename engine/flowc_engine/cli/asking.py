"""What `flowc log` and `flowc trace` share: getting at the log, and showing what it says."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

import click

from flowc_engine.cli.common import ExitCode, fail, look_for

if TYPE_CHECKING:
    from rich.table import Table

    from flowc_dsl.diagnostics.width import Look
    from flowc_engine.log.query import FileLog, LiveLog, Log
    from flowc_engine.log.readers import QueryError
    from flowc_engine.state import StateDir

LIMIT_DEFAULT: Final = 1_000
Format = Literal["table", "json", "csv"]
_CELL_CHARS_MAX = 60
_BETWEEN = 3
_ALL_OF = "SELECT * FROM "
_CATCH_UP_NOTED = 200_000  # events; fewer are applied before anyone could read about it


def state_of(file: str) -> StateDir:
    """Where the file's system keeps its state. Only the system's name is needed: a program that is
    being changed, and has errors, can still be asked what it did."""
    from flowc_dsl.compile import compile_program
    from flowc_engine.cli.common import load_checked
    from flowc_engine.loader import LoadError, load
    from flowc_engine.state import StateDir

    try:
        program = load(Path(file))
    except LoadError as error:
        fail(f"can't read {error.filename}: {error.strerror}")
    system = compile_program(program.files, program.main).system
    if system is None:
        load_checked(file)  # says what is wrong, and ends the process
        fail(f"{file} names no system")
    return StateDir(program.root, system.name)


@contextmanager
def asked_log(file: str) -> Iterator[tuple[str, LiveLog | FileLog]]:
    """The name of the file's system, and its log.

    What goes wrong, also in the `with`, ends the process with a message."""
    state = state_of(file)
    with asked_state(state, file) as log:
        yield state.system, log


@contextmanager
def asked_fork(file: str, name: str) -> Iterator[tuple[str, Log]]:
    """The name of the file's system, and a fork of its log: one of its replays, or a folder.

    What goes wrong, also in the `with`, ends the process with a message."""
    import duckdb

    from flowc_engine.config import did_you_mean
    from flowc_engine.log.readers import QueryError
    from flowc_engine.replaying.fork import Fork, open_fork

    state = state_of(file)
    folder = state.replays / name
    try:
        fork = Fork(folder if folder.is_dir() else Path(name))
        if not fork.report_file.exists():  # it is written last
            known = [found.name for found in state.replays.glob("*")]
            fail(f"there is no fork {name}{did_you_mean(name, known)}; `flowc replay` makes them")
        with open_fork(fork) as log:
            yield state.system, log
    except BrokenPipeError:
        raise
    except QueryError as error:
        _query_failed(error)
    except (duckdb.Error, OSError) as error:
        fail(f"the fork can't be used: {error}", ExitCode.FAILURE)


@contextmanager
def asked_state(state: StateDir, file: str) -> Iterator[LiveLog | FileLog]:
    """The log of a state; `file` is the main file, for messages. What goes wrong, also in the
    `with`, ends the process with a message."""
    import duckdb

    from flowc_engine.journal.reader import JournalRotError
    from flowc_engine.log.follow import LogConflictError
    from flowc_engine.log.query import LogUnavailableError, NoLogError, open_log
    from flowc_engine.log.readers import QueryError
    from flowc_engine.log.store import LogHeldError
    from flowc_engine.log.tables import LogSchemaError

    try:
        with open_log(state, _note, _catching_up()) as log:
            yield log
    except BrokenPipeError:
        raise  # whoever reads our output has seen enough: click ends quietly
    except NoLogError as error:
        fail(f"{error}; start it with `flowc run {file}`")
    except QueryError as error:
        _query_failed(error)
    except (LogUnavailableError, LogHeldError, LogConflictError, LogSchemaError) as error:
        fail(str(error), ExitCode.FAILURE)
    except JournalRotError as error:
        fail(f"the journal is damaged: {error}", ExitCode.FAILURE)
    except (duckdb.Error, OSError) as error:
        fail(f"the log can't be used: {error}", ExitCode.FAILURE)


def _query_failed(error: QueryError) -> NoReturn:
    own = error.kind in {"sql", "refused", "too_large", "timeout"}
    _fail_in_full(str(error), ExitCode.FINDINGS if own else ExitCode.FAILURE)


def _fail_in_full(message: str, code: ExitCode) -> NoReturn:
    """DuckDB's messages have lines: the SQL, and a caret below the place."""
    look = look_for(sys.stderr)
    first, *others = (look.show(line) for line in message.splitlines() if line.strip())
    click.echo("\n".join([f"error: {first}", *others]), err=True)
    sys.exit(code)


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


def print_rows(log: Log, sql: str, form: Format, rows_max: int | None) -> None:
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
            print_blocks(names, rows)
            click.echo(f"{len(rows)} {'row' if len(rows) == 1 else 'rows'}", err=True)
    if answer.truncated and form != "json":
        _note(f"the first {len(rows)} rows; --limit 0 shows all")


def print_blocks(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table, in blocks of columns that fit the terminal; in one, where there is none."""
    from rich.console import Console
    from rich.text import Text

    look = look_for(sys.stdout)
    cells = [[_cell(value, look) for value in row] for row in rows]
    widths = [_width([name, *(row[i] for row in cells)]) for i, name in enumerate(names)]
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = sum(widths) + 1
    begin = 0
    while begin < len(names):
        end = _block_end(widths, begin, console.width)
        if end - begin < len(names):
            console.print(f"columns {begin + 1} to {end} of {len(names)}", style="dim")
        table = _plain_table()
        for i in range(begin, end):
            number = all(isinstance(row[i], int | float | None) for row in rows)
            table.add_column(Text(names[i]), justify="right" if number else "left", no_wrap=True)
        for row in cells:
            table.add_row(*map(Text, row[begin:end]))  # what is in events is no markup
        console.print(table)
        begin = end


def _width(texts: list[str]) -> int:
    """Of a column, with what is between it and the next."""
    from rich.cells import cell_len

    return max(map(cell_len, texts)) + _BETWEEN


def _block_end(widths: list[int], begin: int, width: int) -> int:
    """As many columns as fit, at least one."""
    end, used = begin + 1, widths[begin]
    while end < len(widths) and used + widths[end] <= width:
        used += widths[end]
        end += 1
    return end


def _plain_table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")


def _cell(value: object, look: Look) -> str:
    from flowc_engine.log.shown import to_text

    text = "NULL" if value is None else to_text(value)
    text = look.show(text)
    if len(text) > _CELL_CHARS_MAX:
        text = text[: _CELL_CHARS_MAX - 1] + "…"
    return text


def print_stats(log: Log, system: str, form: Format, file: str) -> None:
    """The event types of the log, on stdout. `file`: the main file; "" for a fork."""
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
    print_blocks(heads, [[row[n] for n in names] for row in listed])
    _note(f"{stats.applied} events of {len(listed)} types" + (", running" if log.live else ""))
    if stats.parked and file:
        _note(f"{stats.parked} parked: `flowc parked list {file}` says why")
    elif stats.parked:
        _note(f"{stats.parked} raised: _parked says why")
    if stats.rejected:
        _note(f"{stats.rejected} fit no table: {_ALL_OF}_rejected")
