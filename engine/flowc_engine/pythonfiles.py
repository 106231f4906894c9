"""The services' Python files, read where a check asks for them, and nowhere else.

They are inputs of a check as the `.flow` files are: `PythonFiles.given` holds all that was asked
for, what was not there included.
"""

from __future__ import annotations

from pathlib import Path

from flowc_dsl import limits
from flowc_dsl.pysource.read import UNREAD_TOO_LARGE, Unread
from flowc_engine.loader import FileTooLargeError, LoadError, OutsideRootError, read_below


class PythonFiles:
    """The files below a root, by path from it, `/`-separated. Called, it reads one, once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.given: dict[str, bytes | Unread | None] = {}
        try:
            self._top = frozenset(entry.name for entry in root.iterdir())
        except OSError:
            self._top = frozenset()

    def __call__(self, path: str) -> bytes | Unread | None:
        """The file's bytes, or why they can't be had; None if there is no such file of the
        project. A link that leaves the root is none."""
        if path not in self.given:
            self.given[path] = self._read(path)
        return self.given[path]

    def _read(self, path: str) -> bytes | Unread | None:
        if path.partition("/")[0] not in self._top:  # most imports: not of the project
            return None
        try:
            return read_below(self.root, path, limits.PY_FILE_BYTES_MAX)
        except OutsideRootError:
            return None
        except FileTooLargeError:
            return Unread(UNREAD_TOO_LARGE)
        except LoadError as error:
            return Unread((error.strerror or type(error).__name__).lower())
