# ruff: noqa: S608 - only integers are put into SQL
"""What led to an event, and what came of it: the causation tree that it is part of.

Every event knows its cause and the root of its chain, so one scan for the root finds all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flowc_engine.log.query import Log


class NoSuchEventError(Exception):
    """There is no event with this offset."""


@dataclass(slots=True)
class ParkedNote:
    """A handler gave up on an event."""

    service: str
    handler: str
    error: str
    attempts: int


@dataclass(slots=True)
class Node:
    """An event, and its direct effects by offset. `after_ms`: since the root."""

    offset: int
    event: str
    key: str | None
    source: str
    time: datetime
    after_ms: float
    cause: int | None
    parked: list[ParkedNote] = field(default_factory=list)
    effects: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trace:
    """`events` in the tree; `cut`: there are more, later ones."""

    root: Node
    offset: int
    events: int
    cut: bool


def trace(log: Log, offset: int, events_max: int) -> Trace:
    """The tree of the event at `offset`, its first `events_max` events.

    Raises `NoSuchEventError`, and `QueryError`.
    """
    found = log.query(f"SELECT _root FROM _events WHERE _offset = {offset}").table
    if not found.num_rows:
        raise NoSuchEventError(_no_such(log, offset))
    root = found.column(0)[0].as_py()
    members = f"FROM _events WHERE _root = {root} AND _offset >= {root}"
    columns = "_offset, event, key, _source, _time, _cause"
    answer = log.query(f"SELECT {columns} {members} ORDER BY _offset", events_max, as_of=0)
    nodes = _nodes(answer.table.to_pylist())
    parked = f"SELECT * FROM _parked WHERE _offset IN (SELECT _offset {members})"
    for row in log.query(parked, as_of=0).table.to_pylist():
        if row["_offset"] in nodes:
            note = ParkedNote(row["service"], row["handler"], row["error"], row["attempts"])
            nodes[row["_offset"]].parked.append(note)
    return Trace(_grow(nodes, root), offset, len(nodes), answer.truncated)


def _no_such(log: Log, offset: int) -> str:
    sql = "SELECT min(_offset) AS first, max(_offset) AS last FROM _events"
    [row] = log.query(sql, as_of=0).table.to_pylist()
    if row["first"] is None:
        return f"there is no event {offset}: the log is empty"
    return f"there is no event {offset}: the log has the offsets {row['first']} to {row['last']}"


def _nodes(rows: list[dict[str, Any]]) -> dict[int, Node]:
    begun = rows[0]["_time"]
    return {
        row["_offset"]: Node(
            row["_offset"],
            row["event"],
            row["key"],
            row["_source"],
            row["_time"],
            (row["_time"] - begun).total_seconds() * 1000,
            row["_cause"],
        )
        for row in rows
    }


def _grow(nodes: dict[int, Node], root: int) -> Node:
    for offset, node in nodes.items():
        if offset != root:
            parent = nodes.get(root if node.cause is None else node.cause, nodes[root])
            parent.effects.append(node)
    return nodes[root]
