"""What a log is asked, against the definitions, row by row (spec 3.28 to 3.30)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowc_dsl.compile import compile_program
from flowc_dsl.drift.observed import Broken, EdgeSeen, Late, Misfit, Observed
from flowc_dsl.drift.sql import EXAMPLES_MAX
from flowc_dsl.model import Expect, Ref, System
from flowc_dsl.planning import make_plan
from flowc_dsl.source import Span
from flowc_engine.log.observe import observe
from support.logs import MemoryLog

# Names that SQL would take for its own, or for each other, if they were not quoted.
FLOW = """
system Shop
enum State { OPEN DONE }
external event Placed key id { id: int  group: string?  userId: int?  state: State }
event order key id { id: int  group: string?  userId: int?  state: State }
event SelectAll key id { id: int  group: string?  userId: int?  state: State }
event Gone key id { id: int  group: string?  userId: int?  state: State }
service Pay {
  on Placed -> order within 2s
  on Placed | Gone as maybe -> SelectAll? within 1s
  on order -> SelectAll, Placed | Gone within 3s delivery latest
}
service Where { on Placed | order -> SelectAll | Gone within 2s }
service Reader { on SelectAll within 1s }
"""
STORED = ("Placed", "order", "SelectAll")
EVENTS = (*STORED, "Gone")  # a type that is newer than the log, which has no table of it
SERVICES = ("Pay", "Where", "Reader", "feed")
FIELDS = pa.schema(
    [("id", pa.int64()), ("group", pa.string()), ("userId", pa.int64()), ("state", pa.string())]
)
BEGIN_US = 1_700_000_000_000_000
SPAN = Span("main.flow", 0, 0)


@dataclass(frozen=True)
class Row:
    """One stored event."""

    event: str
    offset: int
    time_us: int
    source: str = "feed"
    cause: int | None = None
    group: str | None = None
    user: int | None = None
    state: str | None = "OPEN"

    def columns(self) -> dict[str, Any]:
        return {
            "_offset": self.offset, "_time": self.time_us, "_source": self.source,
            "_cause": self.cause, "id": self.offset, "group": self.group, "userId": self.user,
            "state": self.state,
        }  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """A log: what is in its tables, and from where on it is looked at."""

    rows: tuple[Row, ...]
    parked: tuple[tuple[int, str, int], ...] = ()  # offset, service, time
    rejected: tuple[int, ...] = ()  # offsets
    begin: int = 0

    @property
    def end_us(self) -> int:
        return max((row.time_us for row in self.rows), default=0)

    def looked_at(self, *events: str) -> list[Row]:
        return [
            r for r in self.rows if r.offset >= self.begin and (not events or r.event in events)
        ]


def system(flow: str = FLOW) -> System:
    compiled = compile_program({"main.flow": flow}, "main.flow")
    assert not compiled.diagnostics
    assert compiled.system is not None
    return compiled.system


SYSTEM = system()
PLAN = make_plan(SYSTEM)
PLAN = replace(PLAN, events=tuple(e for e in PLAN.events if e.name in STORED))


@pytest.fixture(scope="module")
def memory() -> Iterator[MemoryLog]:
    with MemoryLog(PLAN) as log:
        yield log


def looked(log: MemoryLog, stored: Stored, expects: Iterable[Expect]) -> Observed:
    log.clear()
    for event in STORED:
        log.add(event, [r.columns() for r in stored.rows if r.event == event], FIELDS)
    log.park({"_offset": o, "service": s, "time": t} for o, s, t in stored.parked)
    log.reject(
        {"_offset": o, "rows": 1, "event": "Placed", "error": f"no {o}\nat all"}
        for o in stored.rejected
    )
    return observe(log, replace(SYSTEM, expects=tuple(expects)), begin=stored.begin)


# ---- logs and expectations


@st.composite
def logs(draw: st.DrawFn) -> Stored:
    """Few keys, times that tie, gaps of offsets, and clocks that don't agree."""
    rows: list[Row] = []
    parked, rejected = [], []
    offset = half_seconds = 0
    for _ in range(draw(st.integers(0, 14))):
        offset += draw(st.integers(1, 3)) if rows else draw(st.integers(0, 2))
        half_seconds += draw(st.integers(-2, 4))
        if draw(st.integers(0, 9)) == 0:
            rejected.append(offset)
            continue
        cause = draw(st.none() | st.integers(0, offset - 1)) if offset else None
        rows.append(
            Row(
                draw(st.sampled_from(STORED)),
                offset,
                BEGIN_US + half_seconds * 500_000,
                draw(st.sampled_from(SERVICES)),
                cause,
                draw(st.sampled_from((None, "", "a", "A"))),
                draw(st.sampled_from((None, 1, -2))),
                draw(st.sampled_from((None, "OPEN", "DONE", "open"))),
            )
        )
        if draw(st.integers(0, 5)) == 0:
            after_us = draw(st.integers(0, 8)) * 500_000
            parked.append((offset, draw(st.sampled_from(SERVICES)), rows[-1].time_us + after_us))
    begin = draw(st.sampled_from((0, 0, 3)))
    return Stored(tuple(rows), tuple(parked), tuple(rejected), begin)


def refs(*names: str) -> tuple[Ref, ...]:
    return tuple(Ref(name, SPAN) for name in names)


@st.composite
def expectations(draw: st.DrawFn) -> Expect:
    names = draw(st.permutations(EVENTS))
    split = draw(st.integers(1, 3))
    form = draw(st.sampled_from(("leads_to", "at_most", "never_with")))
    within_ms = draw(st.none() | st.integers(1, 8).map(lambda n: n * 500))
    by = draw(st.sampled_from((None, "group", "userId")))
    return Expect(
        name="e", span=SPAN, form=form, events=refs(*names[:split]),
        targets=() if form == "at_most" else refs(*names[split : split + draw(st.integers(1, 2))]),
        bound=draw(st.integers(0, 3)) if form == "at_most" else None,
        within_ms=within_ms, by=Ref(by, SPAN) if by else None,
    )  # fmt: skip


# ---- what an expectation means


def key_of(expect: Expect) -> Callable[[Row], str | None]:
    def key(row: Row) -> str | None:
        if expect.by is None:
            return ""
        value = {"group": row.group, "userId": row.user}[expect.by.name]
        return None if value is None else str(value)

    return key


def by_key(expect: Expect, stored: Stored) -> Iterator[tuple[list[Row], list[Row]]]:
    """Subjects and targets of each value that is not null."""
    key, groups = key_of(expect), defaultdict(lambda: ([], []))
    for side, names in enumerate((expect.events, expect.targets)):
        for row in stored.looked_at(*(ref.name for ref in names)) if names else ():
            if key(row) is not None:
                groups[key(row)][side].append(row)
    yield from groups.values()


def broken_rows(expect: Expect, stored: Stored) -> list[Row]:
    """What broke it, by offset."""
    meaning = {"leads_to": unfollowed, "at_most": too_many, "never_with": met}[expect.form]
    limit_us = None if expect.within_ms is None else expect.within_ms * 1000
    found = [
        row
        for subjects, targets in by_key(expect, stored)
        for row in meaning(expect, subjects, targets, limit_us, stored.end_us)
    ]
    return sorted(found, key=lambda row: row.offset)


def unfollowed(expect, subjects, targets, limit_us, end_us):
    for subject in subjects if limit_us is not None else ():
        later = [t for t in targets if t.offset > subject.offset]
        first_us = min(later, key=lambda t: t.offset).time_us if later else end_us
        if first_us - subject.time_us > limit_us:
            yield subject


def too_many(expect, subjects, _targets, limit_us, _end_us):
    """Those with `bound` others before them, in the window that they end."""
    for row in subjects:
        if limit_us is None:
            before = [r for r in subjects if r.offset < row.offset]
        else:
            before = [
                r
                for r in subjects
                if (r.time_us, r.offset) < (row.time_us, row.offset)
                and r.time_us >= row.time_us - limit_us
            ]
        if len(before) >= expect.bound:
            yield row


def met(_expect, subjects, targets, limit_us, _end_us):
    """The later of two neighbours."""
    order = (lambda r: r.offset) if limit_us is None else (lambda r: (r.time_us, r.offset))
    for one, next_ in pairwise(sorted([*subjects, *targets], key=order)):
        apart = (one in subjects) != (next_ in subjects)
        if apart and (limit_us is None or next_.time_us - one.time_us <= limit_us):
            yield next_


def is_kept(expect: Expect, stored: Stored) -> bool:
    """Whether it holds, by its words alone: for `at most` and `never`."""
    limit_us = float("inf") if expect.within_ms is None else expect.within_ms * 1000
    for subjects, targets in by_key(expect, stored):
        if expect.form == "never_with":
            if any(abs(s.time_us - t.time_us) <= limit_us for s in subjects for t in targets):
                return False
        elif any(
            sum(0 <= r.time_us - first.time_us <= limit_us for r in subjects) > expect.bound
            for first in subjects
        ) or (limit_us == float("inf") and len(subjects) > expect.bound):
            return False
    return True


def broken(stored: Stored, expects: Iterable[Expect]) -> Iterator[Broken]:
    for expect in expects:
        rows = broken_rows(expect, stored)
        if expect.form != "leads_to":
            assert (not rows) == is_kept(expect, stored)
        key = key_of(expect) if expect.by else lambda _: None
        examples = tuple((row.offset, key(row)) for row in rows[:EXAMPLES_MAX])
        if rows:
            yield Broken(expect.name, len(rows), examples)


# ---- within, of handlers


def overdue(stored: Stored, service: str, number: int, must: bool) -> Late | None:
    handler = SYSTEM.services[service].handlers[number]
    outputs = {ref.name for ref in handler.output_refs()}
    limit_us = handler.within_ms * 1000
    late: list[tuple[int, int, bool]] = []
    for row in stored.looked_at(*(ref.name for ref in handler.triggers)):
        ends = [
            r.time_us
            for r in stored.rows
            if r.cause == row.offset and r.source == service and r.event in outputs
        ]
        ends += [t for o, s, t in stored.parked if (o, s) == (row.offset, service)]
        took_us = (max(ends) if ends else stored.end_us) - row.time_us
        if took_us > limit_us and (ends or must):
            late.append((row.offset, took_us, not ends))
    if not late:
        return None
    late.sort()
    return Late(
        service, number, len(late), sum(silent for *_, silent in late),
        max(took_us for _, took_us, _ in late), tuple(o for o, *_ in late[:EXAMPLES_MAX]),
    )  # fmt: skip


HANDLERS = (("Pay", 0, True), ("Pay", 1, False), ("Pay", 2, False), ("Where", 0, True))
"""Those that have something to do in a time, and whether each event makes them emit."""


# ---- edges, and what does not fit


def edges(stored: Stored) -> set[EdgeSeen]:
    events = {row.offset: row.event for row in stored.rows}
    seen = defaultdict(list)
    for row in stored.looked_at():
        if row.cause is None or row.cause in events:  # else nobody knows what it was
            trigger = None if row.cause is None else events[row.cause]
            seen[trigger, row.source, row.event].append(row)
    return {
        EdgeSeen(
            *key, len(rows), rows[0].offset, rows[-1].offset,
            min(r.time_us for r in rows), max(r.time_us for r in rows),
        )
        for key, rows in seen.items()
    }  # fmt: skip


def misfits(stored: Stored) -> Iterator[Misfit]:
    rejected = [offset for offset in stored.rejected if offset >= stored.begin]
    if rejected:
        why = f"fits no table (no {rejected[0]})"
        yield Misfit("Placed", "", why, len(rejected), rejected[0])
    for event in STORED:
        rows = stored.looked_at(event)
        for why, states in (("is null", {None}), ("is no member of `State`", {"open"})):
            wrong = [row.offset for row in rows if row.state in states]
            if wrong:
                yield Misfit(event, "state", why, len(wrong), wrong[0])


@settings(max_examples=max(15, settings().max_examples // 3))
@given(stored=logs(), expects=st.lists(expectations(), min_size=1, max_size=6))
def test_a_log_is_read_as_it_is_meant(memory, stored, expects):
    named = [replace(expect, name=f"e{number}") for number, expect in enumerate(expects)]
    observed = looked(memory, stored, named)
    assert list(observed.broken) == list(broken(stored, named))
    assert list(observed.late) == [late for one in HANDLERS if (late := overdue(stored, *one))]
    assert len(observed.edges) == len(set(observed.edges))
    assert set(observed.edges) == edges(stored)
    assert sorted(observed.misfits, key=repr) == sorted(misfits(stored), key=repr)
    assert observed.events == Counter(row.event for row in stored.looked_at())
    assert observed.begin == stored.begin
    assert observed.end == max((row.offset + 1 for row in stored.rows), default=0)


# ---- where it ends to be kept

A, B, C = STORED
LEADS = Expect("e", SPAN, "leads_to", refs(A), refs(B), within_ms=1000)
ONCE = Expect("e", SPAN, "at_most", refs(A), bound=1, within_ms=1000)
NEVER = Expect("e", SPAN, "never_with", refs(A), refs(B), within_ms=1000)


@pytest.mark.parametrize(
    ("expect", "events", "offsets"),
    [
        (LEADS, [(A, 0), (B, 1000)], []),
        (LEADS, [(A, 0), (B, 1001)], [0]),
        (LEADS, [(A, 0), (C, 1000)], []),  # it still has time
        (LEADS, [(A, 0), (C, 1001)], [0]),
        (LEADS, [(A, 0), (B, 2000), (B, 500)], [0]),  # the first by offset counts
        (LEADS, [(B, 0), (A, 0), (C, 1001)], [1]),  # what was before does not
        (replace(LEADS, within_ms=None), [(A, 0), (C, 10**6)], []),
        (ONCE, [(A, 0), (A, 1000)], [1]),
        (ONCE, [(A, 0), (A, 1001)], []),
        (ONCE, [(A, 500), (A, 2000), (A, 0)], [0]),  # the later in time is one too many
        (ONCE, [(A, 0), (A, 0)], [1]),
        (replace(ONCE, within_ms=None), [(A, 500), (A, 0)], [1]),
        (NEVER, [(A, 0), (B, 1000)], [1]),
        (NEVER, [(B, 0), (A, 1001)], []),
        (NEVER, [(A, 0), (B, 0)], [1]),  # offsets order ties
        (NEVER, [(A, 1000), (B, 0)], [0]),
        (NEVER, [(A, 0), (B, 1), (B, 2)], [1]),
        (replace(NEVER, within_ms=None), [(A, 10**6), (B, 0)], [1]),
    ],
)
def test_the_end_of_a_window(memory, expect, events, offsets):
    """Times in ms, offsets in the order of the list."""
    rows = (Row(event, n, BEGIN_US + ms * 1000) for n, (event, ms) in enumerate(events))
    stored = Stored(tuple(rows))
    assert [row.offset for row in broken_rows(expect, stored)] == offsets
    found = looked(memory, stored, [expect]).broken
    assert [offset for one in found for offset, _ in one.examples] == offsets


# ---- a declaration that has changed since


def changed(**fields: str) -> System:
    """`Placed` as it is declared now."""
    listed = "  ".join(f"{name}: {kind}" for name, kind in fields.items())
    return system(
        f"system Shop enum State {{ OPEN DONE }} "
        f"external event Placed key id {{ id: int  {listed} }} service Reader {{ on Placed }} "
        f"expect once: at most 0 Placed by {next(iter(fields))}"
    )


def misfits_of(now: System) -> tuple[set[tuple[str, str, int]], int]:
    """Field, why and count; and how often `once` did not hold."""
    rows = [Row("Placed", n, BEGIN_US, group="a", user=n or None) for n in range(3)]
    with MemoryLog(PLAN) as log:
        log.add("Placed", [row.columns() for row in rows], FIELDS)
        observed = observe(log, now)
    found = {(m.field, m.why, m.count) for m in observed.misfits}
    return found, sum(broken.count for broken in observed.broken)


def test_a_field_that_the_log_does_not_have():
    assert misfits_of(changed(note="string")) == ({("note", "is missing", 3)}, 0)
    assert misfits_of(changed(note="string?")) == (set(), 0)


def test_a_field_of_another_type():
    why = "is declared as VARCHAR, and stored as BIGINT"
    assert misfits_of(changed(userId="State?")) == ({("userId", why, 2)}, 2)
    assert misfits_of(changed(userId="string")) == (
        {("userId", why, 2), ("userId", "is null", 1)},
        2,
    )
    assert misfits_of(changed(userId="int", group="State")) == (
        {("userId", "is null", 1), ("group", "is no member of `State`", 3)},
        2,
    )


def test_an_event_of_many_fields_is_asked_in_parts():
    fields = {f"f{number}": "string" for number in range(120)}
    found, _ = misfits_of(changed(**fields))
    assert found == {(name, "is missing", 3) for name in fields}


def test_a_declaration_with_a_type_that_is_nothing_still_has_an_answer():
    compiled = compile_program({"main.flow": FLOW.replace("id: int ", "id: Nothing ")}, "main.flow")
    assert compiled.diagnostics
    with MemoryLog(PLAN) as log:
        log.add("Placed", [Row("Placed", 0, BEGIN_US).columns()], FIELDS)
        assert observe(log, compiled.system).events == {"Placed": 1}
