"""What of a declaration may change under stored events, and what is said where it may not (spec
9.13, 4.19, 5.10)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flowc_dsl.plan import FieldPlan, Plan, TypePlan, UpcastPlan
from flowc_engine.generations import History, declared, read_history, write_history
from flowc_engine.log.query import LogUnavailableError, open_log
from flowc_engine.state import StateDir
from flowc_engine.supervisor.compat import PlanChangedError, adopt_plan
from support.journal import JournalBuilder
from support.plans import event, pipeline, service

PLAN = pipeline()
K, N = PLAN.events[1].fields
UNDECLARED = (
    "event Paid: v1 is stored, and it is no longer declared; declare it again; `deprecated` says "
    "that it is on its way out"
)
REKEYED = (
    "event Paid: the key of v1 was k, and now is n; order hangs on it: keep it, rename it in an "
    "upcast, or declare a new event beside"
)


def with_event(plan: Plan, name: str, **change: object) -> Plan:
    return replace(
        plan, events=tuple(replace(e, **change) if e.name == name else e for e in plan.events)
    )


def paid(*fields: FieldPlan, version: int = 2, key: str = "k", upcasts: tuple = ()) -> Plan:
    """The plan with another Paid."""
    return with_event(PLAN, "Paid", fields=fields, version=version, key=key, upcasts=upcasts)


def field(name: str, kind: str = "string", **more: object) -> FieldPlan:
    return FieldPlan(name, TypePlan(kind, **more))


def faults(old: Plan, new: Plan) -> list[str]:
    """What is said of events stored with `old` when `new` comes."""
    return History.of(old).adopt(new, lambda: 5).faults()


@pytest.mark.parametrize(
    "new",
    [
        PLAN,
        replace(PLAN, services=()),
        replace(PLAN, events=(*PLAN.events, event("More"))),
        replace(PLAN, services=(service("Pay", "Placed", "Paid", replicas=3),)),
        with_event(PLAN, "Paid", doc="x", exported=True, retain_ms=1),
        paid(K, N),
        paid(N, K, version=1),
        paid(K),
        paid(K, N, field("m", optional=True)),
        paid(K, field("n", "float")),
        paid(K, field("n", "int", optional=True)),
        paid(K, N, field("m", "int"), upcasts=(UpcastPlan(1, (("m", "7"),)),)),
        paid(K, field("amount", "int"), upcasts=(UpcastPlan(1, (), (("n", "amount"),)),)),
        paid(field("id"), N, key="id", upcasts=(UpcastPlan(1, (), (("k", "id"),)),)),
    ],
)
def test_what_may_change(new: Plan) -> None:
    assert faults(PLAN, new) == []


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (replace(PLAN, events=PLAN.events[:1]), UNDECLARED),
        (replace(PLAN, partitions=8), "partitions: 64, now 8"),
        (with_event(PLAN, "Paid", key="n"),
         REKEYED),
        (paid(K, N, key="n"),
         REKEYED),
        (paid(K, version=1),
         ("event Paid: v1 is stored with other fields (n is gone); declare it as v2, with "
          "`upcast v1 { }`")),
        (paid(K, field("m", "int"), version=1),
         ("event Paid: v1 is stored with other fields (n is gone; m is new); declare it as v2, "
          "with `upcast v1 { rename n to m }` if `n` became `m`, else `m = …`")),
        (paid(K, N, field("m", "int")),
         "event Paid: v1 has no m, which is not optional; write `upcast v1 { m = … }`"),
        (paid(K, field("amount", "int")),
         ("event Paid: v1 has no amount, which is not optional; write "
          "`upcast v1 { rename n to amount }` if `n` became `amount`, else `amount = …`")),
        (paid(K, field("n")),
         ("event Paid: n of v1 was int, now string, which is no wider type; keep what it was, or "
          "give old events one value: `upcast v1 { n = … }`")),
        (paid(K, field("n", "decimal", precision=20, scale=2)),
         ("event Paid: n of v1 was int, now decimal(20,2), which is no wider type; keep what it "
          "was, or give old events one value: `upcast v1 { n = … }`")),
        (paid(K, N, upcasts=(UpcastPlan(1, (), (("m", "n"),)),)),
         "event Paid: `upcast v1` renames m, and v1 has none; rename one of k, n, or set n"),
        (paid(K, N, field("m", "int"), upcasts=(UpcastPlan(1, (("m", '"x"'),)),)),
         ('event Paid: an upcast of v1 sets m: expected int (a whole number of 64 bits), got "x"; '
          "write a value of the type int")),
    ],
)  # fmt: skip
def test_what_may_not_change_says_what_to_write(new: Plan, message: str) -> None:
    assert faults(PLAN, new) == [message]


def test_an_older_version_than_the_stored_one_is_refused() -> None:
    newer = paid(K, N, version=3)
    assert faults(newer, PLAN) == [
        "event Paid: v3 is stored, and v1 is declared; declare v3 or a later one"
    ]


def test_structs_and_enums_may_grow_and_not_shrink() -> None:
    line = TypePlan("list", args=(TypePlan("struct", name="Line"),))
    sku, qty = field("sku"), field("qty", "int")

    def lines(version: int, *fields: FieldPlan) -> Plan:
        return replace(paid(K, FieldPlan("lines", line), version=version), structs={"Line": fields})

    old = lines(1, sku)
    assert faults(old, lines(2, sku, field("qty", "int", optional=True))) == []
    assert faults(old, lines(1, sku, qty)) == [
        (
            "event Paid: v1 is stored with other fields (lines was list<{sku: string}>, now "
            "list<{sku: string, qty: int}>); declare it as v2, with `upcast v1 { lines = … }`"
        )
    ]
    assert faults(old, lines(2, sku, qty)) == [
        (
            "event Paid: lines of v1 holds what is Line, whose new field qty is not optional; keep "
            "what it was, or give old events one value: `upcast v1 { lines = … }`"
        )
    ]

    def colors(*members: str, version: int = 1) -> Plan:
        color = FieldPlan("c", TypePlan("enum", name="Color"))
        return replace(paid(K, color, version=version), enums={"Color": members})

    red = colors("RED")
    assert History.of(red).adopt(colors("RED", "BLUE"), lambda: 5).generations[1:] == ()
    assert faults(red, colors("RED", "BLUE")) == []
    assert faults(colors("RED", "BLUE"), red) == [
        (
            "event Paid: v1 is stored with other fields (c is Color, which has no BLUE any more); "
            "declare it as v2, with `upcast v1 { c = … }`"
        )
    ]
    assert faults(colors("RED", "BLUE"), colors("RED", version=2)) == [
        (
            "event Paid: c of v1 is Color, which has no BLUE any more; keep what it was, or give "
            "old events one value: `upcast v1 { c = … }`"
        )
    ]


def test_a_chain_goes_through_versions_that_never_ran() -> None:
    chain = (
        UpcastPlan(1, (("currency", '"EUR"'),), (("n", "cents"),)),
        UpcastPlan(2, (), (("cents", "amount"), ("currency", "unit"))),
    )
    third = paid(K, field("amount", "float"), field("unit"), version=3, upcasts=chain)
    assert faults(PLAN, third) == []
    second = paid(K, field("cents", "int"), field("currency"), upcasts=chain[:1])
    both = History.of(PLAN).adopt(second, lambda: 5).adopt(third, lambda: 9)
    assert both.faults() == []
    assert [g.begin for g in both.generations] == [0, 5, 9]


def test_a_generation_without_events_leaves_no_trace() -> None:
    second = paid(K, field("n", "float"))
    history = History.of(PLAN).adopt(second, lambda: 5)
    assert history.adopt(PLAN, lambda: 5) == History.of(PLAN)
    assert History.of(PLAN).adopt(second, lambda: 0) == History.of(second)


def test_only_what_differs_is_looked_up_by_offset() -> None:
    history = History.of(PLAN).adopt(paid(K, field("n", "float")), lambda: 5)
    assert history.current_from("Paid") == 5
    assert history.current_from("Placed") == 0


def test_the_journal_is_asked_for_its_end_only_where_events_differ() -> None:
    def never() -> int:
        raise AssertionError

    more = replace(PLAN, events=(*PLAN.events, event("More")), services=())
    assert History.of(PLAN).adopt(more, never) == History.of(replace(more, services=()))


# ---- on disk


def grown(folder: Path) -> tuple[StateDir, Plan]:
    """A state with an event of v1 and the plan of v2 adopted."""
    state = StateDir(folder, PLAN.system)
    state.create()
    adopt_plan(state, PLAN)
    journal = JournalBuilder(state.journal, PLAN)
    journal.emit("Placed", {"k": "a", "n": 1}, {"k": "b", "n": 2})
    journal.close()
    second = with_event(PLAN, "Placed", version=2, fields=(K, field("n", "float")))
    adopt_plan(state, second)
    return state, second


def test_generations_come_back_from_their_file(tmp_path: Path) -> None:
    state, second = grown(tmp_path)
    history = read_history(state.schemas_file, second)
    assert [g.begin for g in history.generations] == [0, 2]
    assert history.at(1).plan.event("Placed").version == 1
    assert history.at(2).plan.event("Placed").version == 2
    write_history(state.schemas_file, history)
    assert read_history(state.schemas_file, second) == history


def test_a_state_of_an_older_flowc_has_the_generation_of_its_plan(tmp_path: Path) -> None:
    """A `plan.json` of format 1 knew no upcasts, and there was no `schemas.json`."""
    state = StateDir(tmp_path, PLAN.system)
    state.create()
    adopt_plan(state, PLAN)
    journal = JournalBuilder(state.journal, PLAN)
    journal.emit("Placed", {"k": "a", "n": 1})
    journal.close()
    old = json.loads(PLAN.to_json())
    for one in old["events"]:
        del one["upcasts"]
    state.plan_file.write_text(json.dumps(old | {"format": 1}))
    state.schemas_file.unlink()
    second = with_event(PLAN, "Placed", version=2, fields=(K, field("n", "float")))
    history = adopt_plan(state, second)
    assert [g.begin for g in history.generations] == [0, 1]
    assert history.at(0).plan.event("Placed").fields == PLAN.event("Placed").fields


def test_what_was_declared_and_never_stored_may_change_and_go(tmp_path: Path) -> None:
    """The journal says so; the log has an empty table of it, which makes way."""
    state, second = grown(tmp_path)
    with open_log(state) as log:
        assert log.query("SELECT * FROM Paid").table.num_rows == 0
    paid_anew = with_event(second, "Paid", fields=(field("id", "int"),), key="id")
    history = adopt_plan(state, paid_anew)
    assert [declared(g.plan, "Paid") for g in history.generations[:-1]] == [None]
    with open_log(state) as log:
        assert log.query("SELECT id FROM Paid").table.num_rows == 0
        assert log.query("SELECT n, _version FROM Placed ORDER BY n").table.to_pylist() == [
            {"n": 1.0, "_version": 1}, {"n": 2.0, "_version": 1},
        ]  # fmt: skip
    gone = replace(second, events=second.events[:1])
    assert adopt_plan(state, gone).faults() == []
    with pytest.raises(PlanChangedError, match="event Placed: v1 is stored, and it is no longer"):
        adopt_plan(state, replace(PLAN, events=PLAN.events[1:]))


def test_a_refused_plan_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    state, second = grown(tmp_path)
    before = state.schemas_file.read_bytes(), state.plan_file.read_bytes()
    with pytest.raises(PlanChangedError, match="v1 has no m, which is not optional"):
        adopt_plan(state, with_event(second, "Placed", version=3, fields=(K, field("m", "int"))))
    assert (state.schemas_file.read_bytes(), state.plan_file.read_bytes()) == before


def test_the_registry_alone_says_how_events_are_read(tmp_path: Path) -> None:
    """The plan's own file is for processes."""
    state, second = grown(tmp_path)
    state.plan_file.unlink()
    assert [g.begin for g in adopt_plan(state, second).generations] == [0, 2]
    state.plan_file.unlink()
    state.schemas_file.unlink()
    with pytest.raises(ValueError, match=r"schemas\.json is gone"):
        adopt_plan(state, second)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (Path.unlink, "schemas.json is gone: without it"),
        (lambda file: file.write_text(""), "without it old events can't be read"),
        (lambda file: file.write_text(file.read_text().replace("float", "int", 1)), "damaged"),
        (lambda file: file.write_text("{}"), "schemas.json: damaged; without it"),
        (lambda file: file.write_text("[]"), "schemas.json: damaged; without it"),
        (lambda file: file.write_bytes(b"\xff"), "without it old events can't be read"),
    ],
)
def test_a_damaged_registry_is_refused(
    tmp_path: Path, harm: Callable[[Path], object], message: str
) -> None:
    state, second = grown(tmp_path)
    harm(state.schemas_file)
    with pytest.raises(ValueError, match=message):
        adopt_plan(state, second)
    with pytest.raises(LogUnavailableError, match=message), open_log(state):
        pass
