"""The documents of the codes of text, names and types: each has one, and its examples hold."""

import re
from importlib.resources import files

import pytest

from flowc_dsl.lower import faults as of_names
from flowc_dsl.syntax import faults as of_text
from support.programs import check_text

FOLDER = files("flowc_dsl") / "rules" / "docs"
NO_EXAMPLE = {"FLW005", "FLW006", "FLW009", "FLW023", "FLW091"}  # one text can't show them


def reported() -> set[str]:
    sources = [
        (module.__spec__.loader.get_source(module.__name__)) for module in (of_names, of_text)
    ]
    return {code for text in sources for code in re.findall(r"FLW0\d\d", text)} | {"FLW091"}


@pytest.mark.parametrize("code", sorted(reported()))
def test_document(code):
    text = (FOLDER / f"{code}.md").read_text()
    assert re.match(rf"# {code}: [a-z0-9-]+\n\nLevel: error\n\n## What it does\n", text)
    blocks = re.findall(r"```flow\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == (0 if code in NO_EXAMPLE else 2)
    if blocks:
        assert {d.code for d in check_text(blocks[0]).diagnostics if d.level != "info"} == {code}
        assert [d for d in check_text(blocks[1]).diagnostics if d.code != "FLW090"] == []
