"""`flowc graph`: formats by suffix, words on stderr, and what it does with faults."""

import json
import stat
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from flowc_engine.cli import main
from support.generate import generate

TEXT = """system Tiny
external event Asked key id { id: uuid }
exported event Answered key id { id: uuid }
context Desk owner "team" {
  service Clerk { run mock  on Asked -> Answered }
}
"""


@pytest.fixture
def graph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.flow").write_text(TEXT)

    def run(*args):
        return CliRunner().invoke(main, ["graph", *args])

    return run


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.svg", "<svg"),
        ("a.dot", "digraph Tiny"),
        ("a.gv", "digraph Tiny"),
        ("a.mmd", "flowchart LR"),
        ("a.json", "{"),
    ],
)
def test_the_suffix_says_the_format(graph, tmp_path, name, start):
    result = graph("tiny.flow", "-o", name, "--engine", "layered")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / name).read_text().startswith(start)
    assert f"{name}: drawn by flowc" in result.stderr
    assert "3 nodes, 2 edges" in result.stderr


def test_stdout_is_svg_and_the_same_each_time(graph):
    first = graph("tiny.flow", "--engine", "layered")
    assert first.exit_code == 0
    ET.fromstring(first.stdout)
    assert first.stdout.count('class="edge"') == 2
    assert graph("tiny.flow", "--engine", "layered", "-o", "-").stdout == first.stdout


def test_without_dot_it_draws_all_the_same(graph, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = graph("tiny.flow", "-f", "svg")
    assert result.exit_code == 0
    assert "drawn by flowc-layered" in result.stderr
    result = graph("tiny.flow", "--engine", "dot")
    assert result.exit_code == 3
    assert "no dot program; `flowc graph tiny.flow --engine layered` needs no dot" in result.stderr


def test_large_systems_are_collapsed_unless_told_otherwise(graph, tmp_path):
    for path, text in generate(70).items():
        (tmp_path / path).write_text(text)
    auto = graph("main.flow", "-f", "mermaid")
    assert "collapsed by context" in auto.stderr
    assert auto.stdout.count("-->") < 60
    full = graph("main.flow", "-f", "mermaid", "--detail", "full")
    assert full.stdout.count("-->") > 200
    data = json.loads(graph("main.flow", "-f", "json").stdout)
    assert data["summary"]["declared_edges"] == len(data["edges"])


def test_a_system_that_breaks_rules_is_drawn(graph, tmp_path):
    (tmp_path / "tiny.flow").write_text(TEXT.replace("-> Answered", "-> Answerd"))
    result = graph("tiny.flow", "--engine", "layered")
    assert result.exit_code == 0
    assert "undeclared event Answerd" in result.stdout
    assert "flowc check tiny.flow" in result.stderr


def test_a_broken_text_is_not_drawn(graph, tmp_path):
    (tmp_path / "tiny.flow").write_text("system Tiny\nevent {")
    result = graph("tiny.flow", "-o", "out.svg")
    assert result.exit_code == 1
    assert "error[FLW001]" in result.stderr
    assert "mend the text first: flowc check tiny.flow" in result.stderr
    assert not (tmp_path / "out.svg").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["gone.flow"], "can't read `gone.flow`"),
        (["tiny.flow", "-o", "a.bmp"], "no format has the suffix '.bmp'"),
        (["tiny.flow", "-o", "none/a.svg"], "can't write none/a.svg: no such file or directory"),
    ],
)
def test_what_can_not_be_read_or_written(graph, args, words):
    result = graph(*args)
    assert result.exit_code == 2
    assert words in result.stderr


def test_the_output_has_the_usual_mode(graph, tmp_path):
    (tmp_path / "usual").touch()
    graph("tiny.flow", "-o", "a.json")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "a.json")}
    assert len(modes) == 1
