"""Which edits findings carry, and which of them are safe (3.22, 3.36)."""

import pytest

from flowc_dsl.diagnostics.fixing import applicability, apply_edits
from flowc_dsl.rules.wording import guess
from support.programs import check_text

ALL = frozenset({"safe", "unsafe", "display"})
ORDERS = """system Shop
external event CheckoutSubmitted key cart { cart: uuid  total: decimal(12,2)  who: string }
"""


def mended(text, code, allowed=ALL):
    """The text with the edits of the findings of one code, and how far they can be trusted."""
    files = {"main.flow": text} if isinstance(text, str) else text
    report = check_text(files)
    found = [d for d in report.diagnostics if d.code == code]
    assert found, [d.code for d in report.diagnostics]
    kinds = {applicability(d) for d in found}
    changed = apply_edits(found, files, allowed).texts
    return {**files, **changed} if not isinstance(text, str) else changed.get("main.flow"), kinds


def line(text, start):
    return next(found for found in text.splitlines() if found.lstrip().startswith(start))


def test_an_event_that_is_emitted_is_declared_behind_what_its_service_emits():
    text = (
        ORDERS
        + """event OrderPlaced key cart { cart: uuid } // of Orders
service Orders { run mock  on CheckoutSubmitted -> OrderPlaced, ParcelBooked }
service Desk { run mock  on OrderPlaced  on ParcelBooked reads total  ordered by cart }
"""
    )
    fixed, kinds = mended(text, "FLW207")
    assert kinds == {"safe"}
    expected = "event ParcelBooked key cart { cart: uuid  total: decimal(12,2) }"
    assert f"// of Orders\n{expected}\nservice Orders" in fixed
    assert not [d for d in check_text(fixed).diagnostics if d.level != "info"]


def test_it_is_declared_in_the_context_of_its_service_and_in_its_file():
    files = {
        "main.flow": ORDERS + 'import "sales.flow"\n',
        "sales.flow": """context Sales {
  /// What was sold.
  event OrderPlaced key cart { cart: uuid  tags: map<string, list<int?>>? }

  service Orders { run mock  on CheckoutSubmitted -> OrderPlaced }
  service Desk { run mock  on OrderPlaced -> TagsCounted }
  service Tags { run mock  on TagsCounted reads tags }
}
""",
    }
    fixed, kinds = mended(files, "FLW207")
    assert kinds == {"safe"}
    assert (
        "list<int?>>? }\n  event TagsCounted key cart { cart: uuid  "
        "tags: map<string, list<int?>>? }\n\n  service Orders" in fixed["sales.flow"]
    )
    assert fixed["main.flow"] == files["main.flow"]


def test_a_timer_emits_an_event_without_fields():
    text = "system Clock\nservice Clock { run mock  every 1d -> DayClosed }\n"
    fixed, kinds = mended(text, "FLW207")
    assert kinds == {"safe"}
    assert line(fixed, "event") == "event DayClosed {}"


@pytest.mark.parametrize(
    ("services", "kinds"),
    [
        ("service Desk { run mock  on ParcelBooked }", {"unsafe"}),  # who emits it is a guess
        ("service Desk { run mock  on ParcelBooked reads weight }", {None}),  # of what type?
        (
            (
                "service A { run mock  on CheckoutSubmitted -> ParcelBooked }\n"
                "service B { run mock  on CheckoutSubmitted -> ParcelBooked }"
            ),
            {None},  # which of them emits it?
        ),
        ("service A { run mock  on CheckoutSubmitted -> Reports } library Reports {}", None),
    ],
)
def test_an_event_is_not_declared_on_a_guess(services, kinds):
    if kinds is None:
        report = check_text(ORDERS + 'service A { on CheckoutSubmitted -> R } library R "r"')
        assert [d.edits for d in report.diagnostics if d.code == "FLW207"] == [()]
        return
    assert mended(ORDERS + services, "FLW207")[1] == kinds


@pytest.mark.parametrize(
    ("written", "known", "sure"),
    [
        ("OrderPlacd", ["OrderPlaced", "OrderPaid"], True),
        ("orderplaced", ["OrderPlaced"], True),
        ("OrderPlacedB", ["OrderPlacedA", "OrderPlacedC"], False),  # either
        ("Step2Done", ["Step1Done"], False),  # a figure is no slip
        ("Inn", ["In"], False),  # too short to say
        ("PaymentFailed", ["PaymentTaken"], None),  # another word
    ],
)
def test_what_is_a_slip(written, known, sure):
    found = guess(written, known)
    assert (found is not None and found.sure) == bool(sure)


@pytest.mark.parametrize(
    ("text", "code", "before", "after"),
    [
        ("service A { on CheckoutSubmited }", "FLW207", "Submited", "Submitted"),
        ("service A { on CheckoutSubmitted reads totl }", "FLW404", "reads totl", "reads total"),
        ("service A { on CheckoutSubmitted ordered by total }", "FLW501", "by total", "by cart"),
        ("service A { on CheckoutSubmitted reads who, who }", "FLW030", "who, who", "who"),
        ("service A { stateless  stateless  on CheckoutSubmitted }", "FLW030", "stateless  s", "s"),
        (
            "service A { on CheckoutSubmitted | CheckoutSubmitted }",
            "FLW030",
            " | CheckoutSubmitted }",
            " }",
        ),
        ("enum Why { BROKEN LOST BROKEN }", "FLW012", " LOST BROKEN", " LOST"),
        ("type Line { sku: strnig }", "FLW011", "strnig", "string"),
        ("event Gone key crat { cart: uuid }", "FLW014", "key crat", "key cart"),
        ("service A { run mok  on CheckoutSubmitted }", "FLW031", None, None),  # short
        (
            (
                "event OrderPlaced v2 { cart: uuid }\n"
                "service O { on CheckoutSubmitted -> OrderPlaced }\n"
                "service A { on OrderPlaced ordered by cart }"
            ),
            "FLW509",
            "v2 {",
            "v2 key cart {",
        ),
        (
            (
                "event OrderPlaced key cart { cart: uuid }\n"
                "service O { on CheckoutSubmitted -> OrderPlaced }"
            ),
            "FLW201",
            "event OrderPlaced",
            "exported event OrderPlaced",
        ),
    ],
)
def test_what_is_safe(text, code, before, after):
    fixed, kinds = mended(ORDERS + text, code)
    if before is None:
        assert kinds == {"unsafe"}
        return
    assert kinds == {"safe"}
    if after is not None:
        assert fixed == ORDERS + text.replace(before, after)
    said = [d.code for d in check_text(fixed).diagnostics]
    assert code not in said


@pytest.mark.parametrize(
    ("text", "code"),
    [
        # what is personal is not told to the outside by itself
        (
            (
                "type Who { name: string @pii }\n"
                "event Placed key cart { cart: uuid  who: list<Who> }\n"
                "service O { on CheckoutSubmitted -> Placed }"
            ),
            "FLW201",
        ),
        # a service that was to emit it may be missing
        ("event Placed key cart { cart: uuid }\nservice O { on Placed }", "FLW202"),
        # nearly a name, but a name of its own at both ends
        (
            (
                "service A { on CheckoutSubmitted -> CheckoutSubmittedd }\n"
                "service B { on CheckoutSubmittedd }"
            ),
            "FLW207",
        ),
        # the event that it nearly names has its emitter
        ("service A { on CheckoutSubmitted -> CheckoutSubmited }", "FLW207"),
        # the event that it nearly names has no such field
        (
            (
                "event Placed key cart { cart: uuid }\n"
                "service A { on CheckoutSubmitted -> Placed }\n"
                "service B { on Plaecd reads who }"
            ),
            "FLW207",
        ),
        # each file of its own, or one process: what was written does not say
        (
            "service A { replicas 2  store depot  on CheckoutSubmitted }",
            "FLW510",
        ),
    ],
)
def test_what_is_a_guess(text, code):
    assert mended(ORDERS + text, code)[1] == {"unsafe"}


def test_an_exemption_of_a_misspelt_name_is_spelt_right_and_not_removed():
    text = ORDERS + "service Orders { on CheckoutSubmitted }\nrules { allow FLW204 on Ordres "
    report = check_text(text + 'because "x" }\n')
    edits = {d.code: [e.text for e in d.edits] for d in report.diagnostics if d.level != "info"}
    assert edits == {"FLW902": [], "FLW207": ["Orders"]}


def test_what_follows_from_an_unknown_event_is_not_declared_before_it():
    text = ORDERS + "service A { on QuarkSeen -> QuarkCounted }\nservice B { on QuarkCounted }"
    report = check_text(text)
    edits = {d.message: len(d.edits) for d in report.diagnostics if d.code == "FLW207"}
    assert edits == {"unknown event `QuarkSeen`": 1, "unknown event `QuarkCounted`": 0}


@pytest.mark.parametrize(
    "text",
    [
        "service A { on CheckoutSubmitted reads who, // the customer\n who }",
        "enum Why { LOST\n // twice\n LOST }",
        "type Line { sku: string\n /// the same\n sku: string }",
        "service A { on CheckoutSubmitted within 5s within 10s }",  # which of them?
        "type Line { sku: string  sku: int }",
    ],
)
def test_what_is_said_twice_stays_where_something_would_be_lost(text):
    report = check_text(ORDERS + text)
    (found,) = [d for d in report.diagnostics if d.code in {"FLW030", "FLW012"}]
    assert found.edits == ()
