"""An older version of a program: from a git revision, a folder, or a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flowc_engine.cli.checking import seen_from_here
from flowc_engine.cli.revisions import OlderError, checked_out
from flowc_engine.loader import LoadedProgram, LoadError, find_root, load


@dataclass(frozen=True, slots=True)
class Older:
    """`seen` gives the paths of its files as they are shown: from the current folder, or as git
    names them (`main:shop/orders.flow`). `note` is worth telling, if there is one."""

    label: str
    program: LoadedProgram
    seen: Callable[[str], str]
    note: str = ""


def older_version(file: Path, against: str) -> Older:
    """The version of `file` that `against` names: a file, a folder that has it under the same path
    from the root (or just its name), or else a git revision.

    Raises `OlderError`.
    """
    if not against.strip():
        raise OlderError("--against is empty; name a git revision, a folder or a file")
    if "\0" in against:
        raise OlderError("--against holds a NUL, which no name has")
    path = Path(against)
    if os.path.exists(path):  # noqa: PTH110  # a name too long for a file is none, and no error
        found = _load(_within(path, file) if path.is_dir() else path, against)
        return Older(against, found, seen_from_here(found.root))
    with checked_out(file, against) as then:
        found = _load(then.main, against)
        below = found.root.relative_to(then.folder).as_posix()
        return Older(
            against, found, lambda name: f"{against}:{os.path.normpath(f'{below}/{name}')}",
            then.note,
        )  # fmt: skip


def _load(path: Path, against: str) -> LoadedProgram:
    try:
        return load(path)
    except LoadError as error:
        raise OlderError(f"{against}: can't read {path.name}: {error.strerror}") from None


def _within(folder: Path, file: Path) -> Path:
    candidates = [folder / file.absolute().relative_to(find_root(file)), folder / file.name]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise OlderError(f"{folder} has no {candidates[0].relative_to(folder)}; name the file itself")
