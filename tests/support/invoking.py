"""`flowc` in this process: without the start of another, which a test of the glue has to pay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from flowc_engine.cli import main


def flowc(*args: str | Path, **more: Any) -> Result:
    """Called from the current folder; ``more`` goes to `CliRunner.invoke`."""
    return CliRunner().invoke(main, [str(arg) for arg in args], **more)
