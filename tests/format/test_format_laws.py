"""The laws of the formatter, over programs of every construct in every layout."""

from collections import Counter
from contextlib import nullcontext

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from flowc_dsl.compile import compile_program
from flowc_dsl.format.doc import WIDTH_CHARS_MAX
from flowc_dsl.format.formatter import BrokenTextError, format_text
from flowc_dsl.source import Source
from flowc_dsl.syntax.parser import parse
from support.layouts import any_layout, without_places

# Without the phase that explains failures: it traces every line, and takes longer than a test may.
PHASES = [phase for phase in Phase if phase is not Phase.explain]
LAWS = settings(max_examples=40, deadline=None, phases=PHASES)
# A strategy of a whole grammar has a long name, of which hypothesis warns.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")


def tree_of(text):
    tree = parse(Source("main.flow", text))
    assert not tree.faults, [fault.diagnostic().message for fault in tree.faults]
    return tree


@LAWS
@given(any_layout())
def test_formatting_twice_changes_nothing(text):
    once = format_text(text)
    assert format_text(once) == once


@LAWS
@given(any_layout())
def test_nothing_is_lost(text):
    before, after = tree_of(text), tree_of(format_text(text))
    assert without_places(after.items) == without_places(before.items)
    comments = [Counter(c.text.rstrip() for c in tree.comments) for tree in (before, after)]
    assert comments[0] == comments[1]
    docs = [[tree.doc(item) for item in tree.items] for tree in (before, after)]
    assert docs[0] == docs[1]


@settings(LAWS, max_examples=20)
@given(any_layout())
def test_the_model_stays(text):
    before = compile_program({"main.flow": text}, "main.flow")
    after = compile_program({"main.flow": format_text(text)}, "main.flow")
    assert without_places(after.system) == without_places(before.system)
    assert sorted(d.code for d in after.diagnostics) == sorted(d.code for d in before.diagnostics)


@LAWS
@given(any_layout())
def test_lines_are_tidy(text):
    formatted = format_text(text)
    assert formatted.endswith("\n")
    assert not formatted.endswith("\n\n")
    assert "\n\n\n" not in formatted
    for line in formatted.split("\n"):
        assert line == line.rstrip()
        assert "\t" not in line
        assert (len(line) - len(line.lstrip(" "))) % 2 == 0
        if len(line) > WIDTH_CHARS_MAX:
            assert "//" in line or len(line.split()) <= 8


@pytest.mark.slow
@settings(LAWS, max_examples=2_000)
@given(any_layout())
def test_all_laws_at_length(text):
    once = format_text(text)
    assert format_text(once) == once
    assert without_places(tree_of(once).items) == without_places(tree_of(text).items)


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_is_formatted_or_refused(text):
    faults = parse(Source("main.flow", text)).faults
    with pytest.raises(BrokenTextError) if faults else nullcontext():
        format_text(text)
