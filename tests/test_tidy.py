"""The shape of the code, held by tests: sizes, layers, purity, and nothing that is dead."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import import_module
from typing import Final

import pytest

from support.sources import PACKAGES, ROOT, Function, Source, modules, python_files, text_files

LINE_CHARS_MAX: Final = 100
FILE_LINES_MAX: Final = 600
FUNCTION_LINES_MAX: Final = 70
DOCUMENTED_SHARE_MIN: Final = 0.8

# What is over a bound, and by how much at most. These lists may only shrink.
LONG_FILES: Final[dict[str, int]] = {}
LONG_FUNCTIONS: Final[dict[str, int]] = {}


# ---- sizes


PRAGMA: Final = re.compile(r"\s+# (?:noqa|type: ignore).*")


def test_lines_are_short() -> None:
    found = [
        f"{source.short}:{number}"
        for source in python_files()
        for number, line in enumerate(source.text.splitlines(), 1)
        if len(PRAGMA.sub("", line)) > LINE_CHARS_MAX
    ]
    assert not found


def over(sizes: dict[str, int], bound: int, exceptions: dict[str, int]) -> list[str]:
    """What breaks a bound, and exceptions that are larger than they need to be."""
    found = [f"{n}: {s} lines" for n, s in sizes.items() if s > exceptions.get(n, bound)]
    stale = [n for n, s in exceptions.items() if sizes.get(n, 0) < s]
    return found + [f"{n}: the exception is out of date, lower or remove it" for n in stale]


def test_files_are_short() -> None:
    sizes = {source.short: source.text.count("\n") for source in python_files()}
    assert not over(sizes, FILE_LINES_MAX, LONG_FILES)


def test_functions_are_short() -> None:
    sizes = {
        f"{source.short}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for source in python_files()
        for function in source.functions()
    }
    assert not over(sizes, FUNCTION_LINES_MAX, LONG_FUNCTIONS)


# ---- layers


LAYERS: Final = ("flowc_dsl", "flowc_engine", "flowc")  # each may import those before it


@pytest.mark.parametrize("package", LAYERS)
def test_imports_go_one_way(package: str) -> None:
    above = LAYERS[LAYERS.index(package) + 1 :]
    found = [
        f"{module.name} imports {name}"
        for module in modules()
        if module.name.split(".")[0] == package
        for name in module.imports
        if name.split(".")[0] in above
    ]
    assert not found


def test_every_module_is_used() -> None:
    names = {m.name for m in modules()}
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    used = {target.partition(":")[0] for target in scripts.values()} | set(PACKAGES)
    for module in modules():
        used |= {n for n in module.imports | module.named if n != module.name}
    used |= {f"{name}.__main__" for name in used}
    packages = {m.name for m in modules() if m.path.name == "__init__.py"}
    used |= {p for p in packages if any(u.startswith(f"{p}.") for u in used)}
    assert not names - used, "dead: nothing imports, names or starts these modules"


def test_every_dependency_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^\w-]", d)[0] for d in project["dependencies"]}
    distributions = {"zmq": "pyzmq"}
    standard = set(__import__("sys").stdlib_module_names)
    found = {
        f"{module.name} imports {top}"
        for module in modules()
        for top in (name.split(".")[0] for name in module.imports)
        if top not in standard
        and top not in PACKAGES
        and distributions.get(top, top) not in declared
    }
    assert not found


def test_private_names_stay_in_their_module() -> None:
    found = [
        f"{module.short}:{node.lineno}: {alias.name}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flowc")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert not found


# ---- purity


IMPURE: Final = frozenset(
    {
        "asyncio",
        "builtins",
        "ctypes",
        "duckdb",
        "fcntl",
        "ftplib",
        "getpass",
        "glob",
        "http",
        "importlib",
        "io",
        "locale",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "platform",
        "pyarrow",
        "random",
        "resource",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
        "zmq",
    }
)
IMPURE_CALLS: Final = frozenset(
    {"open", "print", "input", "exec", "eval", "compile", "breakpoint", "__import__"}
)
CLOCKS: Final = frozenset({"now", "utcnow", "today"})
PURE_PATHS: Final = frozenset({"pathlib", "pathlib.PurePath", "pathlib.PurePosixPath"})
# A generated parser and documents are read from the package itself; nothing else is.
PACKAGE_DATA: Final = frozenset({"importlib", "importlib.resources", "importlib.resources.files"})


def impurities(module: Source, *, data: bool = False) -> list[str]:
    """Imports and calls that reach outside: files, sockets, clocks, the environment, chance."""
    allowed = PURE_PATHS | (PACKAGE_DATA if data else frozenset())
    found = [
        f"{module.short}: imports {name}"
        for name in sorted(module.imports - allowed)
        if name.split(".")[0] in IMPURE
    ]
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name(id=name) if name in IMPURE_CALLS:
                found.append(f"{module.short}:{node.lineno}: calls {name}")
            case ast.Attribute(attr=name) if name in CLOCKS:
                found.append(f"{module.short}:{node.lineno}: reads a clock with {name}")
    return found


def test_the_language_is_pure() -> None:
    found = []
    for module in modules():
        if module.name.split(".")[0] == "flowc_dsl":
            found += impurities(module, data=True)
    assert not found


def core() -> list[Source]:
    """The modules of the broker's core."""
    return [m for m in modules() if m.name.startswith("flowc_engine.core")]


def test_the_core_is_pure() -> None:
    assert core()
    assert not [found for module in core() for found in impurities(module)]


def is_set_type(annotation: ast.expr | None) -> bool:
    """Whether an annotation is a set (or may be None besides)."""
    match annotation:
        case ast.Name(id="set" | "frozenset"):
            return True
        case ast.Subscript(value=ast.Name(id="set" | "frozenset")):
            return True
        case ast.BinOp(left=left, right=right):
            return is_set_type(left) or is_set_type(right)
    return False


def set_names(sources: list[Source]) -> set[str]:
    """Variables, fields and parameters that are annotated as sets."""
    names = set()
    for source in sources:
        for node in ast.walk(source.tree):
            match node:
                case ast.AnnAssign(target=ast.Name(id=name)) if is_set_type(node.annotation):
                    names.add(name)
                case ast.AnnAssign(target=ast.Attribute(attr=name)) if is_set_type(node.annotation):
                    names.add(name)
                case ast.arg(arg=name) if is_set_type(node.annotation):
                    names.add(name)
    return names


def is_set(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is a set, as far as its text tells."""
    match node:
        case ast.Attribute(value=ast.Name(id="plan") | ast.Attribute(attr="plan")):
            found = False  # a plan holds tuples
        case ast.Name(id=name) | ast.Attribute(attr=name):
            found = name in names
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub(), right=right):
            found = is_set(left, names) or is_set(right, names)
        case ast.Call(func=ast.Name(id="list" | "tuple" | "iter" | "enumerate"), args=[first, *_]):
            found = is_set(first, names)
        case ast.Call(func=ast.Name(id=name)):
            found = name in {"set", "frozenset"}
        case _:
            found = isinstance(node, ast.Set | ast.SetComp)
    return found


def unordered_loops(sources: list[Source]) -> list[str]:
    """Loops whose order is that of a set."""
    names = set_names(sources)
    found = []
    for source in sources:
        for node in ast.walk(source.tree):
            looped = isinstance(node, ast.For | ast.comprehension)
            if looped and is_set(node.iter, names):
                found.append(f"{source.short}: for … in {ast.unparse(node.iter)}")
    return found


def test_the_core_never_iterates_over_a_set() -> None:
    assert not unordered_loops(core())


@pytest.mark.parametrize("loop", ["a | {1}", "set(b)", "list(self.a)", "{x for x in b}"])
def test_a_loop_over_a_set_is_seen(loop: str) -> None:
    assert is_set(ast.parse(loop, mode="eval").body, {"a"})


@pytest.mark.parametrize("loop", ["sorted(a)", "b", "plan.a", "range(3)"])
def test_another_loop_is_not(loop: str) -> None:
    assert not is_set(ast.parse(loop, mode="eval").body, {"a"})


# ---- words


NOQA: Final = re.compile(r"#\s*noqa\b(?P<codes>:\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*)?(?P<reason>.*)")
IGNORE: Final = re.compile(r"#\s*type:\s*ignore(?P<codes>\[[\w, -]+\])?")


def silenced(line: str) -> bool:
    """Whether a line silences a finding without saying which, or (for lint) why."""
    noqa, ignore = NOQA.search(line), IGNORE.search(line)
    if noqa is not None and not (noqa["codes"] and re.search(r"\w{2}", noqa["reason"])):
        return True
    return ignore is not None and not ignore["codes"]  # a type checker's code says why


def test_every_silenced_finding_has_a_code_and_a_reason() -> None:
    found = [
        f"{source.short}:{number}: {line.strip()}"
        for source in python_files()
        for number, line in enumerate(source.text.splitlines(), 1)
        if source.path.name != "test_tidy.py" and silenced(line)
    ]
    assert not found


@pytest.mark.parametrize("line", ["x  # noqa", "x  # noqa: F401", "x  # type: ignore"])
def test_a_finding_silenced_without_a_word_is_seen(line: str) -> None:
    assert silenced(line)
    assert not silenced("x  # noqa: F401 - registers itself")


def test_no_file_names_a_machine() -> None:
    paths = re.compile(rb"(?<![\w.])/(?:work|root|home)/")
    found = [
        f"{path.relative_to(ROOT)}:{data[: match.start()].count(10) + 1}"
        for path in text_files()
        for data in [path.read_bytes()]
        for match in paths.finditer(data)
    ]
    assert not found


def test_every_function_says_what_it_returns() -> None:
    found = [
        f"{module.short}:{function.lineno}: {function.name}"
        for module in modules()
        for function in module.functions()
        if function.returns is None
    ]
    assert not found


WORDED_ELSEWHERE: Final = frozenset({"report", "diagnostic"})  # a fault's; the protocol says what


def public_names(module: Source) -> dict[str, bool]:
    """Public classes, functions and methods, and whether each is documented. A check is described
    where it is registered as a rule."""
    found = {}
    for node in module.tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if any("rule(" in ast.unparse(d) for d in node.decorator_list):
            continue
        found[f"{module.name}.{node.name}"] = ast.get_docstring(node) is not None
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            if not isinstance(inner, Function) or inner.name.startswith("_"):
                continue
            if inner.name not in WORDED_ELSEWHERE:
                name = f"{module.name}.{node.name}.{inner.name}"
                found[name] = ast.get_docstring(inner) is not None
    return found


@pytest.mark.parametrize("package", LAYERS)
def test_public_names_are_documented(package: str) -> None:
    names: dict[str, bool] = {}
    for module in modules():
        if module.name.split(".")[0] == package:
            names |= public_names(module)
    bare = [name for name, documented in names.items() if not documented]
    assert 1 - len(bare) / len(names) >= DOCUMENTED_SHARE_MIN, bare


def test_every_module_says_what_it_is_for() -> None:
    bare = [m.short for m in modules() if m.text.strip() and not ast.get_docstring(m.tree)]
    assert not bare


# ---- limits


UNITS: Final = frozenset(
    {
        "BYTES",
        "KIB",
        "MIB",
        "MS",
        "S",
        "CHARS",
        "ROWS",
        "EVENTS",
        "MESSAGES",
        "BATCHES",
        "RECORDS",
        "SEGMENTS",
        "QUERIES",
        "RESTARTS",
        "DEFERRED",
        "OFFSETS",
        "PARKED",
        "FILES",
        "LEVELS",
        "ATTEMPTS",
        "NODES",
        "LINES",
        "PARTITIONS",
        "REPLICAS",
        "DEATHS",
        "NAMES",
        "FAULTS",
        "PERCENT",
        "DUTY",
        "CHECKS",
    }
)


def limit_names() -> list[str]:
    """The bounds in `flowc_engine.limits`."""
    limits = next(m for m in modules() if m.name == "flowc_engine.limits")
    return [
        node.target.id
        for node in limits.tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]


def test_every_limit_has_a_unit() -> None:
    assert not [name for name in limit_names() if not UNITS & set(name.split("_"))]


def test_every_limit_is_enforced_somewhere() -> None:
    others = (m.text for m in modules() if m.name != "flowc_engine.limits")
    words = {word for text in others for word in re.findall(r"\b[A-Z_]+\b", text)}
    dead = [name for name in limit_names() if name not in words | {"KIB", "MIB"}]
    assert not dead


# ---- rules and commands


def codes() -> set[str]:
    """The codes of findings that the language can make today."""
    found = {
        node.value
        for module in modules()
        if module.name.startswith("flowc_dsl.")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {c for c in found if re.fullmatch(r"FLW\d{3}", c)}


def test_every_code_has_a_document() -> None:
    documents = {p.stem for p in (PACKAGES["flowc_dsl"] / "rules/docs").glob("*.md")}
    assert codes()
    assert documents == codes()


def test_every_code_has_a_case() -> None:
    cases = [p for p in (ROOT / "tests").rglob("*") if p.suffix in {".py", ".flow", ".diag"}]
    text = "\n".join(p.read_text(encoding="utf-8", errors="replace") for p in cases)
    assert not [code for code in sorted(codes()) if code not in text]


def command_names() -> list[str]:
    """The commands of the command line."""
    return list(import_module("flowc_engine.cli").COMMANDS)


@pytest.mark.parametrize("name", command_names())
def test_every_command_shows_an_example(name: str) -> None:
    from click.testing import CliRunner

    from flowc_engine.cli import main

    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert re.search(rf"^\s+(\$ )?flowc {name}\b", result.output, re.MULTILINE), result.output
