"""Every code has a document, and the documents' examples do what they say."""

import re
from importlib.resources import files

import pytest

from flowc_dsl.compile import compile_program
from flowc_dsl.evolution.compare import compare
from flowc_dsl.rules.registry import declared_rules
from support.programs import check_text

FOLDER = files("flowc_dsl") / "rules" / "docs"
DOCS = {entry.name[:-3]: entry.read_text() for entry in FOLDER.iterdir()}
NO_EXAMPLE = {"FLW008", "FLW903", "FLW999"}  # they are not about a text


def block(code: str, heading: str) -> dict[str, str]:
    """The text of a section, and the Python beside it, which begins with its path as a comment."""
    section = re.search(rf"## {heading}\n(.*?)(?=\n## |\Z)", DOCS[code], re.DOTALL)
    found = re.search(r"\A\n+```flow\n(.*?)```", section[1] if section else "", re.DOTALL)
    assert section, f"{code} has no section {heading!r}"
    assert found, f"{code} has no block under {heading!r}"
    python = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", section[1], re.DOTALL)
    return {"main.flow": found[1], **dict(python)}


def owned() -> list[str]:
    """Those that a text alone shows; of the others see `tests/drift`, and below."""
    rules = declared_rules().values()
    return sorted({rule.code for rule in rules if rule.needs == "text"} - NO_EXAMPLE)


def test_each_declared_rule_has_a_document_that_agrees_with_it():
    for code, rule in declared_rules().items():
        head = f"# {code}: {rule.name}\n\nLevel: {rule.level}\n\n## What it does\n"
        assert DOCS[code].startswith(head), code
        assert "## Why is this bad?" in DOCS[code]


@pytest.mark.parametrize("code", owned())
def test_the_example_fires_and_the_alternative_does_not(code):
    example, instead = (
        [
            found.code
            for found in check_text(text).diagnostics
            if found.level != "info" or found.code == code
        ]  # what is a matter of taste is not every document's matter
        for text in (block(code, "Example"), block(code, "Use instead"))
    )
    also = {"FLW302": ["FLW301"], "FLW305": ["FLW301"], "FLW901": ["FLW201"]}.get(code, [])
    assert sorted(set(example)) == sorted([code, *also])
    assert instead == []


@pytest.mark.parametrize(
    "code", [code for code, rule in declared_rules().items() if rule.needs == "older text"]
)
def test_the_change_fires_and_the_alternative_does_not(code):
    before, example, instead = (
        compile_program(block(code, heading), "main.flow").system
        for heading in ("Before", "Example", "Use instead")
    )
    assert {change.code for change in compare(before, example) if change.code} == {code}
    assert not [change for change in compare(before, instead) if change.code]
