"""What `docs/security.md` shows is done (spec 9.35 to 9.37)."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from support.secure import free_port
from support.sources import ROOT
from support.tiny import FLOWC, interrupt, wait_said

DOC = (ROOT / "docs/security.md").read_text()
PROGRAM = "".join(re.findall(r"```flow\n(.*?)```", DOC, re.DOTALL))


def commands(port: int) -> list[list[str]]:
    """The words of each command, for an address of this machine."""
    blocks = re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL)
    text = "".join(blocks).replace("10.0.0.5:5555", f"127.0.0.1:{port}")
    return [shlex.split(line)[1:] for line in text.splitlines()]


@pytest.mark.slow
def test_the_example_runs_as_it_is_told(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for machine in (here, there):
        machine.mkdir()
        (machine / "shop.flow").write_text(PROGRAM)
    up: dict[str, subprocess.Popen[str]] = {}
    try:
        for words in commands(free_port()):
            if words[0] in ("broker", "service"):
                if words[0] == "service":
                    (here / "orders.key").rename(there / "orders.key")
                up[words[0]] = subprocess.Popen(
                    [FLOWC, *words], cwd=there if words[0] == "service" else here, text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                )  # fmt: skip
                if words[0] == "service":
                    wait_said(up["service"], "Orders starts, and Ctrl-C drains it")
                continue
            done = subprocess.run(
                [FLOWC, *words], cwd=here, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
        out, err = up["service"].communicate(timeout=60)
        assert (up["service"].returncode, "this key was revoked" in err) == (3, True)
        interrupt(up["broker"])
        out, err = up["broker"].communicate(timeout=60)
        assert up["broker"].returncode == 0, err
        assert "Orders" in out
    finally:
        for process in up.values():
            process.kill()
            process.communicate()
