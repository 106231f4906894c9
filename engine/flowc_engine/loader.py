"""From a path to a program in memory: the root is found, and the closure of its imports is read.

`load` raises a `LoadError`, which is an `OSError` with `filename` and `strerror`:

    LoadError
    ├── FileMissingError    no such file
    ├── NotAFileError       a folder, a device, a pipe
    ├── UnreadableError     no permission, an I/O error
    ├── FileTooLargeError   over the size limit
    ├── OutsideRootError    an import that leaves the root by a symbolic link
    └── TooManyFilesError   more imports than a program may have

A file that is imported and not there is no such error: it is left out, and the compiler says where
it is imported.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flowc_dsl import limits
from flowc_dsl.lower.imports import imports_of, resolve_import

ROOT_FILE: Final = "flow.toml"  # as `config.FILE_NAME`, whose import a check can do without


class LoadError(OSError):
    def __init__(self, path: Path, reason: str, code: int = errno.EIO) -> None:
        super().__init__(code, reason, str(path))


class FileMissingError(LoadError):
    pass


class NotAFileError(LoadError):
    pass


class UnreadableError(LoadError):
    pass


class FileTooLargeError(LoadError):
    pass


class OutsideRootError(LoadError):
    pass


class TooManyFilesError(LoadError):
    pass


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """`files` by path from `root`, `/`-separated; `main` is one of them."""

    root: Path
    main: str
    files: dict[str, bytes]


def find_root(path: Path) -> Path:
    """The nearest folder with a `flow.toml` above the file, else the file's own folder."""
    folder = path.absolute().parent
    for candidate in (folder, *folder.parents):
        if (candidate / ROOT_FILE).is_file():
            return candidate
    return folder


def load(path: Path) -> LoadedProgram:
    """Reads the file at `path` and all that it imports. Raises `LoadError`."""
    path = Path(os.path.normpath(path.absolute()))
    return _with_imports(path, read_file(path))


def load_text(text: bytes, path: Path) -> LoadedProgram:
    """The program whose main file would be `path`, if it held `text`. Raises `LoadError`."""
    return _with_imports(Path(os.path.normpath(path.absolute())), text)


def _with_imports(path: Path, text: bytes) -> LoadedProgram:
    root = find_root(path)
    main = path.relative_to(root).as_posix()
    files = {main: text}
    pending = [main]
    while pending:
        importer = pending.pop()
        for target in imports_of(files[importer].decode("utf-8", errors="replace")):
            name = resolve_import(importer, target)
            if name is None or name in files:
                continue
            found = read_below(root, name)
            if found is None:
                continue
            files[name] = found
            pending.append(name)
            if len(files) > limits.FILES_MAX:
                reason = f"the program has more than {limits.FILES_MAX:,} files"
                raise TooManyFilesError(path, reason, errno.EMFILE)
    return LoadedProgram(root, main, files)


def read_below(root: Path, name: str, bytes_max: int = limits.FILE_BYTES_MAX) -> bytes | None:
    """A file below the root, or None if there is none; a name that no file can have is one that is
    not there. Raises `LoadError`."""
    path = root / name
    try:
        real = Path(os.path.realpath(path, strict=True))
        if not stat.S_ISREG(real.stat().st_mode):
            return None
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return None
        raise UnreadableError(path, _reason(error), error.errno or errno.EIO) from None
    if not real.is_relative_to(os.path.realpath(root)):
        raise OutsideRootError(path, "a symbolic link leaves the project's folder", errno.EXDEV)
    return read_file(path, bytes_max)


def read_file(path: Path, bytes_max: int = limits.FILE_BYTES_MAX) -> bytes:
    """A regular file's bytes. At most the size limit is read, whatever the size is said to be.

    Raises `LoadError`.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "it is a folder" if stat.S_ISDIR(mode) else "it is no regular file"
            raise NotAFileError(path, what, errno.EISDIR)
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except LoadError:
        raise
    except FileNotFoundError as error:
        raise FileMissingError(path, "no such file", errno.ENOENT) from error
    except NotADirectoryError as error:
        raise FileMissingError(path, "no such file", errno.ENOENT) from error
    except ValueError as error:  # a NUL in the path
        raise FileMissingError(path, str(error), errno.ENOENT) from error
    except OSError as error:
        raise UnreadableError(path, _reason(error), error.errno or errno.EIO) from error
    if len(data) > bytes_max:
        reason = f"it has more than {bytes_max:,} bytes"
        raise FileTooLargeError(path, reason, errno.EFBIG)
    return data


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
