"""The local socket is the user's alone (spec 7.7)."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from flowc_engine.state import StateDir
from support.broker import BrokerProcess
from support.plans import pipeline

NOBODY = 65_534
INTRUDER = textwrap.dedent(
    """
    import os, socket, sys
    os.setgroups([])
    os.setgid({user})
    os.setuid({user})
    try:
        socket.socket(socket.AF_UNIX).connect(sys.argv[1])
    except PermissionError:
        sys.exit(0)
    sys.exit(1)
    """
).format(user=NOBODY)


def test_the_folder_of_a_state_is_closed_even_if_it_was_open(tmp_path):
    state = StateDir(tmp_path, "Shop")
    state.journal.mkdir(parents=True)
    for folder in (state.path, state.journal):
        folder.chmod(0o755)
    state.create()
    assert {stat.S_IMODE(f.stat().st_mode) for f in (state.path, state.journal)} == {0o700}


def test_another_user_cant_connect():
    """Neither through the folder, nor where the folder was opened by hand, to the socket."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    with TemporaryDirectory(prefix="flowc-test-") as root:
        state = StateDir(Path(root), "S")
        state.create()
        broker = BrokerProcess(state.path, pipeline())
        broker.start()
        try:
            path = broker.endpoint.removeprefix("ipc://")
            intruder = [sys.executable, "-I", "-c", INTRUDER, path]
            Path(root).chmod(0o755)
            state.path.parent.chmod(0o755)
            assert subprocess.run(intruder, check=False).returncode == 0
            state.path.chmod(0o755)
            assert stat.S_IMODE(Path(path).stat().st_mode) & 0o077 == 0
            assert subprocess.run(intruder, check=False).returncode == 0
        finally:
            broker.kill()
