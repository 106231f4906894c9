"""How reports look: places and marks have to be right on any text."""

import json

from hypothesis import given
from hypothesis import strategies as st

from flowc_dsl.diagnostics.concise import render_concise
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label, Level
from flowc_dsl.diagnostics.full import render_full
from flowc_dsl.diagnostics.json_format import render_json
from flowc_dsl.diagnostics.order import in_order
from flowc_dsl.diagnostics.width import Look, cells, excerpt
from flowc_dsl.source import Source, Span


def fault(start, end, text="here", related=(), message="a fault of `X`", **more):
    return Diagnostic(
        "FLW101",
        Level.ERROR,
        message,
        Label(Span("a.flow", start, end), text),
        tuple(Label(Span(path, s, e), words) for path, s, e, words in related),
        **more,
    )


def full(found, texts, **look):
    sources = {path: Source(path, text) for path, text in texts.items()}
    return render_full([found], sources, Look(**look))


def rows(found, text, **look):
    """The lines of the snippet after the gutter."""
    lines = full(found, {"a.flow": text}, **look).split("\n")
    return [line.split("| ", 1)[1] for line in lines if "| " in line]


def test_tabs_take_four_cells():
    line, marks = rows(fault(1, 4), "\tabc\n")
    assert line == "    abc"
    assert marks == "    ^^^ here"


def test_wide_characters_take_two_cells_and_combining_ones_none():
    line, marks = rows(fault(4, 6), "日本e\u0301xy")
    assert line == "日本e\u0301xy"
    assert marks == " " * 5 + "^^ here"
    line, marks = rows(fault(0, 2), "日本")
    assert marks == "^^^^ here"


def test_control_and_bidi_characters_do_not_reach_the_terminal():
    text = "a\x1b[31m\u202eb\x00\r\x7f"
    shown = full(fault(0, len(text), message="bad \x1b]0;x\x07"), {"a.flow": text})
    assert not {c for c in shown if (ord(c) < 32 and c != "\n") or c in "\x7f\u202e"}


def test_ascii_terminals_get_ascii():
    text = "événement 注文 \u0301…"
    shown = full(fault(0, 9, "là…"), {"a.flow": text}, unicode=False)
    assert shown.isascii()
    line, marks = rows(fault(10, 12), text, unicode=False)
    assert line.startswith("?v?nement ????")
    assert marks == " " * 10 + "^^^^ here"


def test_several_labels_on_one_line_have_a_row_each():
    found = fault(4, 5, related=[("a.flow", 0, 1, "first")])
    assert rows(found, "a b c d") == ["a b c d", "    ^ here", "- first"]


def test_labels_of_other_files_name_their_place():
    found = fault(0, 1, related=[("b.flow", 2, 3, "there")])
    shown = full(found, {"a.flow": "x", "b.flow": "\n y"})
    assert "--> a.flow:1:1" in shown
    assert "::: b.flow:2:2" in shown
    assert " - there" in shown


def test_a_label_over_lines_is_marked_where_it_begins_and_ends():
    text = "one two\nthree\nfour\n  five six"
    assert rows(fault(4, text.index(" six")), text) == [
        "one two",
        "    ^^^",
        "  five six",
        "  ^^^^ here",
    ]


def test_long_lines_are_cut_around_the_mark():
    text = "a" * 5000 + "NAME" + "b" * 5000
    line, marks = rows(fault(5000, 5004), text)
    assert cells(line) <= 100
    assert line[marks.index("^") : marks.rindex("^") + 1] == "NAME"


def test_words_that_do_not_fit_beside_their_mark_go_below():
    found = fault(60, 63, "w" * 30, related=[("a.flow", 2, 3, "v" * 35)])
    assert rows(found, "x" * 70, width=80) == [
        "x" * 70,
        " " * 60 + "^^^",
        " " * 50 + "w" * 30,
        "  - " + "v" * 35,
    ]
    assert rows(fault(60, 63, "w" * 90), "x" * 70, width=80)[1:] == [" " * 60 + "^^^ " + "w" * 90]


def test_prose_is_wrapped_for_a_terminal_alone():
    found = fault(0, 1, notes=("one two " * 12,), witness=("Order", "Placed") * 6)
    flat = full(found, {"a.flow": "x"}, width=60)
    broken = full(found, {"a.flow": "x"}, width=60, wrap=True)
    assert max(map(cells, flat.split("\n"))) > 60 >= max(map(cells, broken.split("\n")))
    assert broken.split() == flat.split()
    assert "\n             Placed" in broken.partition("= note")[0]  # under the first word


def test_an_empty_file_has_a_place():
    shown = full(fault(0, 0), {"a.flow": ""})
    assert "--> a.flow:1:1" in shown
    assert "| ^ here" in shown


def test_a_file_without_text_has_a_place_in_json():
    document = json.loads(render_json([fault(3, 7)], {}, {}))
    assert document["diagnostics"][0]["start"] == {"line": 1, "column": 1}


def test_concise_is_one_line():
    sources = {"a.flow": Source("a.flow", "x\ny")}
    text = render_concise([fault(2, 3, message="two\nlines")], sources, Look())
    assert text.count("\n") == 1
    assert text.startswith("a.flow:2:1: error[FLW101] ")


def test_one_order_and_one_dedupe():
    a, b = fault(5, 6), fault(1, 2)
    assert in_order([a, b, fault(5, 6)]) == (b, a)


def test_color_only_where_asked():
    assert "\x1b[" in full(fault(0, 1), {"a.flow": "x"}, color=True)
    assert "\x1b" not in full(fault(0, 1), {"a.flow": "x"})


def test_only_so_many_labels():
    found = fault(0, 1, related=[("a.flow", i, i + 1, f"l{i}") for i in range(2, 9)])
    assert [m for m in rows(found, "x" * 20) if "l4" in m] == []


@given(
    text=st.text(max_size=300),
    places=st.lists(st.tuples(st.integers(0, 320), st.integers(0, 320)), min_size=1, max_size=3),
    width=st.integers(1, 200),
    plain=st.booleans(),
)
def test_any_text_and_any_place_can_be_shown(text, places, width, plain):
    first, *rest = places
    found = fault(*first, related=[("a.flow", s, e, "words") for s, e in rest])
    shown = full(found, {"a.flow": text}, width=width, unicode=not plain)
    assert shown.encode("ascii" if plain else "utf-8")
    assert max(cells(line) for line in shown.split("\n")) <= max(width, 40) + 40
    sources = {"a.flow": Source("a.flow", text)}
    place = json.loads(render_json([found], sources, {}))["diagnostics"][0]
    start, end = place["start"], place["end"]
    assert (start["line"], start["column"]) <= (end["line"], end["column"])


@given(st.text(max_size=200), st.integers(0, 200), st.integers(0, 200), st.integers(40, 90))
def test_marks_stay_under_their_characters(text, a, b, width):
    line = text.replace("\n", " ")
    low, high = sorted((min(a, len(line)), min(b, len(line))))
    look = Look(width=width)
    cut = excerpt(line, (low, high), look)
    first, length = cut.mark(low, high)
    want = "".join(look.cell(char) for char in line[low:high])
    if cells(want) and cut.edges[-1] <= width:
        assert length == cells(want)
        assert cells("".join(look.cell(char) for char in line[:low])) == first
