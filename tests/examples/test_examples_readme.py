"""What the READMEs show is what happens: their commands are run in order, in a copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.console import commands, run, shows
from support.examples import EXAMPLES, copy_example

NAMES = [
    pytest.param("airline", marks=pytest.mark.slow),  # the month
    pytest.param("shop"),
    pytest.param("broken"),
]


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_is_true(name: str, tmp_path: Path) -> None:
    root = copy_example(name, tmp_path)
    shown = commands((EXAMPLES / name / "README.md").read_text(encoding="utf-8"))
    assert shown
    for command in shown:
        done = run(command, root)
        ends_well = 1 if name == "broken" else 0
        assert done.returncode == ends_well, f"{command.line}\n{done.stdout}{done.stderr}"
        assert shows(done.stdout, command.shown), f"$ {command.line}\n{done.stdout}"


@pytest.mark.parametrize(
    ("shown", "is_so"),
    [
        (["a 1", "b #2"], True),
        (["a 1", "b #3"], True),
        (["a 1", "…"], True),
        (["…"], True),
        (["…", "b #2"], True),
        (["a 1"], False),
        (["b …", "…"], False),
        (["b #2", "a 1"], False),
    ],
)
def test_the_comparison_can_fail(shown: list[str], is_so: bool) -> None:
    assert shows("a 1\nb #2\n", shown) is is_so


def test_branches_come_in_any_order() -> None:
    tree = "a #1\n├── b #2  +1.5 ms\n│   └── c #4  +2.0 ms\n└── d #3  +1.0 ms\n"
    assert shows(tree, ["a #9", "├── d #8  +1.0 ms", "└── b #7  +0.1 ms", "    └── c #6  +9.0 ms"])
    assert not shows(tree, ["a #9", "└── b #7  +0.1 ms", "    └── c #6  +9.0 ms"])
