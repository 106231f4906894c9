"""What the first page shows is so."""

from __future__ import annotations

from pathlib import Path

from support.console import commands, run, shows

ROOT = Path(__file__).parent.parent


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_are_the_example():
    example = (ROOT / "examples/broken/shop.flow").read_text(encoding="utf-8")
    assert f"```flow\n{example}```" in readme()
    assert len(example.splitlines()) <= 10


def test_what_check_says_about_them():
    (command,) = commands(readme())
    done = run(command, ROOT)
    assert done.returncode == 1
    assert command.shown
    assert shows(done.stdout, command.shown), done.stdout


def test_the_two_commands_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target} " in readme()
        assert f"\n{target}:" in makefile


def test_its_links_lead_somewhere():
    import re

    links = re.findall(r"\]\(([^)#:]+)\)", readme())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
