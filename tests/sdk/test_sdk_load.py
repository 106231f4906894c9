"""Finding a service's functions, and saying well what is missing (spec 8.1, 8.4)."""

from __future__ import annotations

import sys
import textwrap

import pytest

from flowc.classes import Classes
from flowc.errors import CodeError
from flowc.load import load_handlers
from flowc_dsl.plan import (
    EventPlan,
    FieldPlan,
    HandlerPlan,
    Plan,
    RetryPlan,
    ServicePlan,
    TypePlan,
)
from flowc_engine.typegen import types_module


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))

    yield write
    for name in set(sys.modules) - before:
        if (
            getattr(sys.modules[name], "__file__", None)
            and str(tmp_path) in sys.modules[name].__file__
        ):
            del sys.modules[name]


def service(target: str, *handlers: HandlerPlan) -> ServicePlan:
    return ServicePlan("Orders", "python", target, handlers or (HandlerPlan(("OrderPlaced",)),))


def test_a_module_that_is_missing_is_said_where_nothing_is_handled():
    with pytest.raises(CodeError, match="there is no module ld_none in"):
        load_handlers(ServicePlan("Orders", "python", "ld_none:Orders", ()))


@pytest.mark.parametrize(
    ("code", "target", "words"),
    [
        (None, "ld_none",
         ["there is no module ld_none in", "write it, with `def on_order_placed(event)`"]),
        (None, "ld_none:Orders", ["`class Orders` and its method `on_order_placed(self, event)`"]),
        ("", "ld_pkg.inner", ["there is no module ld_pkg"]),
        ("import nothing_like_it", "ld_a", ["ld_a raised ModuleNotFoundError", "ld_a.py"]),
        ("\n\n1 / 0", "ld_b", ["importing ld_b raised ZeroDivisionError", 'ld_b.py", line 3']),
        ("def (", "ld_c", ["importing ld_c raised SyntaxError"]),
        ("import sys; sys.exit(3)", "ld_d", ["importing ld_d raised SystemExit"]),
        ("class Order: pass", "ld_e:Orders", ["ld_e.py has no Orders; did you mean Order?"]),
        ("Orders = 3", "ld_f:Orders", ["Orders in", "is no class"]),
        ("class Orders:\n def __init__(self): raise OSError('db')", "ld_g:Orders",
         ["Orders() raised OSError: db"]),
        ("def on_order_place(e): pass", "ld_h",
         ["Orders handles OrderPlaced", "no function on_order_placed; did you mean on_order_place?",
          "ld_h.py"]),
        ("def on_order_placed(): pass", "ld_i", ["Orders.on_order_placed takes ()"]),
        ("def on_order_placed(a, b, c): pass", "ld_j", ["takes (a, b, c); a handler takes"]),
    ],
)  # fmt: skip
def test_what_keeps_a_service_from_starting_is_named(write, code, target, words):
    if code is not None:
        write(target.partition(":")[0].partition(".")[0], code)
    with pytest.raises(CodeError) as caught:
        load_handlers(service(target))
    for word in words:
        assert word in str(caught.value)
    assert "importlib" not in str(caught.value)
    assert "flowc/load.py" not in str(caught.value)


def test_a_folder_whose_name_is_taken_is_told_from_one_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "orders.py").write_text("def on_order_placed(e): ...")
    with pytest.raises(
        CodeError, match=r"json is .*json/__init__\.py, not the folder in .*another"
    ):
        load_handlers(service("json.orders"))


@pytest.mark.parametrize("marked", [True, False])
def test_a_module_that_is_missing_in_a_folder_of_ones_own(tmp_path, monkeypatch, marked):
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / f"ld_own_{marked}"
    folder.mkdir()
    if marked:
        (folder / "__init__.py").touch()
    with pytest.raises(CodeError) as caught:
        load_handlers(service(f"{folder.name}.orders"))
    assert "give the folder another name" not in str(caught.value)
    assert f"there is no module {folder.name}.orders in {tmp_path}" in str(caught.value)


def test_functions_are_found_by_trigger_or_by_name(write):
    write("ld_ok", """
        import flowc
        class Orders:
            def on_order_placed(self, e): ...
            async def on_http_failed(self, e, ctx): ...
            def notify(self, batch): ...
            def tally(self, rows: flowc.Batch, ctx): ...
            def refund(self, e, *, dry_run=False): yield
    """)  # fmt: skip
    handlers = load_handlers(
        service(
            "ld_ok:Orders",
            HandlerPlan(("OrderPlaced", "HTTPFailed")),
            HandlerPlan(("A", "B"), name="notify", retry=RetryPlan(attempts=9)),
            HandlerPlan(("C",), name="tally"),
            HandlerPlan(("D",), name="refund"),
        )
    )
    found = [(h.trigger, h.function.name, h.function.shape, h.function.takes, h.function.context)
             for h in handlers]  # fmt: skip
    assert found == [
        ("OrderPlaced", "Orders.on_order_placed", "plain", "event", False),
        ("HTTPFailed", "Orders.on_http_failed", "async", "event", True),
        ("A", "Orders.notify", "plain", "record_batch", False),
        ("B", "Orders.notify", "plain", "record_batch", False),
        ("C", "Orders.tally", "plain", "batch", True),
        ("D", "Orders.refund", "plain", "event", False),
    ]
    assert handlers[2].retry.attempts == 9


# ---- event classes that the user has imported

PLACED = EventPlan(
    "OrderPlaced", "event", 1, "id",
    (
        FieldPlan("id", TypePlan("uuid")),
        FieldPlan("note", TypePlan("string", optional=True)),
        FieldPlan("reason", TypePlan("enum", name="Reason")),
        FieldPlan("lines", TypePlan("list", args=(TypePlan("struct", name="Line"),))),
    ),
    external=True,
)  # fmt: skip
PLAN = Plan(
    "Shop", (PLACED,), (), {"Line": (FieldPlan("sku", TypePlan("string")),)},
    {"Reason": ("DECLINED", "EXPIRED")},
)  # fmt: skip
HAND_WRITTEN = """
    import enum, uuid, flowc
    class Reason(enum.StrEnum):
        DECLINED = "DECLINED"
        EXPIRED = "EXPIRED"
    class Line(flowc.Record):
        sku: str
    class OrderPlaced(flowc.Event, kw_only=True):
        id: uuid.UUID
        note: str | None = None
        reason: Reason
        lines: list[Line]
"""


def test_the_module_that_types_writes_is_used(write):
    write("ev_ok", types_module(PLAN, "shop.flow"))
    import ev_ok  # type: ignore[import-not-found]

    classes = Classes(PLAN)
    classes.adopt_imported()
    assert classes.event("OrderPlaced") is ev_ok.OrderPlaced
    assert classes.lookup("Reason") is ev_ok.Reason


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("id: uuid.UUID", "id: str"), "OrderPlaced.id is str, declared uuid"),
        (("note: str | None = None\n", "note: str\n"), "OrderPlaced.note is str, declared string?"),
        (("lines: list[Line]", "lines: list[str]"), "lines is list[str], declared list<Line>"),
        (("        id: uuid.UUID\n", ""), "fields note, reason, lines, not id, note"),
        (('        EXPIRED = "EXPIRED"\n', ""),
         "OrderPlaced.reason is Reason { DECLINED }, declared Reason { DECLINED EXPIRED }"),
        (("sku: str", "sku: int"), "OrderPlaced.lines is list"),
    ],
)  # fmt: skip
def test_classes_that_are_older_than_the_declaration_are_refused(write, change, why):
    name = f"ev_old{abs(hash(change))}"
    assert change[0] in HAND_WRITTEN
    write(name, HAND_WRITTEN.replace(*change))
    module = __import__(name)
    classes = Classes(PLAN)
    with pytest.raises(CodeError) as caught:
        classes.name_of(module.OrderPlaced)
    assert why in str(caught.value)
    assert "flowc types" in str(caught.value)
    Classes(PLAN).name_of(type("Other", (), {}))


def test_equal_classes_without_a_hash_are_taken(write):
    write("ev_hand", HAND_WRITTEN)
    import ev_hand  # type: ignore[import-not-found]

    assert Classes(PLAN).name_of(ev_hand.OrderPlaced) == "OrderPlaced"
