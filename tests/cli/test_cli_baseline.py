"""`flowc baseline`: a legacy system's findings are let be, and new ones are not."""

import json
from pathlib import Path

import pytest

from flowc_dsl.baseline import BaselineError, compare, parse_baseline, render_baseline
from flowc_dsl.baseline_matching import Entry
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label, Level
from flowc_dsl.source import Span
from support.invoking import flowc

TEXT = """system Shop
event Paid key id { id: uuid }
event Lost key id { id: uuid }
service Ledger { on Paid }
"""  # 202 and 203
FILE = "flow-baseline.json"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.flow").write_text(TEXT)
    return tmp_path


def held(path: Path) -> list[str]:
    return [entry.code for entry in parse_baseline(path.read_text())]


def summary(*args: str) -> dict:
    return json.loads(flowc("check", "--output-format", "json", *args).stdout)["summary"]


def test_a_legacy_system_is_clean_from_then_on(here):
    assert flowc("check").exit_code == 1
    done = flowc("baseline")
    assert (done.exit_code, done.stderr) == (0, f"{FILE}: 2 findings\n")
    entry = json.loads((here / FILE).read_text())["findings"][1]
    assert entry == {
        "main": "shop.flow",
        "path": "shop.flow",
        "code": "FLW203",
        "message": "event `Lost` is never used",
        "subjects": ["Lost"],
    }
    done = flowc("check")
    assert done.exit_code == 0
    assert "no new findings, 2 in the baseline" in done.stdout
    assert summary()["baselined"] == 2


def test_lines_may_move_and_new_findings_are_reported(here):
    flowc("baseline")
    text = TEXT.replace("event Lost", "\n\n// moved\nevent Lost")
    (here / "shop.flow").write_text(text + "event Used key id { id: uuid }\n")
    done = flowc("check", "--output-format", "concise")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == ["shop.flow:8:7: warning[FLW203] event `Used` is never used"]
    assert "1 warning, 2 in the baseline" in done.stderr


def test_no_baseline_reports_all(here):
    flowc("baseline")
    assert summary("--no-baseline")["baselined"] == 0
    assert flowc("check", "--no-baseline").exit_code == 1


def test_a_baseline_elsewhere_is_named(here):
    flowc("baseline")
    (here / FILE).rename(here / "old.json")
    assert flowc("check").exit_code == 1
    assert flowc("check", "--baseline", "old.json").exit_code == 0


def test_it_only_shrinks(here):
    flowc("baseline")
    (here / "shop.flow").write_text(TEXT.replace("Lost", "Other"))
    done = flowc("check")
    assert done.exit_code == 1
    said = "the baseline holds 1 finding that no longer occurs, which `flowc baseline` takes out: "
    assert f"{said}FLW203 in `shop.flow`" in done.stdout
    done = flowc("baseline")
    assert done.exit_code == 1
    assert f"{FILE}: 1 finding, 1 gone\n1 new finding not added (FLW203 1)" in done.stderr
    assert held(here / FILE) == ["FLW202"]
    assert flowc("baseline", "--grow").exit_code == 0
    assert held(here / FILE) == ["FLW202", "FLW203"]
    assert flowc("check").exit_code == 0


def test_what_is_gone_is_no_finding(here):
    flowc("baseline")
    (here / "shop.flow").write_text(TEXT.replace("event Lost key id { id: uuid }\n", ""))
    done = flowc("check", "--output-format", "concise")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{FILE}:5:77: info[FLW902] ")


def test_the_same_bytes_for_the_same_findings(here):
    flowc("baseline")
    before = (here / FILE).read_bytes()
    assert flowc("baseline").exit_code == 0
    assert (here / FILE).read_bytes() == before


def test_a_clean_system_gets_no_baseline(here):
    (here / "shop.flow").write_text(
        "system A\nexternal event E key id { id: uuid }\nservice S { on E }\n"
    )
    assert flowc("baseline").exit_code == 0
    assert not (here / FILE).exists()


def test_systems_of_one_root_share_a_baseline_and_keep_apart(here):
    (here / "flow.toml").write_text("")
    (here / "other.flow").write_text(TEXT.replace("Shop", "Other"))
    assert flowc("baseline").exit_code == 0
    assert len(held(here / FILE)) == 4
    (here / "other.flow").write_text("system Other\n")
    assert "no longer" not in flowc("check", "shop.flow").stdout
    assert "holds 2 findings that no longer occur" in flowc("check").stdout
    (here / "other.flow").unlink()
    assert "holds 2 findings that no longer occur" in flowc("check", "shop.flow").stdout
    flowc("baseline", "shop.flow")
    assert len(held(here / FILE)) == 2


def test_paths_are_from_the_root_wherever_it_is_checked_from(here, monkeypatch):
    (here / "sub").mkdir()
    (here / "sub/shop.flow").write_text(TEXT)
    (here / "shop.flow").unlink()
    assert flowc("baseline", "sub").exit_code == 0
    assert flowc("check", "sub/shop.flow").exit_code == 0
    monkeypatch.chdir(here / "sub")
    assert flowc("check").exit_code == 0


def test_text_names_and_exemptions_can_not_be_in_it(here):
    (here / "shop.flow").write_text(TEXT + "service Other { on Paidd }\n")
    done = flowc("baseline")
    assert done.exit_code == 1
    assert "1 finding can't be in a baseline" in done.stderr
    assert "FLW207" not in held(here / FILE)
    (here / "shop.flow").write_text("system Shop\nservice {")
    done = flowc("baseline")
    assert done.exit_code == 1
    assert "shop.flow can't be judged yet" in done.stderr
    assert "no longer" not in flowc("check").stdout


def test_a_grown_baseline_is_903(here):
    flowc("baseline")
    (here / "old.json").write_bytes((here / FILE).read_bytes())
    assert flowc("baseline", "--against", "old.json").exit_code == 0
    (here / "shop.flow").write_text(TEXT + "event Used key id { id: uuid }\n")
    flowc("baseline", "--grow")
    done = flowc("baseline", "--against", "old.json")
    assert done.exit_code == 1
    assert "error[FLW903]: the baseline grew by FLW203 in `shop.flow`: event `Used`" in done.stdout
    assert f"--> {FILE}:6:77" in done.stdout
    assert done.stdout.count("FLW903]") == 1
    again = flowc("baseline", "--against", "-", input=(here / "old.json").read_text())
    assert again.stdout == done.stdout
    assert held(here / FILE) == ["FLW202", "FLW203", "FLW203"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no baseline: not JSON"),
        ("[]", "an object with `findings`"),
        ('{"findings": []}', "its `format_version` is None"),
        ('{"format_version": "1.0", "findings": [{}]}', "finding 1 needs main, path"),
        ("[" * 100_000, "is no baseline"),
    ],
)
def test_a_broken_baseline_is_two(here, text, said):
    (here / FILE).write_text(text)
    for args in (["check"], ["baseline"]):
        done = flowc(*args)
        assert done.exit_code == 2
        assert said in done.stderr
    assert (here / FILE).read_text() == text


@pytest.mark.parametrize(
    "args",
    [
        ["check", "--baseline", "none.json"],
        ["check", "--baseline", "x.json", "--no-baseline"],
        ["baseline", "--grow", "--against", "x.json"],
        ["baseline", "nowhere.flow"],
    ],
)
def test_usage_is_two(here, args):
    done = flowc(*args)
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def finding(message: str, level: Level = Level.WARNING) -> Diagnostic:
    return Diagnostic("FLW203", level, message, Label(Span("a.flow", 0, 1)))


def test_of_findings_that_say_the_same_each_needs_an_entry():
    entry = Entry("main.flow", "a.flow", "FLW203", "m")
    other = Entry("other.flow", "a.flow", "FLW203", "n")
    compared = compare([finding("m"), finding("m"), finding("n")], "main.flow", [entry, other])
    assert [d.message for d in compared.new] == ["m", "n"]
    assert (compared.kept, compared.gone) == ((entry,), ())
    compared = compare([finding("m", Level.INFO)], "main.flow", [entry])
    assert compared.gone == (entry,)


def test_text_there_and_back():
    entries = (Entry("m", "a", "FLW1", 'ä"\n', ("x", "y")), Entry("m", "b", "FLW1", "z"))
    assert parse_baseline(render_baseline(reversed(entries))) == entries
    assert parse_baseline(render_baseline([])) == ()
    with pytest.raises(BaselineError, match="subjects"):
        parse_baseline(render_baseline(entries).replace('["x", "y"]', '["x", 3]'))


RING = """
    system Shop
    external event In key id { id: uuid }
    event A key id { id: uuid }
    event B key id { id: uuid }
    event C key id { id: uuid }
    service One { on In | C -> A }
    service Two { on A -> B, C?  on B -> C? }
"""


@pytest.mark.parametrize(
    ("was", "old", "new"),
    [
        ("emitters", "service C { on In -> A }", ""),  # three emitters become two
        ("readers", "service C { on A }", ""),  # over a limit, and still over it
        ("depth", "service C { on B }", ""),
        ("load", "replicas 1", "replicas 2"),
        ("ring", "B, C?", "B"),  # the next shortest way round was not the witness
    ],
)
def test_what_has_become_less_is_not_new(here, was, old, new):
    text = {
        "emitters": f"""system Shop
            external event In key id {{ id: uuid }}
            exported event A key id {{ id: uuid }}
            service One {{ on In -> A }}  service Two {{ on In -> A }}
            {old}""",
        "readers": f"""system Shop
            external event A key id {{ id: uuid }}
            service One {{ on A }}  service Two {{ on A }}
            {old}
            rules {{ limit fan_out 1 }}""",
        "depth": f"""system Shop
            external event In key id {{ id: uuid }}
            event A key id {{ id: uuid }}  exported event B key id {{ id: uuid }}
            service One {{ on In -> A }}  service Two {{ on A -> B }}
            {old}
            rules {{ limit depth 1 }}""",
        "load": """system Shop
            external event A key id rate 200/s { id: uuid }
            service One { run mock  replicas 1  on A takes constant(20ms) }""",
        "ring": RING,
    }[was]
    (here / "shop.flow").write_text(text)
    flowc("baseline")
    before = (here / FILE).read_text()
    (here / "shop.flow").write_text(text.replace(old, new))
    done = flowc("check", "--no-baseline", "--output-format", "concise")
    assert done.exit_code == 1
    assert flowc("check").exit_code == 0
    assert flowc("baseline").exit_code == 0
    assert (here / FILE).read_text() != before
    assert flowc("baseline", "--against", "-", input=before).exit_code == 0
    (here / "shop.flow").write_text(text)  # and back again is new
    if was != "ring":
        assert flowc("check").exit_code == 1


def test_who_is_on_a_ring_for_the_first_time_is_new(here):
    (here / "shop.flow").write_text(RING)
    flowc("baseline")
    more = "event D key id { id: uuid }\nservice New { on A -> D  on D -> E? }\n"
    more += "event E key id { id: uuid }\nservice Last { on E -> D? }\n"
    (here / "shop.flow").write_text(RING + more)
    done = flowc("check", "--output-format", "concise")
    assert [line for line in done.stdout.splitlines() if "FLW301" in line and "`D`" in line]


def test_files_may_be_renamed(here):
    flowc("baseline")
    before = (here / FILE).read_text()
    (here / "shop.flow").rename(here / "store.flow")
    assert flowc("check").exit_code == 0
    done = flowc("baseline")
    assert (done.exit_code, done.stderr) == (0, f"{FILE}: 2 findings\n")
    assert "shop.flow" not in (here / FILE).read_text()
    assert flowc("baseline", "--against", "-", input=before).exit_code == 0


def test_findings_may_move_to_another_file(here):
    flowc("baseline")
    lost = "event Lost key id { id: uuid }\n"
    (here / "more.flow").write_text(lost)
    main_ = TEXT.replace(lost, "").replace("Shop\n", 'Shop\nimport "more.flow"\n')
    (here / "shop.flow").write_text(main_)
    assert flowc("check").exit_code == 0


def test_a_merge_in_conflict_is_joined(here):
    flowc("baseline")
    head, first, second, *foot = (here / FILE).read_text().splitlines()[1:]
    begin = "{\n" + head
    other = second.replace("Lost", "Gone")
    sides = ["<<<<<<< ours", second, "=======", f"{second},", other, ">>>>>>> theirs"]
    text = "\n".join([begin, first, *sides, *foot])
    (here / FILE).write_text(text)
    done = flowc("check")
    assert done.exit_code == 2
    assert "`flowc baseline` joins both sides" in done.stderr
    done = flowc("baseline")
    assert (done.exit_code, done.stderr) == (0, f"{FILE}: 2 findings, 1 gone\n")
    assert held(here / FILE) == ["FLW202", "FLW203"]
    (here / FILE).write_text("<<<<<<< a\n{broken\n=======\n>>>>>>> b\n")
    assert flowc("baseline").exit_code == 2


def test_each_root_of_a_monorepo_has_its_own(here, monkeypatch):
    (here / "shop.flow").unlink()
    for name in ("one", "two", "two/inner"):
        (here / name).mkdir()
        (here / name / "flow.toml").write_text("")
        (here / name / "shop.flow").write_text(TEXT)
    done = flowc("baseline")
    files = [f"{name}/{FILE}" for name in ("one", "two", "two/inner")]
    assert done.stderr == "".join(f"{file}: 2 findings\n" for file in files)
    assert flowc("check").exit_code == 0
    (here / files[1]).unlink()
    done = flowc("check", "--output-format", "concise")
    assert {line.partition(":")[0] for line in done.stdout.splitlines() if "[" in line} == {
        "two/shop.flow"
    }
