"""`docs/guarantees.md`: every guarantee has its tests, and figures of each (spec: guarantees)."""

from __future__ import annotations

import ast
import json
import re

import pytest

from support.guarantees import COLUMNS, PAGE, ROOT, guarantees, page, rows

PROMISED = guarantees()
TABLE = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []


def chapter() -> list[list[str]]:
    """The cells of each row of the page."""
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in TABLE if "|" in line]
    return found[2:]


def test_every_clause_names_tests_that_are_there() -> None:
    numbers = [int(g.clause.removeprefix("13.")) for g in PROMISED]
    assert numbers == list(range(1, len(numbers) + 1))
    spec = (ROOT / "spec.md").read_text(encoding="utf-8")
    assert len(PROMISED) == len(re.findall(r"^- \*\*13\.", spec, re.MULTILINE))
    for file, name in {test for g in PROMISED for test in g.tests}:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in [n.name for n in tree.body if isinstance(n, ast.FunctionDef)], file


def test_the_page_has_each_guarantee_as_it_is_promised() -> None:
    shown = [(row[0].strip("*"), row[1]) for row in chapter() if row[0]]
    assert shown == [(g.clause, g.text) for g in PROMISED], "run `make chaos`"


def test_every_guarantee_has_figures_and_none_of_them_is_bad() -> None:
    figures: dict[str, list[list[str]]] = {}
    clause = ""
    for row in chapter():
        clause = row[0].strip("*") or clause
        if not row[0]:
            figures.setdefault(clause, []).append(row[2:])
    assert list(figures) == [g.clause for g in PROMISED]
    for clause, own in figures.items():
        tests = next(g.tests for g in PROMISED if g.clause == clause)
        assert len(own) >= len(tests), clause
        for row in own:
            found = dict(zip(COLUMNS, row, strict=True))
            assert "" not in (found["runs"], found["faults"]), clause
            assert {found["lost"], found["doubled"], found["disordered"]} <= {"0", ""}, clause


def test_runs_of_one_test_are_one_row_and_what_is_missing_is_named(tmp_path) -> None:
    for n, recovery in enumerate((7, 9)):
        one = {"clause": "13.1", "test": f"tests/a.py::test_b[{n}]", "what": "x", "runs": 1,
               "faults": 50, "acknowledged": 10, "lost": 0, "doubled": 0, "disordered": None,
               "recovery_ms": recovery}  # fmt: skip
        (tmp_path / f"{n}.json").write_text(json.dumps(one))
    (row,) = rows(tmp_path).values()
    assert (row["runs"], row["faults"], row["acknowledged"], row["recovery_ms"]) == (2, 100, 20, 9)
    assert row["disordered"] is None
    with pytest.raises(KeyError, match="nothing was kept by test_the_broker_killed"):
        page(tmp_path)
