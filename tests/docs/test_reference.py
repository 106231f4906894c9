"""The reference is what the grammar, the rules, the commands and the limits say (3.38, 9.24)."""

import re

import pytest

from flowc_dsl import limits as language_limits
from flowc_engine import limits as engine_limits
from flowc_engine.cli import COMMANDS
from flowc_engine.cli.explain import documents
from support.programs import findings
from support.reference import FOLDER, pages
from support.reference_grammar import constructs, grammar
from support.reference_language import CONSTRUCTS

PAGES = pages()
WITHOUT_EXAMPLE = {"system", "import"}  # the other examples begin with one; a file is alone here


def test_the_pages_are_those_on_disk():
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    stale = [name for name in {*PAGES, *on_disk} if PAGES.get(name) != on_disk.get(name)]
    assert not stale, f"run make reference: {', '.join(sorted(stale))}"


def test_each_rule_of_the_grammar_is_shown_once():
    rules, words, patterns = grammar()
    shown = PAGES["language.md"]
    blocks = re.findall(r"```ebnf\n(.*?)```", shown, re.DOTALL)
    defined = [
        line.split(" = ")[0] for block in blocks for line in block.split("\n") if " = " in line
    ]
    assert len(defined) == len(set(defined))
    assert len(defined) == len(rules) + len(patterns)
    assert all(f'"{word}"' in shown for word in words.values())


def test_what_is_named_is_a_rule_of_the_grammar():
    rules, _, _ = grammar()
    assert CONSTRUCTS.keys() <= {rule.name for rule in rules}
    titles = [construct.title for _, found in constructs() for construct, _ in found]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("name", sorted(CONSTRUCTS.keys() - WITHOUT_EXAMPLE))
def test_an_example_checks_clean(name):
    construct = CONSTRUCTS[name]
    assert construct.example
    assert construct.prose
    said = [d.message for d in findings(f"system Example\n{construct.example}\n")]
    assert said == []


def test_each_code_and_each_command_is_there():
    rules = "".join(text for name, text in PAGES.items() if name.startswith("rules"))
    for code, document in documents().items():
        assert f"## {code}: {document.name}\n" in rules
    for name in COMMANDS:
        assert f"## flowc {name}\n" in PAGES["commands.md"]
        assert f"Usage: flowc {name}" in PAGES["commands.md"]


@pytest.mark.parametrize("module", [language_limits, engine_limits])
def test_each_bound_is_there(module):
    names = {name for name in vars(module) if re.fullmatch(r"[A-Z][A-Z0-9_]+", name)}
    missing = [name for name in names if f"| `{name}` |" not in PAGES["limits.md"]]
    assert set(missing) <= {"KIB", "MIB"}


def test_links_lead_somewhere():
    def anchor(title):
        return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")

    for name, text in PAGES.items():
        for target in re.findall(
            r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        ):
            path, _, place = target.partition("#")
            if path.startswith(("../", "http")):
                continue
            page = PAGES[path or name]
            titles = {anchor(found) for found in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
            assert not place or place in titles, (name, target)
