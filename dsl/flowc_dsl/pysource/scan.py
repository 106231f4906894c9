"""One Python text to facts, by its syntax tree: what it imports, and what its functions emit.

What a function emits is followed through its own variables, whatever the order of its statements:
`found = OrderPlaced(…)`, `found.append(OrderPlaced(…))` and `for found in …` all count once `found`
is returned or yielded. It is not followed through attributes, containers that are looked up by a
key, or what another function is given.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import deque
from collections.abc import Iterator
from typing import Final

from flowc_dsl import limits
from flowc_dsl.pysource.facts import Dotted, Function, Import, Module
from flowc_dsl.pysource.origins import FUNCTIONS, Body, dotted
from flowc_dsl.source import Span

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_LONG_NAME: Final = re.compile(
    rf"(?<![\w.])(?>\w++[\s\\]*+\.[\s\\]*+){{{limits.PY_NAME_PARTS_MAX}}}"
)
"""Python's parser takes memory for a dotted name that grows with the square of its parts."""
_SCOPES: Final = (*FUNCTIONS, ast.ClassDef, ast.Lambda)
_LEAVES: Final = frozenset({ast.Name, ast.Constant, ast.Load, ast.Store})
_PLAIN: Final = frozenset(
    {*_LEAVES, ast.arguments, ast.arg, ast.keyword, ast.Expr, ast.Subscript, ast.BinOp, ast.Tuple,
     ast.Compare, ast.If, ast.JoinedStr, ast.FormattedValue}
)  # fmt: skip
"""What most nodes are, and nothing is noted of."""


class NotPythonError(ValueError):
    """The text can't be parsed. The message says why, in a few words."""


def scan(path: str, name: str, text: str) -> Module:
    """The facts of the module `name`. Raises `NotPythonError`."""
    if _LONG_NAME.search(text):
        raise NotPythonError(f"it has a name of over {limits.PY_NAME_PARTS_MAX:,} parts")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes and comparisons: the author's to see
            tree = ast.parse(text)
        return _Scan(path, name, text).module(tree)
    except SyntaxError as error:
        line = f" (line {error.lineno:,})" if error.lineno else ""
        raise NotPythonError(f"it does not parse{line}") from None
    except (RecursionError, MemoryError):
        raise NotPythonError("it is nested too deeply") from None
    except ValueError:  # a NUL, a lone surrogate
        raise NotPythonError("it does not parse") from None


class _Scan:
    def __init__(self, path: str, name: str, text: str) -> None:
        self.path, self.name, self.text = path, name, text
        self.starts = [0, *(found.end() for found in _LINE_END.finditer(text))]
        self.columns: dict[int, list[int] | None] = {}
        self.imports: list[Import] = []
        self.bindings: dict[str, tuple[str, str]] = {}
        self.functions: dict[str, Function] = {}
        self.bases: dict[str, tuple[Dotted, ...]] = {}
        self.aliases: dict[str, Dotted] = {}
        self.attributes: list[tuple[Dotted, ast.Attribute]] = []

    def module(self, tree: ast.Module) -> Module:
        scopes: deque[tuple[ast.AST, str]] = deque([(tree, "")])
        while scopes:
            scope, prefix = scopes.popleft()
            nodes = [node for node in _own_nodes(scope) if type(node) not in _PLAIN]
            for node in nodes:
                self._note(node, prefix)
                if isinstance(node, _SCOPES):
                    scopes.append((node, _inside(node, prefix)))
            if isinstance(scope, FUNCTIONS):
                emitted = Body(scope, nodes).emitted(self._span)
                self.functions[prefix[:-1]] = Function(prefix[:-1], emitted)
            elif not isinstance(scope, ast.Lambda):
                self._note_aliases(nodes, prefix)
        used = [(d, self._span(n)) for d, n in self.attributes if d[0] in self.bindings]
        return Module(
            path=self.path,
            name=self.name,
            bare=all(map(_passes_on, tree.body)),
            imports=tuple(sorted(self.imports, key=lambda found: found.span)),
            bindings=self.bindings,
            functions=self.functions,
            bases=self.bases,
            aliases=self.aliases,
            attributes=tuple(sorted(used, key=lambda found: found[1])),
        )

    def _note(self, node: ast.AST, prefix: str) -> None:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    self._add_import(alias.name, "", alias)
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    self._bind(alias.asname or whole, whole, "")
            case ast.ImportFrom(names=names):
                module = self._absolute(node.level, node.module or "")
                for alias in names if module is not None else ():
                    self._add_import(module or "", alias.name, alias)
                    self._bind(alias.asname or alias.name, module or "", alias.name)
            case ast.Call():
                module = self._import_call(node)
                if module:
                    self._add_import(module, "", node)
            case ast.Attribute():
                name = dotted(node)
                if name is not None:
                    self.attributes.append((name, node))
            case ast.ClassDef():
                found = (dotted(base) for base in node.bases)
                self.bases.setdefault(prefix + node.name, tuple(b for b in found if b))

    def _note_aliases(self, nodes: list[ast.AST], prefix: str) -> None:
        """`on_b = on_a`, in a module or a class."""
        for node in nodes:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    meant = dotted(value)
                    if meant is not None:
                        self.aliases.setdefault(prefix + name, meant)

    def _bind(self, name: str, module: str, member: str) -> None:
        """Outer scopes come first, and keep the name."""
        self.bindings.setdefault(name, (module, member))

    def _add_import(self, module: str, name: str, node: ast.alias | ast.expr) -> None:
        self.imports.append(Import(module, name, self._span(node), node.lineno))

    def _absolute(self, level: int, module: str, package: str | None = None) -> str | None:
        """The module that `from ..module` means; None where it leaves the root."""
        if not level:
            return module
        parts = (self._package if package is None else package).split(".")
        if level > len(parts) or not parts[0]:
            return None
        kept = parts[: len(parts) - level + 1]
        return ".".join([*kept, module] if module else kept)

    @property
    def _package(self) -> str:
        is_package = self.path.endswith("/__init__.py")
        return self.name if is_package else self.name.rpartition(".")[0]

    def _import_call(self, call: ast.Call) -> str | None:
        """The module of `importlib.import_module("x")` and `__import__("x")`."""
        name = dotted(call.func)
        if name is None or name[-1] not in {"import_module", "__import__"} or not call.args:
            return None
        match call.args[0]:
            case ast.Constant(value=str(module)):
                level = len(module) - len(module.lstrip("."))
                if level and not _says_own_package(call):
                    return None
                return self._absolute(level, module[level:])
        return None

    def _span(self, node: ast.alias | ast.expr) -> Span:
        end_line, end = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return Span(
            self.path, self._offset(node.lineno, node.col_offset), self._offset(end_line, end)
        )

    def _offset(self, line: int, column_bytes: int) -> int:
        """Columns of a syntax tree count bytes of UTF-8."""
        number = min(line, len(self.starts)) - 1
        if number not in self.columns:
            end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.text)
            self.columns[number] = _columns(self.text[self.starts[number] : end])
        columns = self.columns[number]
        wide = column_bytes if columns is None else columns[min(column_bytes, len(columns) - 1)]
        return self.starts[number] + wide


def _passes_on(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant()) | ast.Import() | ast.ImportFrom():
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
    return False


def _columns(line: str) -> list[int] | None:
    """The code point that each byte of a line's UTF-8 is of; None where they are one."""
    if line.isascii():
        return None
    return [*(i for i, char in enumerate(line) for _ in char.encode()), len(line)]


def _says_own_package(call: ast.Call) -> bool:
    given = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "package")]
    return any(isinstance(g, ast.Name) and g.id == "__package__" for g in given)


def _inside(scope: ast.AST, prefix: str) -> str:
    return f"{prefix}{getattr(scope, 'name', '<lambda>')}."


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope, without those of the scopes in it."""
    pending = list(ast.iter_child_nodes(scope))
    while pending:
        node = pending.pop()
        yield node
        if type(node) not in _LEAVES and not isinstance(node, _SCOPES):
            pending.extend(ast.iter_child_nodes(node))
