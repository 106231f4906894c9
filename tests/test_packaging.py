"""What is shipped: the wheel and the source distribution, and the wheel alone at work."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from support.sources import PACKAGES, ROOT

TIMEOUT_S = 100
DATA = (".lark", ".md", ".typed", ".json")


def run(*args: str | Path, cwd: Path) -> str:
    """Output of a command; it must succeed, and sees no path of this checkout."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        args, cwd=cwd, env=env, text=True, capture_output=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both distributions."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= shipped
    assert any(name.endswith(DATA) for name in expected)


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    archive = zipfile.ZipFile(wheel)
    info = f"flowc-{project['version']}.dist-info"
    metadata = archive.read(f"{info}/METADATA").decode()
    assert "Requires-Python: >=3.11" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert "flowc = flowc_engine.cli:main" in archive.read(f"{info}/entry_points.txt").decode()


def test_the_source_distribution_builds_again(built: Path, tmp_path: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from 3.11.4 on
        archive.extractall(tmp_path, **safely)
    (source,) = tmp_path.iterdir()
    names = {p.name for p in source.iterdir()}
    assert {"pyproject.toml", "README.md", "LICENSE", "dsl", "engine", "services"} <= names
    assert not {".venv", ".flow", "build", "dist"} & names
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=source)


def test_the_wheel_works_alone(wheel: Path, tmp_path: Path) -> None:
    """Unpacked as pip would, with the dependencies that are installed here."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        "import flowc_dsl, flowc_engine, flowc; print(flowc_dsl.__file__, flowc.__file__);"
        "from flowc_engine.cli import main; main(['explain', 'FLW101'], standalone_mode=False)"
    )
    start = f"import sys; sys.path.insert(0, {str(site)!r}); {code}"
    output = run(sys.executable, "-I", "-c", start, cwd=tmp_path)
    assert output.startswith(f"{site}/flowc_dsl/__init__.py {site}/flowc/__init__.py")
    assert "FLW101" in output


@pytest.mark.slow
def test_a_fresh_environment_runs_the_command(wheel: Path, tmp_path: Path) -> None:
    """Installed with all its dependencies, and nothing of the development's."""
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    probe = "import pip; print(pip.__version__)"
    pip = next((p for p in (sys.executable, "python3") if subprocess.run(
        [p, "-c", probe], capture_output=True, check=False).returncode == 0), None)  # fmt: skip
    if pip is None:
        pytest.skip("no Python with pip")
    run(pip, "-m", "pip", "--python", python, "install", "--quiet", wheel, cwd=tmp_path)
    flowc = tmp_path / "venv/bin/flowc"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run(flowc, "--version", cwd=tmp_path).strip() == f"flowc {version}"
    program = tmp_path / "shop.flow"
    program.write_text(
        "system Shop\nexternal event OrderPlaced key id { id: uuid }\n"
        'service Mailer { run python "m" on OrderPlaced }\n'
    )
    run(flowc, "check", program, cwd=tmp_path)
