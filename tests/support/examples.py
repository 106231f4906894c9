"""The examples as projects: their modules in this process, and copies of them to run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from shutil import copytree, ignore_patterns
from types import ModuleType

from support.sources import ROOT

EXAMPLES = ROOT / "examples"
_OWN = (
    "make_month",
    "services",
    "sources",
    "libs",
    "airline_events",
    "shop_events",
    "tickets_events",
    "accounts_events",
    "balances",
)


class Project:
    """An example whose root is on the path, as in a service process."""

    def __init__(self, name: str) -> None:
        self.root = EXAMPLES / name
        self.events = import_module(f"{name}_events")

    def load(self, module: str) -> ModuleType:
        return import_module(module)


@contextmanager
def project(name: str) -> Iterator[Project]:
    """Both examples have a package `services`, so what was imported is forgotten at the end."""
    root = str(EXAMPLES / name)
    _forget()
    sys.path.insert(0, root)
    try:
        yield Project(name)
    finally:
        sys.path.remove(root)
        _forget()


def _forget() -> None:
    for module in [m for m in sys.modules if m.partition(".")[0] in _OWN]:
        del sys.modules[module]


def copy_example(name: str, to: Path) -> Path:
    """A copy without the state of runs; its root comes back."""
    target = to / name
    copytree(EXAMPLES / name, target, ignore=ignore_patterns(".flow", "__pycache__"))
    return target


def set_args(root: Path, old: str, new: str) -> None:
    """Replace text of `flow.toml`, as a user would."""
    path = root / "flow.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
