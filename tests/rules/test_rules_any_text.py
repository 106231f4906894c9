"""Whatever is written, it is judged, and twice the same."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from flowc_dsl.diagnostics.full import render_full
from flowc_dsl.diagnostics.width import Look
from support.programs import check_text

CASES = Path(__file__).parents[1] / "golden/cases"
TEXTS = sorted(path.read_text(encoding="utf-8") for path in CASES.glob("flw*.flow"))
WORDS = sorted({word for text in TEXTS for word in text.split()})


@settings(max_examples=60, deadline=None)
@given(
    text=st.sampled_from(TEXTS),
    cuts=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 30)), max_size=3),
    words=st.lists(st.tuples(st.integers(0, 900), st.sampled_from(WORDS)), max_size=3),
)
def test_damaged_programs_are_judged(text, cuts, words):
    for at, length in cuts:
        text = text[:at] + text[at + length :]
    for at, word in words:
        text = f"{text[:at]} {word} {text[at:]}"
    first, again = check_text(text), check_text(text)
    shown = render_full(first.diagnostics, first.sources, Look())
    assert "FLW999" not in shown
    assert render_full(again.diagnostics, again.sources, Look()) == shown


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join))
def test_words_in_any_order_are_judged(text):
    report = check_text(f"system S {text}")
    assert "FLW999" not in {found.code for found in report.diagnostics}
