"""Many seeds, on several processors, and what came of all of them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import xxhash

from flowc_engine.sim.oracle import Verdict, simulate

_decoder = msgspec.json.Decoder(Verdict)


@dataclass
class Sum:
    """Of all verdicts so far. `digest` is over those of the traces, in the order of the seeds."""

    seeds: int = 0
    events: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    stalled: int = 0
    halted: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[Verdict] = field(default_factory=list)
    _digest: xxhash.xxh3_64 = field(default_factory=xxhash.xxh3_64)

    def add(self, verdict: Verdict) -> None:
        """One more."""
        self.seeds += 1
        self.events += verdict.events
        self.acknowledged += verdict.acknowledged
        self.lost += verdict.lost
        self.doubled += verdict.doubled
        self.reordered += verdict.reordered
        self.stalled += verdict.stalled
        self.halted += bool(verdict.halted)
        self.faults.update(verdict.faults)
        if not verdict.good:
            self.failed.append(verdict)
        self._digest.update(verdict.digest.encode())

    @property
    def digest(self) -> str:
        """16 hex digits."""
        return str(self._digest.hexdigest())


def sweep(seeds: Sequence[int], jobs: int) -> Generator[Verdict]:
    """The verdicts in the order of the seeds. Close it to stop early."""
    if jobs == 1:
        yield from map(simulate, seeds)
        return
    command = [sys.executable, "-I", "-m", "flowc_engine.sim"]
    workers = []
    try:
        for job in range(jobs):
            own = " ".join(map(str, seeds[job::jobs]))
            workers.append(_start(command, own))
        for at in range(len(seeds)):
            out = workers[at % jobs].stdout
            assert out is not None
            line = out.readline()
            if not line:
                raise ChildProcessError(f"a process ended before seed {seeds[at]} was run")
            yield _decoder.decode(line)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _start(command: list[str], seeds: str) -> subprocess.Popen[bytes]:
    """A process that runs these seeds. Ctrl-C is not for it, but for who shows what there is."""
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert worker.stdin is not None
    worker.stdin.write(seeds.encode())
    worker.stdin.close()
    worker.stdin = None
    return worker


def read_seeds(file: Path) -> list[int]:
    """The seeds that a file keeps: one a line, `#` begins a comment.

    Raises `ValueError` for a line that is none, and `OSError`. A file that is not there keeps none.
    """
    if not file.exists():
        return []
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if text and not text.isdecimal():
            raise ValueError(f"{file}:{number}: {text!r} is no seed")
        if text:
            found.append(int(text))
    return found


def keep_seeds(file: Path, failed: Sequence[Verdict]) -> None:
    """Add seeds that failed to a file, each once, with what they broke."""
    known = set(read_seeds(file))
    with file.open("a", encoding="utf-8") as out:
        for verdict in failed:
            if verdict.seed not in known:
                out.write(f"{verdict.seed}  # {' '.join(verdict.violations[0].split())[:120]}\n")
