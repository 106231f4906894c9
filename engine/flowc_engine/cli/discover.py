"""The main files below a folder: those with `system NAME` that no other file imports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flowc_engine.loader import read_file

SKIPPED = frozenset({"node_modules", "__pycache__", "venv", "build", "dist"})
_NO_CODE = re.compile(rb'"(?:[^"\\\n]|\\.)*"|//[^\n]*')
_SYSTEM = re.compile(rb"(?<![\w.])system\s+[^\W\d]\w*")
_IMPORT = re.compile(rb'(?<![\w.])import\s*"((?:[^"\\\n]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Found:
    """`loose` files have no `system`, and no main file leads to them."""

    mains: tuple[Path, ...]
    loose: tuple[Path, ...]


def discover(folder: Path) -> Found:
    """In the order of their paths. Of a ring of files that import each other, the first is main.

    A file that can't be read is a main file: whoever loads it will say why it can't be read.
    """
    paths = {_real(path): path for path in sorted(flow_files(folder))}
    imports: dict[Path, set[Path]] = {}
    systems: list[Path] = []
    for resolved, path in paths.items():
        try:
            text = read_file(path)
        except OSError:
            imports[resolved] = set()
            systems.append(resolved)
            continue
        code = _NO_CODE.sub(lambda m: m[0] if m[0].startswith(b'"') else b" ", text)
        names = [os.fsdecode(name) for name in _IMPORT.findall(code) if b"\0" not in name]
        imports[resolved] = {_real(resolved.parent / name) for name in names}
        if _SYSTEM.search(_NO_CODE.sub(b" ", text)):
            systems.append(resolved)
    imported = {to for path, targets in imports.items() for to in targets if to != path}
    mains: list[Path] = []
    covered: set[Path] = set()
    for path in [*(p for p in systems if p not in imported), *systems]:
        if path not in covered:
            mains.append(path)
            covered |= _closure(path, imports)
    loose = tuple(paths[path] for path in paths if path not in covered)
    return Found(tuple(sorted(paths[path] for path in mains)), loose)


def flow_files(folder: Path) -> Iterator[Path]:
    """All `.flow` files below a folder, except in hidden folders and those of other tools."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n not in SKIPPED)
        for name in names:
            if name.endswith(".flow") and not name.startswith("."):
                yield Path(parent) / name


def _real(path: Path) -> Path:
    """Unlike `Path.resolve`, no error where links lead round in a ring."""
    return Path(os.path.realpath(path))


def _closure(main: Path, imports: Mapping[Path, set[Path]]) -> set[Path]:
    seen: set[Path] = set()
    pending = [main]
    while pending:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            pending += imports.get(path, ())
    return seen
