"""A session says, after any edits, what a fresh check of the same files says (spec 3.31)."""

from __future__ import annotations

from datetime import date
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowc_dsl.lower import items
from flowc_dsl.session import Session
from support.programs import check_text
from support.realistic import realistic

TODAY = date(2026, 11, 25)
PIECES = (
    "{", "}", '"', "event", "service", "enum", "type", "external ", "->", "|", "Reason", "Line",
    "Step1Done", "Worker2", "order_id", "uuid", "key", "v2", "@pii", "// x\n", "/// doc\n", "\\",
    "\nenum Line { A B }\n", "\nevent Step1Done key k { k: Reason  m: map<Line, Reason> }\n",
    "\ntype Reason { a: Line }\n", '\nimport "contexts/area1.flow"\n', "\nservice Worker2 { }\n",
    "\nservice Extra { run mock  args { deep: [1, { a: null }] }  on Step1Done -> Step2Done* }\n",
    "\nevent Late v3 key k { k: uuid  a: list<Line>?  upcast v2 { a = [] } }\n",
)  # fmt: skip


def edited(files: dict[str, str | bytes], random: Random) -> tuple[str, str | bytes | None]:
    """One edit: text put in, taken out or moved, a file taken away or given another's text."""
    path = random.choice(sorted(files))
    text = files[path]
    if isinstance(text, bytes):
        return path, ""
    a, b = sorted(random.choices(range(len(text) + 1), k=2))
    b = min(b, a + 40)
    match random.randrange(8):
        case 0 | 1 | 2:
            return path, text[:a] + random.choice(PIECES) + text[a:]
        case 3:
            return path, text[:a] + text[b:]
        case 4:
            lines = text.splitlines(keepends=True)
            random.shuffle(lines)
            return path, "".join(lines) if random.random() < 0.3 else f"\n{text}"
        case 5:
            return path, None if random.random() < 0.3 else f"{text}\n// {a}\n"
        case 6:
            return path, files[random.choice(sorted(files))]
        case _:
            return path, text.encode() + (b"\xff" if random.random() < 0.3 else b"")


def walk(seed: int, steps: int) -> None:
    random = Random(seed)
    whole = realistic(random.randint(1, 14), random.randint(1, 4), seed)
    files: dict[str, str | bytes] = dict(whole)
    session = Session("main.flow", files)
    for _ in range(steps):
        if random.random() < 0.4:  # mended again, so that broken text is not all there is
            path, text = random.choice(sorted(whole.items()))
        else:
            path, text = edited(files or dict(whole), random)
        session.update(path, text)
        if text is None:
            files.pop(path, None)
        else:
            files[path] = text
        assert session.report(TODAY) == check_text(files, TODAY)


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_a_session_says_what_a_fresh_check_says(seed):
    walk(seed, 8)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_many_sessions_say_what_a_fresh_check_says(seed):
    walk(seed, 12)


def test_only_the_file_that_changed_is_lowered(monkeypatch):
    files = realistic(12, 4, seed=3)
    session = Session("main.flow", files)
    first = session.report(TODAY)
    assert session.report(TODAY) is first
    lowered: list[str] = []
    lower = items.lower_event

    def watched(work, tree, context, item):
        lowered.append(tree.source.path)
        return lower(work, tree, context, item)

    monkeypatch.setattr(items, "lower_event", watched)
    session.update("contexts/area2.flow", files["contexts/area2.flow"] + "// more\n")
    assert session.report(TODAY) is not first
    assert set(lowered) == {"contexts/area2.flow"}


def test_a_type_that_becomes_an_enum_reaches_the_files_that_use_it():
    files: dict[str, str | bytes] = {
        "main.flow": 'system S\nimport "a.flow"\nenum Kind { A B }\n',
        "a.flow": "external event Seen key k { k: Kind }\nservice R { run mock  on Seen }\n",
    }
    session = Session("main.flow", files)
    assert not session.report(TODAY).has_errors
    session.update("main.flow", 'system S\nimport "a.flow"\ntype Kind { a: int }\n')
    assert [d.message for d in session.report(TODAY).diagnostics if d.level == "error"]


def test_a_report_is_of_its_day():
    text = (
        "system S\nevent Lost key k { k: uuid }\nservice A { run mock  every 5s -> Lost }\n"
        'rules { allow FLW201 on Lost because "later" until 2026-12-31 }\n'
    )
    session = Session("main.flow", {"main.flow": text})
    before, after = session.report(date(2026, 12, 1)), session.report(date(2027, 1, 2))
    assert {d.code for d in after.diagnostics} - {d.code for d in before.diagnostics} == {
        "FLW201",
        "FLW901",
    }


def test_an_enum_that_loses_a_member_reaches_the_upcasts_that_set_it():
    files = {
        "main.flow": 'system Shop\nimport "why.flow"\nexternal event Placed v2 key id '
        '{ id: uuid  why: Why  upcast v1 { why = "A" } }\nservice Mail { on Placed }\n',
        "why.flow": "enum Why { A B }\n",
    }
    session = Session("main.flow", files)
    assert not [d for d in session.report(TODAY).diagnostics if d.level == "error"]
    session.update("why.flow", "enum Why { B C }\n")
    fresh = Session("main.flow", {**files, "why.flow": "enum Why { B C }\n"})
    assert [d.code for d in session.faults()] == ["FLW207"]
    assert session.report(TODAY).diagnostics == fresh.report(TODAY).diagnostics
    assert [d.code for d in session.report(TODAY).diagnostics if d.level == "error"] == ["FLW207"]
