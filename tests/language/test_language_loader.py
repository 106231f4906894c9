"""The loader: the root, the closure of imports, and files that can't be read."""

import os

import pytest

from flowc_dsl import limits
from flowc_engine import config, loader
from flowc_engine.loader import find_root, load


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_the_root_is_the_nearest_folder_with_a_flow_toml(tmp_path):
    write(tmp_path, {"flow.toml": "", "a/main.flow": 'system S import "../t.flow"', "t.flow": ""})
    program = load(tmp_path / "a" / "main.flow")
    assert (program.root, program.main) == (tmp_path, "a/main.flow")
    assert set(program.files) == {"a/main.flow", "t.flow"}
    assert loader.ROOT_FILE == config.FILE_NAME


def test_without_one_it_is_the_files_own_folder(tmp_path, monkeypatch):
    write(tmp_path, {"a/main.flow": 'system S import "../t.flow"', "t.flow": ""})
    monkeypatch.chdir(tmp_path / "a")
    assert find_root(tmp_path / "a" / "main.flow") == tmp_path / "a"
    assert set(load(type(tmp_path)("main.flow")).files) == {"main.flow"}


def test_only_the_closure_is_read_and_what_is_missing_is_left_out(tmp_path):
    files = {
        "main.flow": 'system S // import "no.flow"\nimport "a.flow" import "gone.flow" import "d"',
        "a.flow": 'import // here\n "main.flow"',
        "no.flow": "",
        "d/x": "",
    }
    assert set(load(write(tmp_path, files) / "main.flow").files) == {"main.flow", "a.flow"}


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(loader.FileMissingError) as missing:
        load(tmp_path / "main.flow")
    assert missing.value.strerror == "no such file"
    assert missing.value.filename == str(tmp_path / "main.flow")
    with pytest.raises(loader.NotAFileError, match="folder"):
        load(tmp_path)
    with pytest.raises(loader.NotAFileError, match="no regular file"):
        load(tmp_path / "pipe")


def test_a_pipe_that_is_imported_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, {"main.flow": 'system S import "pipe"'})
    assert set(load(tmp_path / "main.flow").files) == {"main.flow"}


@pytest.mark.parametrize("name", ["main.flow", "a.flow"])
def test_too_large(tmp_path, name):
    write(tmp_path, {"main.flow": 'system S import "a.flow"', "a.flow": ""})
    (tmp_path / name).write_bytes(b" " * (limits.FILE_BYTES_MAX + 1))
    with pytest.raises(loader.FileTooLargeError) as found:
        load(tmp_path / "main.flow")
    assert found.value.filename.endswith(name)


def test_unreadable(tmp_path, monkeypatch):
    path = write(tmp_path, {"main.flow": "system S"}) / "main.flow"

    def refuse(self, *_args, **_named):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(path), "open", refuse)  # root may read anything
    with pytest.raises(loader.UnreadableError, match="permission denied"):
        load(path)


def test_a_link_out_of_the_root(tmp_path):
    write(tmp_path, {"p/main.flow": 'system S import "l.flow"', "secret.flow": ""})
    (tmp_path / "p" / "l.flow").symlink_to(tmp_path / "secret.flow")
    with pytest.raises(loader.OutsideRootError):
        load(tmp_path / "p" / "main.flow")


def test_strange_imports_do_no_harm(tmp_path):
    text = 'system S import "\\u0000" import "' + "a" * 5_000 + '" import "" import "main.flow/x"'
    write(tmp_path, {"main.flow": text})
    assert set(load(tmp_path / "main.flow").files) == {"main.flow"}
