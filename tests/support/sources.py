"""The project's own text, parsed: what the tidy tests look at."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "flowc_dsl": ROOT / "dsl/flowc_dsl",
    "flowc_engine": ROOT / "engine/flowc_engine",
    "flowc": ROOT / "services/flowc",
}
PYTHON_FOLDERS = ("dsl", "engine", "services", "tests", "bench", "examples")
_MODULE_IN_TEXT = re.compile(r"flowc(?:_dsl|_engine)?(?:\.[A-Za-z_]\w*)+")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A Python file. `name` is its dotted module name, or its path outside the packages."""

    name: str
    path: Path

    @property
    def short(self) -> str:
        """The path from the project's root."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.short)

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        is_package = self.path.name == "__init__.py"
        return self.name if is_package else self.name.rpartition(".")[0]

    def functions(self) -> Iterator[Function]:
        """All of them, methods and inner ones too."""
        return (n for n in ast.walk(self.tree) if isinstance(n, Function))

    @cached_property
    def imports(self) -> frozenset[str]:
        """Dotted names imported anywhere in it; for `from a import b` both `a` and `a.b`."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                found.add(base)
                found.update(f"{base}.{alias.name}" for alias in node.names)
        return frozenset(found)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        parts = parts[: len(parts) - node.level + 1]
        return ".".join([*parts, *([node.module] if node.module else [])])

    @cached_property
    def named(self) -> frozenset[str]:
        """Modules named in its strings: lazy imports, and processes started with `-m`."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.update(_MODULE_IN_TEXT.findall(node.value))
        return frozenset(found)


@cache
def modules() -> tuple[Source, ...]:
    """The modules of the three packages."""
    found = []
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            names = [package, *(p for p in parts if p != "__init__")]
            found.append(Source(".".join(names), path))
    return tuple(found)


@cache
def python_files() -> tuple[Source, ...]:
    """All Python of the repository."""
    known = {m.path for m in modules()}
    judged = ROOT / "tests/golden/cases"  # by flowc, and some of it is broken
    others = [
        Source(path.relative_to(ROOT).as_posix(), path)
        for folder in PYTHON_FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path not in known and ".flow" not in path.parts and judged not in path.parents
    ]
    return (*modules(), *others)


def text_files() -> Iterator[Path]:
    """All files of the repository that are text; not what tools and runs leave behind."""
    left_behind = {".git", ".venv", ".flow", "build", "dist", "__pycache__", ".hypothesis"}
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if left_behind & set(parts) or any(p.endswith("_cache") for p in parts):
            continue
        if path.is_file() and b"\0" not in path.read_bytes()[:1024]:
            yield path
