"""`flowc log FILE [SQL]`: the event log as a database."""

from __future__ import annotations

import sys
import time
from os import fsencode
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowc_engine.cli.asking import (
    LIMIT_DEFAULT,
    Format,
    asked_fork,
    asked_log,
    print_rows,
    print_stats,
)
from flowc_engine.cli.common import fail, look_for, shown_path

if TYPE_CHECKING:
    from flowc_engine.log.query import Log

_FOLLOW_POLL_S = 0.3
_FOLLOW_ROWS = 1_000
_FOLLOW_BEGIN = 10  # events of the past


@click.command()
@click.argument("file", type=click.Path())
@click.argument("sql", required=False)
@click.option("--json", "form", flag_value="json", help="Write JSON.")
@click.option("--csv", "form", flag_value="csv", help="Write CSV.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help=f"Show at most so many rows, 0 for all.  [default: {LIMIT_DEFAULT}; all as JSON or CSV]",
)
@click.option("--fork", metavar="NAME", help="Query a fork that `flowc replay` made, or a folder.")
@click.option("--follow", is_flag=True, help="Show events as they come, while a run is up.")
def command(
    file: str,
    sql: str | None,
    form: Format | None,
    limit: int | None,
    fork: str | None,
    *,
    follow: bool,
) -> None:
    """Query the event log of FILE's system.

    \b
    Examples:
      flowc log shop.flow
      flowc log shop.flow "SELECT count(*), sum(total) FROM OrderPlaced"
      flowc log shop.flow --fork Payments-0-1800-1 "SELECT * FROM recorded.PaymentTaken"

    Without SQL, a table of the event types: how many, how fast, since when. With SQL (`-` reads it
    from standard input), the rows: one table for each event type, named as it is, with the columns
    _offset _time _source _cause _root _partition _version; _events has the events of all types, and
    _parked those that a handler gave up on (see `flowc parked --help`).
    """
    if follow and (sql is not None or form is not None):
        fail("--follow shows events as lines: it takes no SQL and no format")
    text = None if sql is None else _text(sys.stdin.buffer.read() if sql == "-" else fsencode(sql))
    form = form or "table"
    if follow and fork is not None:
        fail("--follow shows what a run adds; nothing is added to a fork")
    with asked_log(file) if fork is None else asked_fork(file, fork) as (system, log):
        if follow:
            _follow(log)
        elif text is None:
            print_stats(log, system, form, shown_path(Path(file)) if fork is None else "")
        else:
            default = LIMIT_DEFAULT if form == "table" else 0
            print_rows(log, text, form, (default if limit is None else limit) or None)


def _text(sql: bytes) -> str:
    """Whatever the locale says: SQL is UTF-8."""
    try:
        return sql.decode("utf-8")
    except UnicodeDecodeError as error:
        fail(f"the SQL is not UTF-8 at byte {error.start}")


def _follow(log: Log) -> None:
    """Print events until Ctrl-C or the end of the run."""
    from flowc_engine.log.query import LogUnavailableError
    from flowc_engine.log.shown import iso

    if not log.live:
        fail("nothing runs, so there is nothing to follow: start `flowc run`")
    look = look_for(sys.stdout)
    newest = "SELECT coalesce(max(_offset), -1) FROM _events"
    begin = max(0, int(log.query(newest).table.column(0)[0].as_py()) + 1 - _FOLLOW_BEGIN)
    while True:
        events = (
            "SELECT _offset, _time, event, key, _source FROM _events "  # noqa: S608 - an integer
            f"WHERE _offset >= {begin} ORDER BY _offset"
        )
        try:
            rows = log.query(events, _FOLLOW_ROWS, as_of=0).table.to_pylist()
        except LogUnavailableError:
            click.echo("the run has ended", err=True)
            return
        for row in rows:
            begin = row["_offset"] + 1
            key = "" if row["key"] is None else look.show(row["key"])
            click.echo(
                f"{row['_offset']:>10}  {iso(row['_time'])}  {row['event']}  {key}  "
                f"from {look.show(row['_source'])}"
            )
        if len(rows) < _FOLLOW_ROWS:
            time.sleep(_FOLLOW_POLL_S)
