"""`flowc fmt`: what it writes, what it says, and what it leaves alone."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from flowc_engine.cli import main
from flowc_engine.files import write_atomically

UGLY, TIDY = "system   S\n", "system S\n"


@pytest.fixture
def fmt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*args, stdin=None):
        return CliRunner().invoke(main, ["fmt", *args], input=stdin)

    return run


def test_files_and_folders_are_formatted(fmt, tmp_path):
    (tmp_path / "a.flow").write_text(UGLY)
    (tmp_path / "parts/deep").mkdir(parents=True)
    (tmp_path / "parts/deep/b.flow").write_text(TIDY)
    (tmp_path / ".flow/hidden").mkdir(parents=True)
    (tmp_path / ".flow/hidden/c.flow").write_text(UGLY)
    result = fmt()
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "1 file reformatted, 1 file left unchanged\n"
    assert (tmp_path / "a.flow").read_text() == TIDY
    assert (tmp_path / ".flow/hidden/c.flow").read_text() == UGLY


def test_check_lists_and_writes_nothing(fmt, tmp_path):
    (tmp_path / "a.flow").write_text(UGLY)
    (tmp_path / "b.flow").write_text(TIDY)
    result = fmt("--check", "b.flow", ".")
    assert (result.exit_code, result.stdout) == (1, "a.flow\n")
    assert "1 file would be reformatted, 1 file left unchanged" in result.stderr
    assert (tmp_path / "a.flow").read_text() == UGLY
    assert fmt("--check", "b.flow").exit_code == 0


def test_diff_is_a_patch(fmt, tmp_path):
    (tmp_path / "a.flow").write_text("system S\nevent  A {}")
    result = fmt("--diff", "a.flow")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "--- a.flow (now)",
        "+++ a.flow (formatted)",
        "@@ -1,2 +1,2 @@",
        " system S",
        "-event  A {}",
        "\\ No newline at end of file",
        "+event A {}",
    ]
    assert (tmp_path / "a.flow").read_text() == "system S\nevent  A {}"


def test_standard_input_goes_to_standard_output(fmt):
    result = fmt("-", stdin=UGLY)
    assert (result.exit_code, result.stdout, result.stderr) == (0, TIDY, "")
    assert fmt("--check", "-", stdin=UGLY).exit_code == 1
    assert fmt("-", stdin="event {").exit_code == 2


@pytest.mark.parametrize(
    "data", [b"event {", b"system \xff", b"system S // \x80", b"x" * 1_100_000]
)
def test_a_broken_file_is_not_touched_and_the_others_are(fmt, tmp_path, data):
    (tmp_path / "a.flow").write_bytes(data)
    (tmp_path / "b.flow").write_text(UGLY)
    result = fmt()
    assert result.exit_code == 2
    assert "error[FLW0" in result.stderr
    assert "a.flow" in result.stderr
    assert "1 file reformatted, 1 file not touched" in result.stderr
    assert (tmp_path / "a.flow").read_bytes() == data
    assert (tmp_path / "b.flow").read_text() == TIDY


def test_what_is_not_there(fmt, tmp_path):
    result = fmt("gone.flow")
    assert result.exit_code == 2
    assert "can't read gone.flow: no such file or directory" in result.stderr
    assert fmt().exit_code == 2
    assert "no regular file" in fmt("/dev/zero").stderr


def test_writing_keeps_mode_and_links(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "target"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "target"
    target.write_text("old")

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, b"new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_device_is_written_through(tmp_path):
    write_atomically(tmp_path / "new", b"x")
    null = Path("/dev/null")
    write_atomically(null, b"x")
    assert null.is_char_device()
