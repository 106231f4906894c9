"""From a system to the `Code` of its services: the closure of imports below the root.

Files are asked for by path, one by one, as imports lead to them. What is not there is no module of
the project: the standard library, what is installed, code that is not written yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from flowc_dsl import limits
from flowc_dsl.model import System
from flowc_dsl.pysource.facts import Code, Edge, Import, Module, is_generated
from flowc_dsl.record import Record

UNREAD_TOO_LARGE: Final = f"it has more than {limits.PY_FILE_BYTES_MAX:,} bytes"
UNREAD_TOO_MANY: Final = f"the services import more than {limits.PY_FILES_MAX:,} files"


class Unread(Record):
    """A file that is there and can't be read, and why."""

    reason: str


Files = Callable[[str], bytes | Unread | None]
"""The bytes of a file by its path from the root; None if there is no such file."""


def read_code(system: System, files: Files) -> Code | None:
    """The code of the services that `run python`; None if none of it is there."""
    targets = {
        service.name: service.run.target.partition(":")[0]
        for service in system.services.values()
        if service.run is not None and service.run.kind == "python"
    }
    reader = _Reader(files)
    entries = {name: reader.path_of(module) for name, module in targets.items()}
    found = {name: path for name, path in entries.items() if path is not None}
    if not found:
        return None
    reader.follow(targets[name] for name in found)
    return Code(
        modules=reader.modules,
        edges=reader.edges,
        entries=found,
        names={name: path for name, path in reader.paths.items() if path is not None},
        unread=reader.unread,
        texts=reader.texts,
    )


class _Reader:
    def __init__(self, files: Files) -> None:
        self.files = files
        self.given: dict[str, bytes | Unread] = {}
        self.paths: dict[str, str | None] = {}  # by dotted name
        self.modules: dict[str, Module] = {}
        self.edges: dict[str, tuple[Edge, ...]] = {}
        self.unread: dict[str, str] = {}
        self.texts: dict[str, str] = {}

    def path_of(self, name: str) -> str | None:
        """The file of a module: `a.b` is `a/b/__init__.py`, else `a/b.py`, as Python has it."""
        if name not in self.paths:
            self.paths[name] = self._find(name)
        return self.paths[name]

    def _find(self, name: str) -> str | None:
        if len(name) > limits.PY_NAME_CHARS_MAX:
            return None
        parts = name.split(".")
        if not all(part.isidentifier() for part in parts):
            return None
        around = self.path_of(".".join(parts[:-1])) if len(parts) > 1 else None
        if around is not None and not around.endswith("/__init__.py"):
            return None  # a plain module has no modules in it
        base = "/".join(parts)
        for path in (f"{base}/__init__.py", f"{base}.py"):
            if path in self.given:
                return path
            found = self.files(path)
            if found is not None:
                self.given[path] = found
                return path
        return None

    def follow(self, names: Iterable[str]) -> None:
        """Scans the modules and all that they import."""
        pending = [around for name in names for around in (*_packages(name), name)]
        while pending:
            name = pending.pop()
            path = self.path_of(name)
            if path is None or path in self.modules:
                continue
            if len(self.modules) >= limits.PY_FILES_MAX:
                self.unread.setdefault(path, UNREAD_TOO_MANY)
                return
            module = self._module(name, path)
            self.modules[path] = module
            edges = list(self._edges(module))
            self.edges[path] = tuple(edge for _, edge in edges)
            pending.extend(target for target, _ in edges)

    def _module(self, name: str, path: str) -> Module:
        text = self._text(path)
        if text is None or is_generated(text):
            return Module(path, name, generated=text is not None)
        from flowc_dsl.pysource.scan import NotPythonError, scan  # noqa: PLC0415  # lazy: `ast`

        try:
            return scan(path, name, text)
        except NotPythonError as error:
            self.unread[path] = str(error)
            return Module(path, name)

    def _text(self, path: str) -> str | None:
        data = self.given[path]
        if isinstance(data, Unread):
            self.unread[path] = data.reason
        elif len(data) > limits.PY_FILE_BYTES_MAX:
            self.unread[path] = UNREAD_TOO_LARGE
        else:
            try:
                self.texts[path] = data.decode("utf-8-sig")
            except UnicodeDecodeError:
                self.unread[path] = "it is not UTF-8"
        return self.texts.get(path)

    def _edges(self, module: Module) -> Iterator[tuple[str, Edge]]:
        """Names of modules that run when this one is imported, and how they are reached."""
        for found in module.imports:
            name = self._imported(found)
            if len(name) > limits.PY_NAME_CHARS_MAX:
                continue
            for around in _packages(name):
                path = self.path_of(around)
                if path is not None and path != module.path:
                    yield around, Edge(path, found.span, found.line, implicit=True)
            path = self.path_of(name)
            if path is not None and path != module.path:
                yield name, Edge(path, found.span, found.line)

    def _imported(self, found: Import) -> str:
        """`from a import b` is the module `a.b`, if there is one, else `a`."""
        inner = f"{found.module}.{found.name}".lstrip(".")
        if found.name not in {"", "*"} and self.path_of(inner) is not None:
            return inner
        return found.module


def _packages(name: str) -> list[str]:
    """The packages around a module, the outermost first."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]
