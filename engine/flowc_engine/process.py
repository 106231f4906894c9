"""Small things that every process of a run does."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
STARTER_VARIABLE = "FLOWC_STARTER"  # in the environment: the process id of who starts a process


def starter() -> int:
    """Who started this process, as it said itself; without a word of it, our parent.

    A parent that has died meanwhile can't be told from one that never was. Not passed on to our
    own children.
    """
    return int(os.environ.pop(STARTER_VARIABLE, os.getppid()))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent (of process id `parent`) ends.

    Exits if it has.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit(1)
