"""What is said of a log that differs from the declaration (spec 3.28 to 3.30).

`cases/NAME.diag` is what is said, in the `full` format. `FLOWC_REFRESH=1` rewrites the files, and
the run still fails where one changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest

from flowc_dsl.check import Report, check_system
from flowc_dsl.compile import compile_program
from flowc_dsl.diagnostics.full import render_full
from flowc_dsl.diagnostics.width import Look
from flowc_dsl.drift.edges import Coverage, cover
from flowc_dsl.drift.observed import Broken, EdgeSeen, Late, Misfit, Observed
from flowc_dsl.graph import build_graph
from flowc_dsl.rules.registry import declared_rules
from golden.test_golden_corpus import compare
from support.programs import TODAY

CASES = Path(__file__).parent / "cases"
SHOP = """
system Shop
enum State { OPEN DONE }
external event OrderPlaced key id { id: uuid  state: State }
event PaymentTaken key id { id: uuid }
event PaymentRefused key id { id: uuid }
exported event OrderShipped key id { id: uuid }
/// Takes money
service Payment owner "pay" { on OrderPlaced -> PaymentTaken | PaymentRefused within 2s }
/// Sends parcels
service Shipping owner "ship" { on PaymentTaken -> OrderShipped  on PaymentRefused }
"""
JOINED = """
system Shop
external event OrderPlaced key id { id: uuid }
external event PaymentTaken key id { id: uuid }
exported event OrderShipped key id { id: uuid }
exported event OrderExpired key id { id: uuid }
exported event ReportMade key id { id: uuid }
service Shipping owner "ship" {
  on OrderPlaced & PaymentTaken by id -> OrderShipped
  after 15m of OrderPlaced unless PaymentTaken -> OrderExpired
  every 1h -> ReportMade
}
"""
TAKEN = ("OrderPlaced", "Payment", "PaymentTaken")
REFUSED = ("OrderPlaced", "Payment", "PaymentRefused")
SHIPPED = ("PaymentTaken", "Shipping", "OrderShipped")


def edge(trigger: str | None, emitter: str, event: str, count: int = 1, first: int = 0) -> EdgeSeen:
    return EdgeSeen(trigger, emitter, event, count, first, first + count - 1, 0, 0)


def saw(*edges: EdgeSeen, **more: object) -> Observed:
    """Edges, with as many events of each type as they say."""
    events: dict[str, int] = {}
    for one in edges:
        events[one.event] = events.get(one.event, 0) + one.count
    return Observed(edges, events, end=sum(events.values()), **more)


PLACED = edge(None, "feed", "OrderPlaced", 9)
ALL = (PLACED, edge(*TAKEN, 8, 9), edge(*REFUSED, 1, 17), edge(*SHIPPED, 8, 18))


def judged(flow: str, observed: Observed | None, today: date = TODAY) -> Report:
    compiled = compile_program({"main.flow": flow}, "main.flow")
    assert compiled.system is not None
    return check_system(
        compiled.system, today, before=compiled.diagnostics, sources=compiled.sources,
        observed=observed,
    )  # fmt: skip


def codes(flow: str, observed: Observed | None) -> list[str]:
    """Of what the log adds, and of exemptions."""
    found = (d.code for d in judged(flow, observed).diagnostics)
    return [code for code in found if code.startswith(("FLW8", "FLW9"))]


def covered(flow: str, observed: Observed) -> Coverage:
    compiled = compile_program({"main.flow": flow}, "main.flow")
    assert compiled.system is not None
    return cover(build_graph(compiled.system), observed)


# ---- as it is said

RULES = """rules {
  allow FLW801 on Payment because "it is being moved"
  allow FLW801 on Billing because "never seen"
}
"""
EXPECTS = """
expect settled: OrderPlaced leads to PaymentTaken | PaymentRefused within 1m by id
expect once: at most 1 PaymentTaken by id
expect apart: never PaymentTaken with PaymentRefused within 1s
expect watched: at most 3 PaymentRefused
"""
SAID: dict[str, tuple[str, Observed]] = {
    "flw801_trigger_not_declared": (
        SHOP,
        saw(*ALL, edge("OrderPlaced", "Shipping", "OrderShipped")),
    ),
    "flw801_event_not_declared": (
        SHOP,
        saw(*ALL, edge("OrderPlaced", "Payment", "PaymentHeld", 3)),
    ),
    "flw801_service_not_declared": (
        SHOP,
        saw(*ALL, edge("OrderPlaced", "Billing", "PaymentTaken")),
    ),
    "flw801_neither_is_declared": (SHOP, saw(*ALL, edge("Begun", "Billing", "Ended", 1200))),
    "flw801_from_outside": (SHOP, saw(*ALL, edge(None, "cli", "PaymentTaken", 2, 40))),
    "flw801_several_by_offset": (
        SHOP,
        saw(
            *ALL,
            edge("OrderPlaced", "Shipping", "OrderShipped", 1, 90),
            edge(None, "a", "B", 1, 80),
        ),
    ),
    "flw801_exempted_and_902": (
        SHOP + RULES,
        saw(*ALL, edge("OrderShipped", "Payment", "PaymentTaken")),
    ),
    "flw802_never_seen": (SHOP, saw(PLACED, edge(*TAKEN, 9, 9))),
    "flw802_several_triggers": (
        SHOP.replace("on PaymentRefused", "on PaymentRefused as again -> OrderShipped"),
        saw(*ALL),
    ),
    "flw803_a_field": (
        SHOP,
        saw(*ALL, misfits=(
            Misfit("OrderPlaced", "state", "is no member of `State`", 3, 4),
            Misfit("OrderPlaced", "id", "is null", 1, 7),
        )),
    ),
    "flw803_no_table": (
        SHOP,
        saw(*ALL, misfits=(
            Misfit("OrderPlaced", "", "fits no table (Conversion Error: \x1b[31mno)", 1200, 4),
            Misfit("Unknown", "", "fits no table (no)", 1, 9),
        )),
    ),
    "flw804_within": (SHOP, saw(*ALL, late=(Late("Payment", 0, 5, 2, 2_000_001, (3, 4, 5)),))),
    "flw804_within_once": (SHOP, saw(*ALL, late=(Late("Payment", 0, 1, 0, 90_000_000, (3,)),))),
    "flw804_expects": (
        SHOP + EXPECTS,
        saw(*ALL, broken=(
            Broken("settled", 1, ((3, "a"),)),
            Broken("once", 1204, ((3, "a"), (4, "b"), (9, "a"))),
            Broken("apart", 2, ((3, None), (4, None))),
        )),
    ),
    "flw904_never_triggered": (
        SHOP + EXPECTS,
        saw(PLACED, edge(*TAKEN, 9, 9), edge(*SHIPPED, 9, 18)),
    ),
    "flw904_never_both": (
        SHOP + "expect apart: never PaymentTaken with PaymentRefused",
        saw(PLACED),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_is_said(name: str) -> None:
    flow, observed = SAID[name]
    report = judged(flow, observed)
    wanted = ("FLW8", "FLW9")
    shown = [d for d in report.diagnostics if d.code.startswith(wanted)]
    if not name.startswith("flw802"):  # what is merely worth knowing has its own cases
        shown = [d for d in shown if d.code != "FLW802"]
    assert shown
    compare(CASES / f"{name}.diag", render_full(shown, report.sources, Look()))


def test_each_case_is_said_by_a_test() -> None:
    assert {path.stem for path in CASES.glob("*.diag")} == set(SAID)


def test_each_rule_that_needs_a_log_has_a_case() -> None:
    said = "".join(path.read_text(encoding="utf-8") for path in CASES.glob("*.diag"))
    logged = {rule.code for rule in declared_rules().values() if rule.needs == "log"}
    needed = sorted(logged - {"FLW407"})  # that one is about the journal
    assert needed == ["FLW801", "FLW802", "FLW803", "FLW804"]
    assert [code for code in needed if f"[{code}]" not in said] == []


# ---- edges


def edges_of(coverage: Coverage) -> list[tuple[str | None, str, str, bool, int, int]]:
    """Key, whether it is optional, how often it was seen, and how often its trigger."""
    return [
        (*e.key, e.optional, e.seen.count if e.seen else 0, e.triggers) for e in coverage.declared
    ]


def test_all_was_seen() -> None:
    found = covered(SHOP, saw(*ALL))
    assert edges_of(found) == [
        (*TAKEN, True, 8, 9), (*REFUSED, True, 1, 9), (*SHIPPED, False, 8, 8),
    ]  # fmt: skip
    assert (found.seen, len(found.declared), found.undeclared) == (3, 3, ())
    assert codes(SHOP, saw(*ALL)) == []


def test_an_edge_whose_trigger_was_not_seen_is_not_covered_and_no_finding() -> None:
    observed = saw(PLACED, edge(*REFUSED, 9, 9))
    found = covered(SHOP, observed)
    assert (found.seen, len(found.declared)) == (1, 3)
    (unseen,) = [d for d in judged(SHOP, observed).diagnostics if d.code == "FLW802"]
    assert unseen.subjects == ("Payment", "PaymentTaken")
    assert covered(SHOP, saw()).seen == 0
    assert codes(SHOP, saw()) == []


def test_what_is_undeclared_counts_for_itself() -> None:
    odd = edge("OrderPlaced", "Shipping", "OrderShipped", 1, 40)
    outside = edge(None, "Payment", "OrderPlaced", 1, 30)  # an external event has any source
    forged = edge(None, "Payment", "PaymentTaken", 1, 20)
    found = covered(SHOP, saw(*ALL, odd, outside, forged))
    assert (found.seen, found.undeclared) == (3, (forged, odd))


def test_an_external_event_that_a_handler_emits_has_to_be_declared_too() -> None:
    assert codes(SHOP, saw(*ALL, edge("PaymentTaken", "Shipping", "OrderPlaced"))) == ["FLW801"]


@pytest.mark.parametrize("last", ["OrderPlaced", "PaymentTaken"])
def test_a_join_is_seen_for_all_of_its_events(last: str) -> None:
    events = (edge(None, "f", "OrderPlaced", 5), edge(None, "f", "PaymentTaken", 4, 5))
    found = covered(JOINED, saw(*events, edge(last, "Shipping", "OrderShipped", 4, 9)))
    assert edges_of(found)[:2] == [
        ("OrderPlaced", "Shipping", "OrderShipped", False, 4, 4),
        ("PaymentTaken", "Shipping", "OrderShipped", False, 4, 4),
    ]
    assert [e.seen.trigger for e in found.declared[:2] if e.seen] == ["OrderPlaced", "PaymentTaken"]
    assert found.undeclared == ()


def test_a_join_that_was_caused_by_either_has_both_counts() -> None:
    both = [edge(name, "Shipping", "OrderShipped", 2, n)
            for n, name in ((9, "PaymentTaken"), (7, "OrderPlaced"))]  # fmt: skip
    (first, *_) = covered(JOINED, saw(*both)).declared
    assert first.seen == EdgeSeen("OrderPlaced", "Shipping", "OrderShipped", 4, 7, 10, 0, 0)


def unseen(observed: Observed) -> list[tuple[str, ...]]:
    report = judged(JOINED, observed)
    return [(d.witness[0], d.subjects[1]) for d in report.diagnostics if d.code == "FLW802"]


def test_a_join_is_unseen_only_where_all_of_its_events_were_seen() -> None:
    placed, taken = edge(None, "f", "OrderPlaced", 5), edge(None, "f", "PaymentTaken", 4, 5)
    assert unseen(saw(taken)) == []
    assert unseen(saw(placed)) == [("OrderPlaced", "OrderExpired")]
    assert set(unseen(saw(placed, taken))) == {
        ("OrderPlaced", "OrderShipped"), ("PaymentTaken", "OrderShipped"),
        ("OrderPlaced", "OrderExpired"),
    }  # fmt: skip


def test_a_deadline_is_optional_where_it_may_be_called_off() -> None:
    placed = edge(None, "f", "OrderPlaced", 5)
    (deadline,) = [e for e in covered(JOINED, saw(placed)).declared if e.key[2] == "OrderExpired"]
    assert (deadline.optional, deadline.triggers) == (True, 5)
    always = JOINED.replace(" unless PaymentTaken", "")
    (deadline,) = [e for e in covered(always, saw(placed)).declared if e.key[2] == "OrderExpired"]
    assert not deadline.optional


def test_a_timer_has_no_trigger_to_be_missed_and_is_declared() -> None:
    found = covered(JOINED, saw(edge(None, "Shipping", "ReportMade", 2)))
    (timer,) = [e for e in found.declared if e.key[0] is None]
    assert (timer.key[1:], timer.triggers) == (("Shipping", "ReportMade"), 0)
    assert timer.seen is not None
    assert found.undeclared == ()
    assert unseen(saw()) == []


# ---- exemptions


def allow(code: str, name: str) -> str:
    return f'\nrules {{ allow {code} on {name} because "so it is" }}\n'


EXEMPTIONS: Iterable[tuple[str, str, Observed]] = (
    ("FLW801", "Billing", saw(*ALL, edge("OrderPlaced", "Billing", "PaymentTaken"))),
    ("FLW801", "PaymentTaken", saw(*ALL, edge("OrderPlaced", "Shipping", "PaymentTaken"))),
    ("FLW802", "PaymentRefused", saw(PLACED, edge(*TAKEN, 9, 9), edge(*SHIPPED, 9, 18))),
    ("FLW803", "OrderPlaced", saw(*ALL, misfits=(Misfit("OrderPlaced", "id", "is null", 1, 7),))),
    ("FLW804", "Payment", saw(*ALL, late=(Late("Payment", 0, 1, 0, 9_000_000, (3,)),))),
    ("FLW804", "once", saw(*ALL, broken=(Broken("once", 1, ((3, "a"),)),))),
)


@pytest.mark.parametrize(("code", "name", "observed"), EXEMPTIONS)
def test_an_exemption(code: str, name: str, observed: Observed) -> None:
    flow = SHOP + "expect once: at most 1 PaymentTaken by id"
    assert codes(flow, observed) == [code]
    flow += allow(code, name)
    assert codes(flow, observed) == []
    assert codes(flow, None) == [], "no log was read"
    assert codes(flow, saw(*ALL)) == ["FLW902"], "one was, and there is no such finding"


def test_an_expired_exemption_of_what_a_log_tells() -> None:
    flow = SHOP + allow("FLW801", "Billing").replace('is"', 'is" until 2026-01-01')
    observed = saw(*ALL, edge("OrderPlaced", "Billing", "PaymentTaken"))
    assert codes(flow, observed) == ["FLW801", "FLW901"]


# ---- expectations that nothing triggered


def idle(expect: str, observed: Observed, more: str = "") -> list[str]:
    report = judged(f"{SHOP}{more}\nexpect e: {expect}", observed)
    return [d.message for d in report.diagnostics if d.code == "FLW904"]


def test_what_was_triggered_or_has_no_log_to_be_seen_in_is_not_idle() -> None:
    for expect in ("at most 1 PaymentTaken", "PaymentRefused leads to PaymentTaken",
                   "never PaymentTaken with PaymentRefused"):  # fmt: skip
        assert idle(expect, saw(*ALL)) == []
        assert idle(expect, saw()) == [], "nothing was looked at"
    assert len(idle("at most 1 PaymentTaken", saw(PLACED))) == 1


@pytest.mark.parametrize("one", [TAKEN, REFUSED])
def test_a_never_is_triggered_by_either_side(one: tuple[str, str, str]) -> None:
    assert idle("never PaymentTaken with PaymentRefused", saw(PLACED, edge(*one, 1, 9))) == []


def test_what_can_not_happen_is_said_once() -> None:
    more = "event Never key id { id: uuid }"
    for expect in ("at most 1 Never", "never Never with PaymentTaken",
                   "PaymentRefused leads to Never"):  # fmt: skip
        (said,) = idle(expect, saw(PLACED), more)
        assert "nobody emits `Never`" in said


@pytest.mark.parametrize("expect", ["at most 1 Lost", "never Lost with PaymentTaken"])
def test_what_someone_reads_and_nobody_emits_is_202_alone(expect: str) -> None:
    more = "event Lost key id { id: uuid } service L { on Lost }"
    assert idle(expect, saw(PLACED), more) == []


def test_a_name_that_is_nothing_is_207_alone() -> None:
    assert idle("at most 1 Nothing", saw(PLACED)) == []


def test_an_expectation_that_did_not_hold_was_triggered() -> None:
    broken = saw(*ALL[1:], broken=(Broken("e", 1, ((3, None),)),))
    assert idle("OrderPlaced leads to OrderShipped within 1s", broken) == []
