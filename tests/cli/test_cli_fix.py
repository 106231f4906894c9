"""`flowc check --fix`: which edits are applied, and that a file is never left half done."""

import json
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowc_dsl.check import Report, check_system
from flowc_dsl.compile import compile_program
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Edit, Label, Level
from flowc_dsl.diagnostics.fixing import applicability, apply_edits
from flowc_dsl.source import Span
from support.invoking import flowc

TEXT = """system Shop
event Paid key id { id: uuid }
event Gone key id { id: uuid }
external event In key id { id: uuid }
rules {
  allow FLW204 on Ledger because "a \\" }" until 2029-01-01
  allow FLW205 on Ledger because "x"  allow FLW203 on Paid because "y" // kept
  allow FLW205 on Ledger because "z"
}
service Ledger { on Paid -> Gone  on Inn }
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.flow").write_text(TEXT)
    return tmp_path


def codes(here: Path) -> list[str]:
    lines = flowc("check", "--output-format", "concise").stdout.splitlines()
    return [line.split("[")[1][:6] for line in lines if "info" not in line]


def test_only_what_is_safe_is_fixed(here):
    done = flowc("check", "--fix", "--today", "2028-01-01")
    assert done.exit_code == 1
    assert "5 findings in 1 file fixed (FLW201 1, FLW902 4)" in done.stderr
    assert (
        (here / "shop.flow").read_text()
        == """system Shop
event Paid key id { id: uuid }
exported event Gone key id { id: uuid }
external event In key id { id: uuid }
rules {
  // kept
}
service Ledger { on Paid -> Gone  on Inn }
"""
    )
    assert codes(here) == ["FLW202", "FLW207"]


def test_unsafe_fixes_are_asked_for(here):
    done = flowc("check", "--fix", "--unsafe-fixes", "--today", "2028-01-01")
    assert done.exit_code == 0, done.output
    text = (here / "shop.flow").read_text()
    assert "\nexternal event Paid" in text
    assert "\nexported event Gone" in text
    assert "on Paid -> Gone  on In }" in text


def test_diff_writes_nothing(here):
    done = flowc("check", "--fix", "--diff", "--today", "2028-01-01")
    assert done.exit_code == 1
    assert "--- shop.flow (now)\n+++ shop.flow (fixed)\n" in done.stdout
    assert '-  allow FLW204 on Ledger because "a \\" }" until 2029-01-01\n' in done.stdout
    assert "would be fixed" in done.stderr
    assert (here / "shop.flow").read_text() == TEXT
    flowc("check", "--fix", "--today", "2028-01-01")
    done = flowc("check", "--fix", "--diff")
    assert (done.exit_code, done.stdout) == (0, "")


def test_only_what_is_selected_is_fixed(here):
    flowc("check", "--fix", "--unsafe-fixes", "--select", "FLW207")
    assert (here / "shop.flow").read_text() == TEXT.replace("on Inn", "on In")


def test_bytes_that_are_not_edited_stay(here):
    data = b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()
    (here / "shop.flow").write_bytes(data)
    flowc("check", "--fix", "--unsafe-fixes", "--select", "FLW207")
    assert (here / "shop.flow").read_bytes() == data.replace(b"on Inn", b"on In")


def test_an_imported_file_of_two_systems_is_fixed_once(here):
    (here / "shop.flow").unlink()
    (here / "parts.flow").write_text(
        "external event Paid key id { id: uuid }\nevent Gone key id { id: uuid }\n"
        "service Ledger { on Paid -> Gone }\n"
    )
    for name in ("A", "B"):
        (here / f"{name}.flow").write_text(f'system {name}\nimport "parts.flow"\n')
    done = flowc("check", "--fix", "--unsafe-fixes", "--diff")
    assert done.stdout.count("+exported event Gone") == 1
    assert flowc("check", "--fix", "--unsafe-fixes").exit_code == 0
    assert "\nexported event Gone" in (here / "parts.flow").read_text()


def test_edits_that_break_the_text_are_not_taken(here, monkeypatch):
    def worse():
        edit = Edit(Span("shop.flow", 0, 6), "{{{", "safe")
        return (Diagnostic("FLW203", Level.WARNING, "m", Label(edit.span), edits=(edit,)),)

    monkeypatch.setattr("flowc_engine.cli.fixing.wanted", lambda *_: (worse(), (), 0))
    done = flowc("check", "--fix")
    assert "shop.flow: an edit was left out: it would bring another error" in done.stderr
    assert (here / "shop.flow").read_text() == TEXT


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ("service Ledger {\n", "service Ledger {}\n"),
        ("service Ledger { on Paid -> Gone\n", "service Ledger { on Paid -> Gone}\n"),
        ("service Ledger { } }\n", "service Ledger { } \n"),
    ],
)
def test_a_brace_is_put_where_it_is_missing(here, broken, mended):
    head = TEXT.partition("rules")[0]
    (here / "shop.flow").write_text(head + broken)
    flowc("check", "--fix", "--unsafe-fixes", "--select", "FLW0")
    assert (here / "shop.flow").read_text() == head + mended


def also_wants(monkeypatch, edit: Edit) -> None:
    """A check that finds what ``edit`` is for, before all else."""
    from flowc_engine.cli import fixing

    real = fixing.wanted
    worse = Diagnostic("FLW203", Level.WARNING, "m", Label(edit.span), edits=(edit,))

    def wanted(report, *more):
        found, gone, held = real(report, *more)
        return (worse, *found), gone, held

    monkeypatch.setattr(fixing, "wanted", wanted)


def test_what_mends_alone_is_taken_where_all_together_is_not(here, monkeypatch):
    also_wants(monkeypatch, Edit(Span("shop.flow", 0, 6), "{{{", "safe"))
    flowc("check", "--fix", "--unsafe-fixes", "--select", "FLW207")
    assert (here / "shop.flow").read_text() == TEXT.replace("on Inn", "on In")


def test_fixes_that_never_end_do(here, monkeypatch):
    def again(report, *_):
        edit = Edit(Span("shop.flow", 0, 0), "// again\n", "safe")
        return (Diagnostic("FLW203", Level.WARNING, "m", Label(edit.span), edits=(edit,)),), (), 0

    monkeypatch.setattr("flowc_engine.cli.fixing.wanted", again)
    flowc("check", "--fix")
    assert (here / "shop.flow").read_text() == "// again\n" * 10 + TEXT


@pytest.mark.parametrize("args", [["--diff"], ["--unsafe-fixes"], ["--fix", "-"]])
def test_usage_is_two(here, args):
    assert flowc("check", *args, input=TEXT).exit_code == 2


def test_a_file_that_can_not_be_written_is_two(here, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flowc_engine.cli.fixing.write_atomically", full)
    done = flowc("check", "--fix")
    assert done.exit_code == 2
    assert "can't write shop.flow: no space left" in done.stderr


def finding(*edits: Edit) -> Diagnostic:
    return Diagnostic("FLW001", Level.ERROR, "m", Label(Span("a", 0, 0)), edits=edits)


def test_a_diagnostic_is_as_safe_as_its_least_safe_edit():
    at = Span("a", 0, 0)
    assert applicability(finding()) is None
    assert applicability(finding(Edit(at, "", "safe"), Edit(at, "", "unsafe"))) == "unsafe"
    assert applicability(finding(Edit(at, "", "display"), Edit(at, "", "unsafe"))) == "display"


def test_all_edits_of_a_diagnostic_or_none():
    first = finding(Edit(Span("a", 1, 2), "X", "safe"))
    both = finding(Edit(Span("a", 1, 2), "Y", "safe"), Edit(Span("a", 4, 4), "Z", "safe"))
    away = finding(Edit(Span("b", 0, 0), "Z", "safe"))
    result = apply_edits([first, both, away], {"a": "abcde"})
    assert (result.texts, result.fixed) == ({"a": "aXcde"}, (first,))


@given(st.text(max_size=20), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20))))
def test_edits_that_are_taken_do_not_touch(text, spans):
    found = [
        finding(Edit(Span("a", min(span), max(span)), f"<{n}>", "safe"))
        for n, span in enumerate(spans)
    ]
    result = apply_edits(found, {"a": text})
    taken = sorted(d.edits[0].span for d in result.fixed)
    assert all(one.end < next_.start for one, next_ in pairwise(taken))
    cut = sum(span.end - span.start for span in taken)
    added = sum(len(d.edits[0].text) for d in result.fixed)
    assert len(result.texts.get("a", text)) == len(text) - cut + added


def compiled(text: str) -> Report:
    compilation = compile_program({"a": text}, "a")
    return check_system(
        compilation.system,
        date(2026, 1, 1),
        before=compilation.diagnostics,
        sources=compilation.sources,
    )


@pytest.mark.parametrize(
    ("rules", "fixed"),
    [
        ('allow FLW205 on S because "x" until 2027-01-01 ', ""),
        ('allow FLW205 on S because "x" limit depth 9', "limit depth 9"),
        ('\n  allow FLW205 on S because "x" // why\n  limit depth 9\n', None),
        ('allow // because it is so\nFLW205 on S because "x"', "allow // because it is so\n"),
        ('allow FLW205 on S // "x"\nbecause "y"', 'allow FLW205 on S // "x"\nbecause "y"'),
        ('allow FLW205 on S because "x" // "\nuntil 2027-01-01', None),
    ],
)
def test_an_exemption_goes_whole_or_stays(rules, fixed):
    head = "system A\nexternal event E key id { id: uuid }\nservice S { on E }\nrules {"
    report = compiled(f"{head}{rules}}}\n")
    (useless,) = [d for d in report.diagnostics if d.code == "FLW902"]
    texts = {path: source.text for path, source in report.sources.items()}
    result = apply_edits([useless], texts)
    if result.fixed:
        text = result.texts["a"]
        assert "allow" not in text.removeprefix(head)
        assert not [d for d in compiled(text).diagnostics if d.level == Level.ERROR]
    if fixed is not None:
        left = result.texts.get("a", texts["a"]).removeprefix(head)
        assert left.startswith(fixed)


WORDS = (
    "system A event E external exported internal key id { } ( ) [ ] : uuid -> | , ? * on after of "
    'unless every 5 5s service S rules allow FLW205 because "x" until 2027-01-01 // ä \n run mock'
)


@given(st.lists(st.sampled_from(WORDS.split(" ")), max_size=40).map(" ".join))
def test_any_edits_of_any_text_give_a_text_that_can_be_checked(text):
    for _ in range(3):
        found = compiled(text)
        allowed = frozenset({"safe", "unsafe", "display"})
        result = apply_edits(found.diagnostics, {"a": text}, allowed)
        text = result.texts.get("a", text)
    compiled(text)


def test_a_formatted_file_stays_formatted_and_any_other_as_it_is(here):
    flowc("fmt")
    flowc("check", "--fix")
    assert flowc("fmt", "--check").exit_code == 0
    text = "system  Shop\nexternal event Inn key id { id: uuid }\nservice A { on Inn -> Sent }\n"
    (here / "shop.flow").write_text(text)
    flowc("check", "--fix")
    fixed = (here / "shop.flow").read_text()
    assert fixed.startswith("system  Shop\n")
    assert "\nexported event Sent key id { id: uuid }\n" in fixed


def test_a_link_and_a_mode_stay(here):
    target = here / "real.flow"
    (here / "shop.flow").rename(target)
    target.chmod(0o640)
    (here / "shop.flow").symlink_to(target)
    assert "fixed" in flowc("check", "--fix", "shop.flow").stderr
    assert (here / "shop.flow").is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert "allow" not in target.read_text()


def test_each_format_says_what_can_be_fixed(here):
    full = flowc("check").stdout
    assert "  = fix available: flowc check --fix\n" in full
    assert "  = fix available: flowc check --fix --unsafe-fixes\n" in full
    found = json.loads(flowc("check", "--output-format", "json").stdout)["diagnostics"]
    (unread,) = [d for d in found if d["code"] == "FLW201"]
    place = {"line": 3, "column": 1}
    assert unread["edits"] == [
        {
            "text": "exported ",
            "applicability": "safe",
            "path": "shop.flow",
            "start": place,
            "end": place,
        }
    ]
    sarif = json.loads(flowc("check", "--output-format", "sarif").stdout)["runs"][0]["results"]
    fixes = {
        r["ruleId"]: r["fixes"][0]["properties"]["applicability"] for r in sarif if "fixes" in r
    }
    assert fixes == {"FLW201": "safe", "FLW202": "unsafe", "FLW207": "unsafe", "FLW902": "safe"}


def test_many_edits_of_which_some_can_not_be_are_halved(here, monkeypatch):
    """What would bring an error is left out, and all of the others are taken."""
    worse = "event Worse key no { id: uuid }\n"
    also_wants(monkeypatch, Edit(Span("shop.flow", 12, 12), worse, "safe"))
    done = flowc("check", "--fix")
    assert "5 findings in 1 file fixed" in done.stderr
    assert "note: shop.flow: an edit was left out: it would bring another error" in done.stderr
    assert "Worse" not in (here / "shop.flow").read_text()
