"""`.flow/cache`: whatever is in it, the answer is that of `--no-cache` (spec 9.23)."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from flowc_dsl.thresholds import Thresholds
from flowc_engine import cache, limits
from flowc_engine.cache import Cache, key_of
from flowc_engine.cli import main
from flowc_engine.inputs import Inputs
from support.realistic import realistic

FILES = realistic(12, 4, seed=5)
LARGE = realistic(100, 10, seed=5)
assert sum(map(len, LARGE.values())) >= limits.CACHE_FROM_BYTES
FORMATS = ("json", "full", "concise")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A program that would be too small for a cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(limits, "CACHE_FROM_BYTES", 1)
    write(tmp_path, FILES)
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)


def check(*args: str, **more) -> tuple[int, str, str]:
    ended = CliRunner().invoke(main, ["check", "main.flow", *args], **more)
    return ended.exit_code, ended.stdout, ended.stderr


def same() -> None:
    """Cached twice is as uncached, in every format."""
    for form in FORMATS:
        plain = check("--output-format", form, "--no-cache")
        assert check("--output-format", form) == plain
        assert check("--output-format", form) == plain


def entries(here: Path) -> list[Path]:
    return sorted((here / ".flow/cache").iterdir())


@pytest.fixture
def compiled(monkeypatch) -> list[str]:
    """What was parsed."""
    from flowc_dsl.lower import imports

    seen: list[str] = []
    parse = imports.parse
    monkeypatch.setattr(imports, "parse", lambda s: (seen.append(s.path), parse(s))[1])
    return seen


def test_what_did_not_change_is_not_parsed_again(here, compiled):
    check()
    assert set(compiled) == set(FILES)
    compiled.clear()
    check()
    assert compiled == []
    area = here / "contexts/area2.flow"
    area.write_text(area.read_text() + "event Another key k { k: uuid }\n")
    same_before = check("--no-cache")
    compiled.clear()
    assert check() == same_before
    assert compiled == ["contexts/area2.flow"]


@pytest.mark.parametrize("seed", range(3))
def test_a_cached_check_says_what_an_uncached_one_does(here, seed):
    random = Random(seed)
    for _ in range(4):
        same()
        path = here / random.choice(sorted(FILES))
        text = path.read_text()
        at = random.randrange(len(text))
        new = random.choice(["}", "\n", " event ", "é", '"', "Reason", "\nenum Extra { A }\n"])
        path.write_text(
            text[:at] + new + text[at:] if random.random() < 0.7 else FILES["main.flow"]
        )
    (here / "contexts/area1.flow").unlink()
    same()


@pytest.mark.parametrize("how", ["bit", "cut", "empty", "garbage", "longer", "swapped"])
def test_a_damaged_entry_is_replaced(here, how):
    plain = check("--no-cache")
    check()
    whole = {path: path.read_bytes() for path in entries(here)}
    assert len(whole) == 2
    random = Random(how)
    for path, other in zip(whole, reversed(whole), strict=True):
        data = bytearray(whole[path])
        match how:
            case "bit":
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            case "cut":
                del data[random.randrange(len(data)) :]
            case "empty":
                data.clear()
            case "garbage":
                data = bytearray(random.randbytes(1000))
            case "longer":
                data += b"x"
            case "swapped":
                data = bytearray(whole[other])
        path.write_bytes(data)
    assert check() == plain
    assert {path: path.read_bytes() for path in entries(here)} == whole


def test_an_entry_that_is_whole_and_nonsense_is_replaced(here, monkeypatch):
    plain = check("--no-cache")
    check()
    own = Cache.of(here, "main.flow")
    key = key_of(Inputs({p: t.encode() for p, t in FILES.items()}, "main.flow", date(2026, 1, 1)))
    for body in (b"", b"[]", b"\xc1", b'{"diagnostics":1}', b"\x91\x93\xa1a\xc4\x00\xc4\x00"):
        own.write("files", cache.code_key(), body)
        (here / ".flow/cache" / f"{own.name}.report").unlink()
        assert check() == plain
        own.write("report", key, body)
        assert check("--today", "2026-01-01") == check("--today", "2026-01-01", "--no-cache")


def test_every_input_is_in_the_key(monkeypatch):
    one = Inputs({"main.flow": b"system A"}, "main.flow", date(2026, 1, 1))
    others = {
        "files": [
            {},
            {"main.flow": b""},
            {"main.flo": b"wsystem A"},
            {"a": b"", "main.flow": b"system A"},
        ],
        "main": ["other.flow"],
        "today": [date(2026, 1, 2)],
        "thresholds": [Thresholds(hub_types=3), Thresholds(utilisation=0.5)],
    }
    assert {field.name for field in fields(Inputs)} == set(others)
    keys = {key_of(one)} | {
        key_of(replace(one, **{name: value})) for name, values in others.items() for value in values
    }
    monkeypatch.setattr(cache, "code_key", lambda: b"another flowc")
    keys.add(key_of(one))
    assert len(keys) == 2 + sum(map(len, others.values()))
    with pytest.raises(TypeError, match="no key of a set"):
        key_of(replace(one, files={"a": {1}}))  # type: ignore[dict-item]


def test_it_is_for_nobody_else(here):
    check()
    assert (here / ".flow/cache").stat().st_mode & 0o777 == 0o700
    for path in entries(here):
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o666)  # now anybody may have written it
    own = Cache.of(here, "main.flow")
    assert own.read("files", cache.code_key()) is None


def test_a_folder_that_takes_no_cache_is_checked_without(here):
    (here / ".flow").write_text("in the way")
    assert check() == check("--no-cache")
    assert (here / ".flow").read_text() == "in the way"


def test_a_link_in_its_place_is_not_followed(here):
    check()
    for path in entries(here):
        elsewhere = here / f"{path.suffix}.elsewhere"
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
    plain = check("--no-cache")
    assert check() == plain
    assert not any(path.is_symlink() for path in entries(here))


def test_no_cache_leaves_nothing(here):
    check("--no-cache")
    assert not (here / ".flow").exists()


def test_a_small_program_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.flow").write_text("system S\n")
    assert check()[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["main.flow"]


def test_standard_input_is_cached_too(here, compiled):
    text = FILES["main.flow"]
    plain, first, again = (
        (CliRunner().invoke(main, ["check", "-", *more], input=text), compiled.copy())
        for more in (["--no-cache"], [], [])
    )
    assert len({(run.exit_code, run.stdout) for run, _ in (plain, first, again)}) == 1
    assert again[1] == first[1] != [], "nothing was parsed again"


def test_it_keeps_to_its_bound(here):
    for number in range(limits.CACHE_FILES_MAX + 3):
        own = Cache.of(here, f"{number}.flow")
        own.write("report", b"k" * 16, b"body")
        assert own.read("report", b"k" * 16) == b"body"
        assert own.read("report", b"l" * 16) is None
    assert len(entries(here)) == limits.CACHE_FILES_MAX


def test_many_at_once(here, compiled):
    """Each says the same, and what they leave is whole."""
    write(here, LARGE)
    plain = check("--output-format", "json", "--no-cache")
    command = [
        Path(sys.executable).with_name("flowc"),
        "check",
        "main.flow",
        "--output-format",
        "json",
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [one.communicate(timeout=60)[0] for one in running]
    assert said == [plain[1]] * 3
    compiled.clear()
    assert check("--output-format", "json") == plain
    assert compiled == [], "what they left was whole"
    assert len(entries(here)) == 2


def test_python_files_are_inputs_too(here: Path) -> None:
    """A file that appears, changes or goes makes what was kept of the check stale (3.26, 3.31)."""
    (here / "main.flow").write_text(
        (here / "main.flow").read_text()
        + "\nexternal event Knocked { n: int }\nevent Opened { n: int }\n"
        'service Door { run python "door" on Knocked -> Opened }\n'
        'service Hall { run python "hall" on Opened }\n'
    )
    same()  # no file is there
    (here / "door.py").write_text("def on_knocked(event):\n    return None\n")
    same()
    before = check("--output-format", "concise")
    (here / "hall.py").write_text("import door\n\ndef on_opened(event):\n    pass\n")
    same()
    found = check("--output-format", "concise")
    assert found != before
    assert "FLW108" in found[1]
    (here / "hall.py").write_text("def on_opened(event):\n    pass\n")
    same()
    assert "FLW108" not in check("--output-format", "concise")[1]
    (here / "door.py").unlink()
    same()
