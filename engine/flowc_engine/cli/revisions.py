"""The `.flow` files of a git revision, from git's own objects: what the revision holds, whatever
attributes and the working tree say."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Final

from flowc_engine import limits
from flowc_engine.loader import ROOT_FILE

_REGULAR: Final = (b"100644", b"100755")
_LINK: Final = b"120000"


class OlderError(Exception):
    """There is no older version to compare with; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """`main` lies below `folder`, which is the top of the repository as it was. `note` says under
    which name it was found, if not its own."""

    folder: Path
    main: Path
    note: str


@contextmanager
def checked_out(file: Path, revision: str) -> Iterator[CheckedOut]:
    """The file as it was, in a temporary folder that has all `.flow` files and `flow.toml`s of the
    revision. Raises `OlderError`."""
    folder = file.absolute().parent.resolve()
    commit = _commit(folder, revision)
    top = Path(os.fsdecode(_git(folder, revision, "rev-parse", "--show-toplevel")).strip())
    inside = (folder / file.name).relative_to(top.resolve()).as_posix()
    blobs = _blobs(top, revision, commit)
    then, note = inside, ""
    if inside not in blobs:
        found = _called_then(top, revision, commit, inside)
        if found is None or found not in blobs:
            raise OlderError(_not_there(revision, inside, blobs))
        then, note = found, f"{inside} was called {found} in {revision}"
    with TemporaryDirectory(prefix="flowc-older-") as made:
        _write(top, revision, blobs, Path(made))
        yield CheckedOut(Path(made), Path(made) / then, note)


def _not_there(revision: str, inside: str, blobs: dict[str, _Blob]) -> str:
    there = [name for name in blobs if name.endswith(".flow")]
    text = f"{revision} has no {inside}"
    if not there:
        return f"{text}, nor any other .flow file"
    listed = ", ".join(there[: limits.NAMES_LISTED_MAX])
    more = ", …" if len(there) > limits.NAMES_LISTED_MAX else ""
    return f"{text}, only {listed}{more}; `--against FILE` takes any file"


def _commit(folder: Path, revision: str) -> str:
    if not revision.startswith("-"):
        found = _run(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if not found.returncode:
            return found.stdout.decode().strip()
        _git(folder, revision, "rev-parse", "--git-dir")  # outside of a repository it says so
    raise OlderError(
        f"{revision} is neither a file, nor a folder, nor a git revision; "
        "`git log --oneline` lists revisions"
    )


# ---- what the revision holds


@dataclass(frozen=True, slots=True)
class _Blob:
    mode: bytes
    sha: bytes
    size: int


def _blobs(top: Path, revision: str, commit: str) -> dict[str, _Blob]:
    """The wanted files by their path from the top, in git's order. Raises `OlderError` where they
    are over the bound: before they are read."""
    listed = _git(top, revision, "ls-tree", "-r", "-l", "-z", "--full-tree", commit)
    found = {}
    for entry in filter(None, listed.split(b"\0")):
        head, _, name = entry.partition(b"\t")
        mode, kind, sha, size = head.split()
        path = PurePosixPath(os.fsdecode(name))
        wanted = path.suffix == ".flow" or path.name == ROOT_FILE
        if kind == b"blob" and wanted and ".." not in path.parts and not path.is_absolute():
            found[str(path)] = _Blob(mode, sha, int(size))
    if sum(blob.size for blob in found.values()) > limits.OLDER_BYTES_MAX:
        raise OlderError(f"the .flow files of {revision} are over {limits.OLDER_BYTES_MAX:,} bytes")
    return found


def _write(top: Path, revision: str, blobs: dict[str, _Blob], made: Path) -> None:
    wanted = b"".join(blob.sha + b"\n" for blob in blobs.values())
    data = _git(top, revision, "cat-file", "--batch", stdin=wanted)
    at = 0
    for name, blob in blobs.items():
        end = data.index(b"\n", at)
        head = data[at:end].split()
        if head[-1:] == [b"missing"] or len(head) != 3:
            raise OlderError(f"git has no {name} of {revision}; is the clone partial or damaged?")
        content = data[end + 1 : end + 1 + int(head[2])]
        at = end + 1 + int(head[2]) + 1
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if blob.mode in _REGULAR:
            path.write_bytes(content)
        elif blob.mode == _LINK and _stays_inside(name, os.fsdecode(content)):
            path.symlink_to(os.fsdecode(content))


def _stays_inside(name: str, target: str) -> bool:
    where = os.path.normpath(PurePosixPath(name).parent / target)
    return not where.startswith("../") and not PurePosixPath(where).is_absolute()


# ---- files that were renamed


def _called_then(top: Path, revision: str, commit: str, inside: str) -> str | None:
    """The name that the file had in the commit: between that and the working tree in one step, else
    by each rename on the way."""
    diff = _git(top, revision, "diff", "-M", "--name-status", "-z", "--diff-filter=R", commit)
    if inside in (then := _renames(diff)):
        return then[inside]
    log = _run(top, "log", "--follow", "--diff-filter=R", "--name-status", "-z", "--format=",
               f"{commit}..HEAD", "--", inside)  # fmt: skip
    name = inside
    for new, old in _renames(log.stdout).items():
        name = old if new == name else name
    return name if name != inside else None


def _renames(listed: bytes) -> dict[str, str]:
    """New names to old ones, of `R100 NUL old NUL new NUL` each."""
    words = [os.fsdecode(word.strip()) for word in listed.split(b"\0") if word.strip()]
    return {new: old for _, old, new in zip(words[::3], words[1::3], words[2::3], strict=False)}


# ---- git


def _git(folder: Path, revision: str, *args: str, stdin: bytes = b"") -> bytes:
    done = _run(folder, *args, stdin=stdin)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        raise OlderError(f"{revision} is no file and no folder, and git says: {said}")
    return done.stdout


def _run(folder: Path, *args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", *args], cwd=folder, capture_output=True, check=False, input=stdin,
            timeout=limits.GIT_MS_MAX / 1000,
        )  # fmt: skip
    except FileNotFoundError:
        raise OlderError("git is not installed; `--against` takes a file or a folder too") from None
    except subprocess.TimeoutExpired:
        raise OlderError(f"git took over {limits.GIT_MS_MAX // 1000} s") from None
