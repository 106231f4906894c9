"""One of the processes of a sweep: seeds on stdin, a verdict a line on stdout, as JSON."""

from __future__ import annotations

import sys

import msgspec

from flowc_engine.process import die_with_parent, starter
from flowc_engine.sim.oracle import simulate


def main() -> None:
    """Run the seeds in their order."""
    die_with_parent(starter())
    for seed in map(int, sys.stdin.read().split()):
        sys.stdout.buffer.write(msgspec.json.encode(simulate(seed)) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
