"""What the processes that run users' code have in common: how they begin and how they end."""

from __future__ import annotations

import argparse
import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from flowc.classes import Classes, use_plan
from flowc.errors import (
    CodeError,
    ContractError,
    FencedError,
    FlowcError,
    HaltedError,
    RefusedError,
    StoreError,
    StoreFailedError,
)
from flowc.exits import Exit
from flowc.load import user_trace
from flowc_dsl.plan import Plan
from flowc_engine.process import die_with_parent

_FINAL_REFUSALS = frozenset({"version", "plan", "service", "key"})


def parse(
    parser: argparse.ArgumentParser, argv: list[str], *, broker: bool = True
) -> argparse.Namespace:
    """Parse, with the options that all have. Ends the process with 2 on bad ones."""
    parser.add_argument("--plan", type=Path, required=True, help="the plan, as JSON")
    if broker:
        parser.add_argument("--broker", required=True, help="the broker's endpoint")
    parser.add_argument("--key", type=Path, help="over TCP: the file with our key")
    parser.add_argument("--root", type=Path, required=True, help="the project's root")
    return parser.parse_args(argv)


def run(prog: str, root: Path, plan_file: Path, body: Callable[[Classes], Exit]) -> Exit:
    """Set the process up and run `body`; what it raises becomes an exit code and a message."""
    die_with_parent(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    os.register_at_fork(after_in_child=_in_child)
    os.umask(0o077)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        plan = Plan.from_json(plan_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return _end(Exit.USAGE, f"{prog}: {plan_file}: {error}")
    sys.path.insert(0, str(root.resolve()))
    _use_one_thread()
    try:
        return body(use_plan(plan))
    except FlowcError as error:
        return _end(_exit_for(error), f"{prog}: {error}")


def _in_child() -> None:
    """The user's code has forked. SIGTERM ends the child at once, as whoever forked it expects (a
    pool of `multiprocessing` waits for that); what we do at SIGTERM is for us."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit_for(error: FlowcError) -> Exit:
    match error:
        case CodeError() | ContractError():
            return Exit.CODE
        case HaltedError():
            return Exit.HALTED
        case FencedError():
            return Exit.FENCED
        case StoreFailedError():
            return Exit.CRASHED
        case StoreError():
            return Exit.STORE
        case RefusedError() if error.code in _FINAL_REFUSALS:
            return Exit.REFUSED
        case _:
            return Exit.CRASHED


def failed(prog: str, error: BaseException) -> Exit:
    """The user's code raised where nobody can go on."""
    return _end(Exit.CRASHED, f"{prog}: {user_trace(error)}")


def _end(code: Exit, message: str) -> Exit:
    print(f"error: {message}", file=sys.stderr, flush=True)
    return code


def _use_one_thread() -> None:
    """Batches are small: Arrow's pools of threads would cost memory and hand-overs."""
    import pyarrow as pa

    pa.set_cpu_count(1)


class Stop:
    """SIGTERM, as a flag, and as a descriptor that becomes readable so that no poll sleeps through
    it."""

    def __init__(self) -> None:
        self.wanted = False
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGTERM, self._set)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)

    def _set(self, _number: int, _frame: FrameType | None) -> None:
        self.wanted = True

    def clear(self) -> None:
        """Make the descriptor quiet again."""
        if select.select([self.fd], [], [], 0)[0]:
            os.read(self.fd, 4096)
