"""`flowc types`: a module that Python, type checkers and flowc understand (spec 8.4)."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from flowc.classes import Classes
from flowc_dsl.plan import EventPlan, FieldPlan, Plan, TypePlan
from flowc_engine.cli.types import command
from flowc_engine.typegen import schema_hash, types_module

SCALARS = ("string", "bool", "int", "float", "uuid", "timestamp", "date", "duration", "bytes")
FIELDS = (
    FieldPlan("id", TypePlan("uuid"), doc='says "hi"'),
    FieldPlan("date", TypePlan("date", optional=True)),  # hides no module
    *(FieldPlan(f"x_{kind}", TypePlan(kind)) for kind in SCALARS),
    FieldPlan("total", TypePlan("decimal", precision=12, scale=2)),
    FieldPlan("class", TypePlan("string")),  # a keyword
    FieldPlan("int", TypePlan("int", optional=True)),  # a builtin
    FieldPlan("count", TypePlan("int")),
    FieldPlan("reason", TypePlan("enum", name="Reason", optional=True)),
    FieldPlan("lines", TypePlan("list", args=(TypePlan("struct", name="Line"),))),
    FieldPlan("by", TypePlan("map", args=(TypePlan("string"), TypePlan("int", optional=True)))),
)
PLAN = Plan(
    "Shop",
    (
        EventPlan("Wide", "event", 1, "id", FIELDS, external=True, doc='ends with a "quote"'),
        EventPlan("Empty", "event", 1, None, (), doc='two\n\nlines \\ and """ quotes'),
        EventPlan("Bare", "command", 1, None, ()),
    ),
    (),
    {"Line": (FieldPlan("sku", TypePlan("string")),
              FieldPlan("qty", TypePlan("int", optional=True)))},
    {"Reason": ("A", "None")},
)  # fmt: skip
USE = """
import datetime, decimal, uuid
import {name} as ev
import flowc

def handler(event: ev.Wide, ctx: flowc.Context) -> ev.Empty | None:
    total: decimal.Decimal = event.total
    maybe: datetime.date | None = event.date
    word: str = event.class_
    first: int | None = event.lines[0].qty
    if event.reason is ev.Reason.A:
        return ev.Empty()
    return None
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "typed_wide.py").write_text(types_module(PLAN, "shop.flow"))
    yield __import__("typed_wide")
    del sys.modules["typed_wide"]


def test_the_module_imports_and_is_what_the_plan_says(module):
    text = types_module(PLAN, "shop.flow")
    assert max(map(len, text.splitlines())) <= 100
    assert f'SCHEMA = "{schema_hash(PLAN)}"' in text
    assert ast.get_docstring(ast.parse(text)).startswith("The events of Shop.")
    assert module.Wide.__doc__ == 'ends with a "quote"'
    assert '\\ and """ quotes' in module.Empty.__doc__
    del module.SCHEMA  # then the classes themselves are held against the plan
    classes = Classes(PLAN)
    assert [classes.name_of(c) for c in (module.Wide, module.Empty, module.Bare)] == [
        "Wide", "Empty", "Bare",
    ]  # fmt: skip


def test_the_hash_is_of_the_types_alone():
    assert schema_hash(replace(PLAN, partitions=7)) == schema_hash(PLAN)
    assert schema_hash(replace(PLAN, enums={"Reason": ("A",)})) != schema_hash(PLAN)


@pytest.mark.slow
def test_the_module_passes_strict_type_checking(module, tmp_path):
    (tmp_path / "use.py").write_text(USE.format(name="typed_wide"))
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "use.py", "typed_wide.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
    (tmp_path / "use.py").write_text(
        USE.format(name="typed_wide").replace("total: decimal.Decimal", "total: int")
    )
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "use.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 'has type "Decimal", variable has type "int"' in found.stdout, (
        "the checker knows the fields"
    )


FLOW = """system Shop
external event Asked key id { id: uuid  note: string? }
service Desk { run mock  on Asked }
"""


def test_the_command_writes_checks_and_fails_well(tmp_path):
    flow, out = tmp_path / "shop.flow", tmp_path / "shop_events.py"
    flow.write_text(FLOW)
    run = CliRunner().invoke
    printed = run(command, [str(flow)])
    assert printed.exit_code == 0, printed.output
    assert "class Asked(flowc.Event" in printed.stdout
    assert run(command, [str(flow), "-o", str(out), "--check"]).exit_code == 1
    assert run(command, [str(flow), "-o", str(out)]).exit_code == 0
    assert out.read_text() == printed.stdout
    assert run(command, [str(flow), "-o", str(out), "--check"]).exit_code == 0
    flow.write_text(FLOW.replace("uuid", "string"))
    stale = run(command, [str(flow), "-o", str(out), "--check"])
    assert stale.exit_code == 1
    assert "is not what shop.flow declares; run `flowc types" in stale.output
    flow.write_text(FLOW.replace("uuid", "uid"))
    assert run(command, [str(flow)]).exit_code == 1
    assert run(command, [str(tmp_path / "none.flow")]).exit_code == 2
    assert run(command, [str(flow), "--check"]).exit_code == 2
