"""What `flowc diff` says, and how it finds the older text (spec 3.23 to 3.25, 9.20)."""

import json
import subprocess
from pathlib import Path

import pytest

from flowc_engine import limits
from flowc_engine.cli.revisions import checked_out
from golden.test_golden_corpus import compare
from support.invoking import flowc

CASES = Path(__file__).parent / "cases"
ONE = "system Shop\nexternal event In key id { id: uuid }\nservice A { on In }\n"
TWO = ONE.replace("{ id: uuid }", "{ id: uuid  n: int }")


@pytest.mark.parametrize("form", ["full", "concise", "json", "github"])
def test_the_report(form: str, monkeypatch) -> None:
    monkeypatch.chdir(CASES)
    done = flowc("diff", "new.flow", "--against", "old.flow", "--output-format", form)
    assert done.exit_code == 1
    text = done.stdout
    if form == "json":
        text = json.dumps(json.loads(text), indent=2) + "\n"
    compare(CASES / f"report.{form}", text)


def test_only_what_breaks(monkeypatch) -> None:
    monkeypatch.chdir(CASES)
    done = flowc("diff", "new.flow", "--against", "old.flow", "--breaking", "--json")
    found = json.loads(done.stdout)
    assert {c["verdict"] for c in found["changes"]} == {"breaks", "lift"}
    assert found["summary"]["safe"] > 0 < found["summary"]["watch"]
    assert all(c["code"] for c in found["changes"])
    lines = flowc("diff", "new.flow", "--against", "old.flow", "--breaking",
                  "--output-format", "concise")  # fmt: skip
    assert "warning" not in lines.stdout
    assert "error[FLW402]" in lines.stdout


def test_what_is_to_watch_alone_is_a_warning_and_no_failure(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.flow").write_text(ONE.replace("id: uuid", "id: uuid  n: int"))
    (tmp_path / "new.flow").write_text(
        ONE.replace(" key id { id: uuid", " v2 key id { id: uuid  n: int?  upcast v1 { }")
    )
    done = flowc("diff", "new.flow", "--against", "old.flow", "--output-format", "concise")
    assert done.exit_code == 0
    assert done.stdout.startswith("new.flow:2:41: warning[FLW409] field `n` of `In` is wider")
    full = flowc("diff", "new.flow", "--against", "old.flow")
    assert full.exit_code == 0
    assert full.stdout.endswith("2 changes: 0 break, 0 need an upcast, 1 to watch, 1 safe\n")


def test_nothing_changed(monkeypatch) -> None:
    monkeypatch.chdir(CASES)
    done = flowc("diff", "old.flow", "--against", "old.flow")
    assert (done.exit_code, done.stdout) == (0, "old.flow against old.flow: nothing changed\n")


# ---- the older text


@pytest.fixture
def repository(tmp_path: Path, monkeypatch) -> Path:
    """`shop/main.flow` with an import, changed since it was committed."""
    folder = tmp_path / "repo" / "shop"
    (folder / "types").mkdir(parents=True)
    (folder / "main.flow").write_text('import "types/all.flow"\n' + ONE)
    (folder / "types" / "all.flow").write_text("type Money { cents: int }\n")
    (folder / "flow.toml").write_text("")
    git(folder.parent, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")
    (folder / "main.flow").write_text('import "types/all.flow"\n' + TWO)
    (folder / "types" / "all.flow").write_text("type Money { cents: int  currency: string }\n")
    monkeypatch.chdir(folder)
    return folder


def git(folder: Path, *args: str) -> None:
    named = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *named, *args], cwd=folder, check=True, capture_output=True)


def test_a_revision_with_its_imports(repository: Path) -> None:
    done = flowc("diff", "main.flow", "--against", "HEAD", "--output-format", "concise")
    assert "error[FLW402] field `n` of `In` is added" in done.stdout
    git(repository, "commit", "-q", "-a", "-m", "two")
    assert flowc("diff", "main.flow", "--against", "HEAD").exit_code == 0
    assert flowc("diff", "main.flow", "--against", "HEAD~1").exit_code == 1


def test_old_places_are_shown_under_the_revision(repository: Path, monkeypatch) -> None:
    monkeypatch.chdir(repository.parent)
    done = flowc("diff", "shop/main.flow", "--against", "HEAD", "--output-format", "json-lines")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {f["path"] for f in found} == {"shop/main.flow"}
    related = {r["path"] for f in found for r in f["related"]}
    assert related == {"HEAD:shop/main.flow"}
    shown = subprocess.run(["git", "show", related.pop()], capture_output=True, check=True)
    assert shown.stdout.decode().endswith(ONE)


def test_places_of_both_texts_from_where_one_stands(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("old", ONE), ("new", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.flow").write_text(text)
    args = ("diff", "new/a.flow", "--against")
    for against in ("old/a.flow", "old"):
        done = flowc(*args, against, "--output-format", "json-lines")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert {f["path"] for f in found} == {"new/a.flow"}
        assert {r["path"] for f in found for r in f["related"]} == {"old/a.flow"}
        changes = json.loads(flowc(*args, against, "--json").stdout)["changes"]
        assert {c["path"] for c in changes} == {"new/a.flow"}
        (old,) = [c["old"] for c in changes if c["old"]]
        start, end = {"line": 2, "column": 16}, {"line": 2, "column": 18}
        assert old == {"path": "old/a.flow", "start": start, "end": end}


# ---- what git has


def test_a_file_that_was_renamed(repository: Path) -> None:
    git(repository, "mv", "main.flow", "shop.flow")
    done = flowc("diff", "shop.flow", "--against", "HEAD")
    assert done.exit_code == 1
    assert done.stderr == "note: shop/shop.flow was called shop/main.flow in HEAD\n"
    git(repository, "commit", "-q", "-a", "-m", "renamed")
    (repository / "shop.flow").write_text(ONE + "".join(f"event E{n} {{ }}\n" for n in range(50)))
    git(repository, "commit", "-q", "-a", "-m", "most of it is new")
    git(repository, "mv", "shop.flow", "other.flow")
    git(repository, "commit", "-q", "-a", "-m", "renamed again")
    done = flowc("diff", "other.flow", "--against", "HEAD~3")
    assert "shop/other.flow was called shop/main.flow in HEAD~3" in done.stderr
    assert done.exit_code == 0


def test_what_attributes_keep_out_of_archives_is_read(repository: Path) -> None:
    (repository / ".gitattributes").write_text("*.flow export-ignore\n*.flow text eol=crlf\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "two")
    assert flowc("diff", "main.flow", "--against", "HEAD~1").exit_code == 1
    assert flowc("diff", "main.flow", "--against", "HEAD").exit_code == 0


def test_names_and_links_as_git_allows_them(repository: Path) -> None:
    (repository / 'wäre "x".flow').write_text(ONE)
    (repository / "link.flow").symlink_to('wäre "x".flow')
    (repository / "away.flow").symlink_to("/etc/hostname")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "names")
    (repository / 'wäre "x".flow').write_text(TWO)
    assert flowc("diff", 'wäre "x".flow', "--against", "HEAD").exit_code == 1
    assert flowc("diff", "link.flow", "--against", "HEAD").exit_code == 1
    with checked_out(Path("main.flow"), "HEAD") as then:
        assert (then.main.parent / "link.flow").is_symlink()
        assert not (then.main.parent / "away.flow").is_symlink()


def test_the_files_of_a_revision_are_bounded(repository: Path, monkeypatch) -> None:
    monkeypatch.setattr(limits, "OLDER_BYTES_MAX", 10)
    done = flowc("diff", "main.flow", "--against", "HEAD")
    assert done.exit_code == 2
    assert "the .flow files of HEAD are over 10 bytes" in done.stderr


def test_a_folder_and_a_file(repository: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    (older / "types").mkdir(parents=True)
    (older / "main.flow").write_text('import "types/all.flow"\n' + ONE)
    (older / "types" / "all.flow").write_text("type Money { cents: int }\n")
    assert flowc("diff", "main.flow", "--against", str(older)).exit_code == 1
    assert flowc("diff", "main.flow", "--against", str(older / "main.flow")).exit_code == 1


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("nowhere", "nowhere is neither a file, nor a folder, nor a git revision"),
        ("--all", "neither a file, nor a folder, nor a git revision"),
        ("types", "types has no main.flow; name the file itself"),
        ("types/all.flow", "names no system"),
        ("", "--against is empty; name a git revision, a folder or a file"),
        (" ", "--against is empty"),
        ("x" * 5_000, "is neither a file, nor a folder, nor a git revision"),
        ("HEAD^{tree}", "neither a file, nor a folder, nor a git revision"),
    ],
)
def test_what_can_not_be_compared_with(repository: Path, against: str, message: str) -> None:
    done = flowc("diff", "main.flow", f"--against={against}")
    assert done.exit_code == 2
    assert message in done.stderr


def test_an_older_text_with_errors_is_shown_where_it_is(repository: Path) -> None:
    (repository / "broken.flow").write_text("system Shop event\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "broken")
    done = flowc("diff", "main.flow", "--against", "broken.flow")
    assert done.exit_code == 2
    assert "error[FLW001]: expected a name" in done.stderr
    assert "--> broken.flow:1:17" in done.stderr
    assert "error: broken.flow can't be compared with: it has 1 error" in done.stderr
    (repository / "broken.flow").write_text(ONE)
    done = flowc("diff", "broken.flow", "--against", "HEAD")
    assert "--> HEAD:shop/broken.flow:1:17" in done.stderr


def test_a_file_that_the_revision_has_not(repository: Path) -> None:
    (repository / "new.flow").write_text(ONE)
    done = flowc("diff", "new.flow", "--against", "HEAD")
    assert done.exit_code == 2
    assert "HEAD has no shop/new.flow, only shop/main.flow, shop/types/all.flow" in done.stderr


def test_outside_of_a_repository(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "main.flow").write_text(ONE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    done = flowc("diff", "main.flow", "--against", "HEAD")
    assert done.exit_code == 2
    assert "git says: not a git repository" in done.stderr


def test_a_new_text_with_errors_is_shown(repository: Path) -> None:
    (repository / "main.flow").write_text("system Shop event\n")
    done = flowc("diff", "main.flow", "--against", "HEAD")
    assert done.exit_code == 1
    assert "FLW001" in done.stderr
