"""Runs workloads on the real engine and prints JSON: medians and spread of several runs.

    python bench/run.py                       # all of them, 3 runs each
    python bench/run.py W1 W3 --runs 5
    python bench/run.py W1 --n 200000 --runs 1

`bench/README.md` says what the workloads are. Needs nothing but the installed package.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from procs import machine
from workloads import WORKLOADS, Result

TOUCHED_MIB = 6_000


def summary(runs: list[Result]) -> dict[str, Any]:
    """Median, lowest and highest of each figure; `verified` only if every run is."""
    found: dict[str, Any] = {"verified": all(r["verified"] for r in runs), "runs": len(runs)}
    for name, value in runs[0].items():
        if isinstance(value, dict):
            found[name] = {
                key: statistics.median(r[name].get(key, 0) for r in runs) for key in value
            }
        elif not isinstance(value, bool):
            values = [r[name] for r in runs]
            found[name] = {
                "median": statistics.median(values), "min": min(values), "max": max(values),
            }  # fmt: skip
    return found


def touch_memory(mib: int) -> None:
    """Fill and drop page cache, so that no run pays for memory that was never touched."""
    with tempfile.TemporaryFile() as scratch:
        for _ in range(min(mib, psutil.virtual_memory().available // 2**21)):
            scratch.write(bytes(2**20))


def main() -> int:
    """The command line; 1 if a run lost or doubled an event."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", default=[], metavar="WORKLOAD",
                        help=f"of {' '.join(WORKLOADS)}; all by default")  # fmt: skip
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--n", type=int, help="events of a run, services of W6")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    parser.add_argument("--touch-mib", type=int, default=TOUCHED_MIB, help="see README.md")
    args = parser.parse_args()
    unknown = set(args.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"unknown workload {', '.join(sorted(unknown))}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a run cleans up
    touch_memory(args.touch_mib)
    found: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": machine(),
        "durability": "fdatasync before every acknowledgement",
        "workloads": {},
    }
    for name in args.workloads or WORKLOADS:
        run, events = WORKLOADS[name]
        runs = []
        for number in range(args.runs):
            print(f"{name} {number + 1}/{args.runs} …", file=sys.stderr, flush=True)
            runs.append(run(args.n or events))
        found["workloads"][name] = {"n": args.n or events, **summary(runs)}
        print(json.dumps(found["workloads"][name]), file=sys.stderr, flush=True)
    text = json.dumps(found, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    return 0 if all(w["verified"] for w in found["workloads"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
