"""Running the processes that replay a service, one replica after the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO, Final

from flowc_dsl.plan import ServicePlan
from flowc_engine import limits
from flowc_engine.files import write_atomically
from flowc_engine.generations import write_history
from flowc_engine.replaying import protocol
from flowc_engine.replaying.fork import Fork, Writer, copy_recorded
from flowc_engine.replaying.original import Original, Share
from flowc_engine.state import SCHEMAS_FILE

_BAD_CODE: Final = 10  # of `flowc.exits`

Progress = Callable[[str, int], None]
"""What is done, and up to which offset."""


class ReplayFailedError(Exception):
    """The replay did not come to its end. `of_code`: the user's code can't be used."""

    def __init__(self, message: str, *, of_code: bool = False) -> None:
        super().__init__(message)
        self.of_code = of_code


@dataclass(slots=True)
class Outcome:
    """`warmed` events rebuilt memory, and `warm_failed` of them raised in it. Of the inputs,
    `called` were handled, `skipped` not (`replay skip`); `raised` of them failed for good.
    `emitted`: by type. `deadly` of the inputs killed their process, and are left out."""

    warmed: int = 0
    warm_failed: int = 0
    called: int = 0
    skipped: int = 0
    raised: int = 0
    deadly: int = 0
    emitted: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replaying:
    """What is replayed: the inputs of `service` with offsets in `span` (from, to). `share`: how far
    it was. `terminal`: user code has the terminal, for a debugger."""

    root: Path
    original: Original
    service: ServicePlan
    share: Share
    span: tuple[int, int]
    terminal: bool = False

    @property
    def alone(self) -> bool:
        """Whether it is one input, asked for by its name."""
        return self.span[1] - self.span[0] == 1


def replay_into(fork: Fork, what: Replaying, progress: Progress) -> Outcome:
    """Fill a new fork. Ends with its processes gone, whatever happens.

    Raises `ReplayFailedError`, `JournalRotError`, `OriginalError`, `duckdb.Error`, `OSError`.
    """
    history = what.original.history
    write_atomically(fork.plan_file, history.plan.to_json().encode())
    write_history(fork.folder / SCHEMAS_FILE, history)
    progress("reading what was recorded", what.span[0])
    deadly = copy_recorded(fork, what.original, what.service, what.span)
    if what.alone:
        deadly = []
    outcome = Outcome(deadly=len(deadly))
    writer = Writer(fork, history, what.service.name)
    try:
        for slot in range(what.share.replicas):
            _run(fork, what, slot, deadly, writer, outcome, progress)
    finally:
        writer.close()
    return outcome


def _run(
    fork: Fork,
    what: Replaying,
    slot: int,
    deadly: Sequence[int],
    writer: Writer,
    outcome: Outcome,
    progress: Progress,
) -> None:
    log = fork.folder / f"{what.service.name}.log"
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    with os.fdopen(read_end, "rb") as pipe, log.open("ab") as output:
        try:
            process = _start(fork, what, slot, deadly, write_end, output)
        finally:
            os.close(write_end)
        end = Thread(target=_end_with, args=(process.pid,))
        end.start()
        try:
            whole = _listen(pipe, writer, outcome, progress)
        except BaseException:
            process.kill()
            raise
        finally:
            end.join()
            code = process.wait()
    if code != 0 or not whole:
        raise _failure(what, code, log)


def _start(
    fork: Fork,
    what: Replaying,
    slot: int,
    deadly: Sequence[int],
    pipe: int,
    output: IO[bytes],
) -> subprocess.Popen[bytes]:
    end = what.original.end
    options = {
        "--plan": fork.plan_file, "--service": what.service.name, "--slot": slot,
        "--root": what.root, "--journal": what.original.journal,
        "--end": f"{end.segment},{end.position},{end.record},{end.offset}",
        "--from": what.span[0], "--to": what.span[1], "--pipe": pipe,
        "--without": ",".join(map(str, deadly)),
    }  # fmt: skip
    command = [sys.executable, "-I", "-m", "flowc.replay"]
    command += [str(word) for option in options.items() for word in option]
    if what.terminal:
        return subprocess.Popen([*command, "--terminal"], pass_fds=(pipe,))
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(pipe,),
        process_group=0,
    )  # fmt: skip


def _listen(pipe: IO[bytes], writer: Writer, outcome: Outcome, progress: Progress) -> bool:
    """Take what is said; whether it was all."""
    whole = False
    for said, bodies in protocol.read(pipe):
        match said:
            case protocol.Went():
                progress("replayed", said.through)
            case protocol.Made():
                writer.made(said, bodies)
                _count(outcome, said)
            case protocol.Done():
                outcome.warmed += said.warmed
                outcome.warm_failed += said.failed
                whole = True
    return whole


def _count(outcome: Outcome, said: protocol.Made) -> None:
    for seen in said.seen:
        if seen.called:
            outcome.called += len(seen.offsets) // 8
        else:
            outcome.skipped += len(seen.offsets) // 8
    outcome.raised += len(said.parked)
    for batch in said.batches:
        outcome.emitted[batch.event] = outcome.emitted.get(batch.event, 0) + batch.rows


def _end_with(pid: int) -> None:
    """When the process has ended, end what it has started itself: that may hold the pipe open."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if os.getpgid(pid) == pid:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _failure(what: Replaying, code: int, log: Path) -> ReplayFailedError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    tail = lines[-limits.LOG_TAIL_LINES :]
    name = what.service.name
    if code == _BAD_CODE:
        at = next((i for i, line in enumerate(tail) if line.startswith("error: ")), 0)
        return ReplayFailedError("\n".join(tail[at:]).removeprefix("error: "), of_code=True)
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    said = "\n".join(f"  {line}" for line in tail)
    return ReplayFailedError(f"the process of {name} {how}" + (f":\n{said}" if said else ""))
