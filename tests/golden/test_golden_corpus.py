"""The corpus: `cases/NAME.flow`, or `cases/NAME/main.flow` with its imports and the Python source
of its services, with what is said.

`NAME.diag` is the report in the `full` format; absent means that nothing is said. `FLOWC_REFRESH=1`
rewrites the files, and the run still fails where one changed: nobody refreshes without a look.
"""

import os
from pathlib import Path

import pytest

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Level
from flowc_dsl.diagnostics.full import render_full
from flowc_dsl.diagnostics.width import Look
from support.programs import check_text

CASES = Path(__file__).parent / "cases"
REFRESH = bool(os.environ.get("FLOWC_REFRESH"))


def names() -> list[str]:
    singles = [path.stem for path in CASES.glob("*.flow")]
    folders = [path.parent.name for path in CASES.glob("*/main.flow")]
    return sorted(singles + folders)


def texts(name: str) -> dict[str, str]:
    single = CASES / f"{name}.flow"
    if single.exists():
        return {"main.flow": single.read_text(encoding="utf-8")}
    root = CASES / name
    found = sorted([*root.rglob("*.flow"), *root.rglob("*.py")])
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in found}


def is_shown(found: Diagnostic, name: str) -> bool:
    """Infos are shown where they are the case: most cases would have some."""
    return found.level != Level.INFO or found.code in ("FLW090", name[:6].upper())


def compare(path: Path, actual: str) -> None:
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    if REFRESH and actual != expected:
        if actual:
            path.write_text(actual, encoding="utf-8")
        else:
            path.unlink()
    assert actual == expected


@pytest.mark.parametrize("name", names())
def test_report(name):
    report = check_text(texts(name))
    shown = [found for found in report.diagnostics if is_shown(found, name)]
    compare(CASES / f"{name}.diag", render_full(shown, report.sources, Look()))


def test_no_report_is_an_orphan():
    assert {path.stem for path in CASES.glob("*.diag")} <= set(names())


def test_each_rule_has_a_case():
    from flowc_dsl.rules.registry import declared_rules

    said = "".join(path.read_text(encoding="utf-8") for path in CASES.glob("*.diag"))
    rules = [rule for rule in declared_rules().values() if rule.needs == "text"]
    missing = [rule.code for rule in rules if f"[{rule.code}]" not in said]
    assert missing == ["FLW008", "FLW903", "FLW999"]  # none is about one text
