"""Pass 1: the files of the program. Bytes are decoded, text is parsed, imports are followed."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from flowc_dsl import limits
from flowc_dsl.cutting import cut_again
from flowc_dsl.lower.faults import (
    ImportCycle,
    ImportNotFound,
    ImportOutside,
    NoSystem,
    OtherSystem,
    Repeated,
)
from flowc_dsl.lower.memo import KeptFile
from flowc_dsl.lower.work import Work, ref
from flowc_dsl.source import Source, Span
from flowc_dsl.syntax import parse
from flowc_dsl.syntax import tree as t
from flowc_dsl.syntax.build import unquoted
from flowc_dsl.syntax.faults import Fault, NotUtf8, TooLarge, Unexpected

_IMPORT: Final = re.compile(
    r'//[^\n]*+|(?<!\w)import\b(?:[ \t\r\n]|//[^\n]*+)*+("(?:[^"\\\n]|\\[^\n])*")'
    r'|"(?:[^"\\\n]|\\[^\n])*"'
)
_DRIVE: Final = re.compile(r"[A-Za-z]:")

# What a system can't be called: the word begins what follows a `system` that has no name.
BEGINNINGS: Final = frozenset(
    {"external", "exported", "internal", "event", "command", "service", "context", "import"}
)


def imports_of(text: str) -> tuple[str, ...]:
    """The paths that a file imports, as written. Much cheaper than a tree, and as good for any
    text that parses."""
    if "import" not in text:
        return ()
    return tuple(unquoted(match[1]) for match in _IMPORT.finditer(text) if match[1])


def resolve_import(importer: str, target: str) -> str | None:
    """The path from the root; None for one that is absolute or leaves the root."""
    if target.startswith(("/", "\\")) or _DRIVE.match(target):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(importer), target))
    return None if path == ".." or path.startswith("../") else path


def decode(path: str, data: str | bytes) -> tuple[Source, Fault | None]:
    """The text of a file; empty, with a fault, if it is too large or not UTF-8."""
    if len(data) > limits.FILE_BYTES_MAX:
        return Source(path, ""), TooLarge(path)
    if isinstance(data, str):
        size = len(data.encode(errors="replace"))
        fault = TooLarge(path) if size > limits.FILE_BYTES_MAX else None
        return Source(path, "" if fault else data), fault
    try:
        return Source(path, data.decode("utf-8-sig")), None
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        source = Source(path, data.decode("utf-8-sig", errors="replace"))
        at = Span(path, len(before), len(before) + 1)
        return source, NotUtf8(at, data[error.start])


def load_files(work: Work) -> None:
    """Fills `sources`, `trees` and `system`."""
    if work.main not in work.given:
        work.report(ImportNotFound(Span(work.main, 0, 0), work.main))
        work.broken = True
        return
    _load(work, work.main)
    _find_cycles(work)
    _name_system(work)


def _load(work: Work, main: str) -> None:
    pending = [main]
    while pending:
        path = pending.pop()
        if path in work.trees:
            continue
        work.file = path
        tree = _tree(work, path, work.given[path])
        work.sources[path] = tree.source
        work.trees[path] = tree
        work.faults += tree.faults
        work.broken |= bool(tree.faults)
        pending += reversed([p for _, p in _targets(tree) if p in work.given])
        _check_imports(work, tree)


def _tree(work: Work, path: str, data: str | bytes) -> t.Tree:
    """Of a file that can't be read, an empty one."""
    kept = work.memo.tree(path, data)
    if kept is not None:
        return kept
    source, fault = decode(path, data)
    if fault is not None:
        work.report(fault)
        work.broken = True
        return t.Tree(source, (), ())
    tree = parse(source)
    work.memo.files[path] = KeptFile(data, tree)
    return tree


def _targets(tree: t.Tree) -> list[tuple[t.Import, str]]:
    """The imports that stay inside of the root, and where they lead."""
    found = []
    for item in tree.imports():
        path = resolve_import(tree.source.path, item.path.value)
        if path is not None and item.path.end > item.path.start:
            found.append((item, path))
    return found


def _check_imports(work: Work, tree: t.Tree) -> None:
    seen: dict[str, Span] = {}
    for item in tree.imports():
        span, written = tree.span(item.path), item.path.value
        path = resolve_import(tree.source.path, written)
        if item.path.end == item.path.start:
            continue
        if path is None:
            absolute = written.startswith(("/", "\\")) or _DRIVE.match(written)
            why = "is absolute" if absolute else "leaves the project's folder"
            work.report(ImportOutside(span, written, why))
        elif path not in work.given:
            near = work.nearest(path, work.given.keys() - {tree.source.path})
            work.report(ImportNotFound(span, path, near.name if near else None))
            work.broken = True
        elif path in seen:
            whole, first = tree.span(item), seen[path]
            cut = cut_again(tree.source, first, whole)
            work.report(Repeated(span, f'import "{written}"', "this file", first, cut))
        else:
            seen[path] = tree.span(item)


def _find_cycles(work: Work) -> None:
    """Each import that leads back to a file which is being imported."""
    edges = {path: _targets(tree) for path, tree in work.trees.items()}
    done: set[str] = set()
    path: dict[str, None] = {work.main: None}  # a dict keeps order, and finds quickly
    stack = [iter(edges[work.main])]
    while stack:
        for item, target in stack[-1]:
            if target in path:
                names = list(path)
                cycle = (*names[names.index(target) :], target)
                tree = work.trees[names[-1]]
                work.report(ImportCycle(tree.span(item.path), cycle))
            elif target in edges and target not in done:
                path[target] = None
                stack.append(iter(edges[target]))
                break
        else:
            stack.pop()
            done.add(path.popitem()[0])


def _name_system(work: Work) -> None:
    for path, tree in work.trees.items():
        found = [item for item in tree.items if isinstance(item, t.System) and item.name.text]
        for again in found[1:]:
            work.report(Repeated(tree.span(again), "`system`", "this file", tree.span(found[0])))
        if path == work.main:
            if found and found[0].name.text in BEGINNINGS:
                place = tree.span(found[0].name)
                hint = "name the system: `system NAME`"
                work.report(Unexpected(place, found[0].name.text, ("a name",), hint))
            if found:
                work.system = ref(tree, found[0].name)
            elif not work.broken:
                work.report(NoSystem(path, empty=not tree.items))
        elif found and work.system is not None and found[0].name.text != work.system.name:
            other = ref(tree, found[0].name)
            work.report(OtherSystem(other.span, other.name, work.system.name, work.system.span))
