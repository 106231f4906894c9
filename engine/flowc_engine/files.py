"""Writing files so that a crash leaves the old text or the new one, never a mixture."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from flowc_engine.journal.disk import OS_DISK


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file's content; its mode stays, and a symbolic link is followed.

    What is no regular file (a pipe, a device) is written to as it is.
    Raises `OSError`, and leaves the file as it was, if it can't be written.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    mode = target.stat().st_mode if target.exists() else None
    with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode & 0o7777 if mode is not None else 0o666 & ~_umask())
            os.fsync(file.fileno())
            Path(file.name).replace(target)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(file.name).unlink()
            raise
    OS_DISK.sync_folder(target.parent)


def _umask() -> int:
    """The process's umask; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
