"""`flowc check` on services with Python code, in real folders: places, formats, what can't be read,
exemptions and baselines (3.26, 3.27)."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flowc_dsl import limits
from flowc_engine.pythonfiles import PythonFiles
from support.invoking import flowc

CASES = Path(__file__).parents[1] / "golden/cases"
MESSAGE = "service `Mailer` imports the code of `Orders`, `services/orders.py`"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(CASES / "flw108_imports_service", tmp_path, dirs_exist_ok=True)
    return tmp_path


def allow(here: Path, *exemptions: str) -> None:
    with (here / "main.flow").open("a") as file:
        file.write(f"rules {{ {' '.join(exemptions)} }}\n")


def test_places_are_in_the_python_file(here):
    done = flowc("check", "--output-format", "concise")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[0] == (
        f"services/mail/templates.py:2:67: error[FLW108] {MESSAGE}"
    )


def test_places_are_seen_from_where_the_user_stands(here, monkeypatch):
    monkeypatch.chdir(here / "services")
    done = flowc("check", "../main.flow", "--output-format", "concise")
    assert done.stdout.startswith("../services/mail/templates.py:2:67: error[FLW108]")
    assert " 2 |     " in flowc("check", "../main.flow").stdout


def test_every_format_shows_the_python_line(here):
    select = ("--select", "FLW108", "--output-format")
    found = json.loads(flowc("check", *select, "json").stdout)["diagnostics"][0]
    assert (found["path"], found["start"]) == (
        "services/mail/templates.py", {"line": 2, "column": 67},
    )  # fmt: skip
    assert found["related"][0]["path"] == "main.flow"
    assert "file=services/mail/templates.py,line=2,col=67" in (
        flowc("check", *select, "github").stdout
    )
    run = json.loads(flowc("check", *select, "sarif").stdout)["runs"][0]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "services/mail/templates.py"
    assert place["region"]["startLine"] == 2


def test_an_exemption_holds_and_is_not_fixed_away(here):
    allow(here, 'allow FLW108 on Orders because "moving"')
    text = (here / "main.flow").read_text()
    assert flowc("check").exit_code == 0
    assert "nothing fixed" in flowc("check", "--fix").stderr
    assert (here / "main.flow").read_text() == text


def test_an_exemption_of_code_that_was_mended_matches_nothing(here):
    allow(here, 'allow FLW108 on Orders because "moving"')
    shutil.rmtree(here / "services")
    assert "warning[FLW902]" in flowc("check").stdout


def test_a_baseline_holds_findings_of_code(here):
    assert flowc("baseline").exit_code == 0
    held = json.loads((here / "flow-baseline.json").read_text())["findings"]
    assert [(one["code"], one["path"]) for one in held] == [
        ("FLW108", "services/mail/templates.py"), ("FLW108", "services/orders.py"),
    ]  # fmt: skip
    (here / "services/orders.py").write_text("import os\n\n" * 9 + "from . import stock\n")
    assert flowc("check").exit_code == 0
    (here / "services/stock.py").write_text("import services.orders\n")
    assert "FLW108] service `Stock` imports" in flowc("check", "--output-format", "concise").stdout


def info(here: Path) -> str:
    found = json.loads(flowc("check", "--output-format", "json").stdout)["diagnostics"]
    return next((one["message"] for one in found if one["code"] == "FLW092"), "")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xfe", "it is not UTF-8"),
        (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "it is not UTF-8"),
        (b"def\n", "it does not parse (line 1)"),
        (b" " * (limits.PY_FILE_BYTES_MAX + 1), "it has more than 1,048,576 bytes"),
    ],
)
def test_what_cannot_be_judged_is_an_info(here, data, why):
    (here / "services/orders.py").write_bytes(data)
    assert info(here) == f"Python file `services/orders.py` is not judged: {why}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_an_info(here):
    (here / "services/orders.py").chmod(0)
    assert "permission denied" in info(here)


def test_what_is_no_file_is_no_code(here):
    (here / "services/stock.py").unlink()
    os.mkfifo(here / "services/stock.py")
    assert "services/stock.py" not in flowc("check", "--output-format", "json").stdout


def test_a_link_that_leaves_the_root_is_no_code_of_the_project(here, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "orders.py"
    (here / "services/orders.py").rename(outside)
    (here / "services/orders.py").symlink_to(outside)
    assert flowc("check").exit_code == 0


def test_a_mark_of_byte_order_and_other_line_ends_do_not_shift_places(here):
    text = (here / "services/orders.py").read_text().replace("\n", "\r\n")
    (here / "services/orders.py").write_bytes(b"\xef\xbb\xbf" + text.encode())
    done = flowc("check", "--output-format", "concise")
    assert "services/orders.py:4:22: error[FLW108]" in done.stdout


def test_all_that_was_asked_for_is_known(here):
    files = PythonFiles(here)
    assert files("services/mailer.py")
    assert files("services/none.py") is None
    assert set(files.given) == {"services/mailer.py", "services/none.py"}


def test_without_code_nothing_is_scanned(here):
    shutil.rmtree(here / "services")
    script = (
        "import sys; from flowc_engine.cli import main\n"
        "try: main(['check', 'main.flow'])\n"
        "finally: assert 'flowc_dsl.pysource.scan' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_code_is_not_run(here):
    (here / "services/stock.py").write_text("open('ran', 'w').close()\nraise SystemExit('run')\n")
    done = flowc("check", "--output-format", "concise")
    assert (done.exit_code, MESSAGE in done.stdout) == (1, True)
    assert not (here / "ran").exists()
