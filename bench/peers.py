"""The same workloads on flowc and on the peers that flush before they acknowledge, side by side.

    python bench/peers.py                         # W1 to W5, 3 runs of each row
    python bench/peers.py W2 --runs 5
    python bench/peers.py W1 --only 'nats|kafka' --scale 0.2

Each run goes through all rows of a workload, one after the other, so that all see the same weather.
A row is a system and its setting; its durability is printed with it. Needs the folder of the peers'
scripts (`--peers`), and a Python that has their `requirements.txt` (`--python`, or one is made in
`build/peers-venv`). A peer whose server is not installed is skipped, and named: the README of the
scripts says what each wants.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from procs import machine
from rich.console import Console
from rich.table import Table
from workloads import WORKLOADS

from run import touch_memory

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "peers"
VENV = ROOT / "build" / "peers-venv"
COMPARED = ("W1", "W1b", "W2", "W3", "W4", "W5")
FLUSHED = ("always", "flush1", "quorum")  # settings that flush before they acknowledge begin so
FIGURES = {"W2": ("p50_ms", "p99_ms")}
RATE = ("events_per_s",)
RUN_S_MAX = 300


class Row(NamedTuple):
    """A system under test. `script` is "" for flowc."""

    script: str
    workload: str
    config: str
    n: int

    @property
    def name(self) -> str:
        """For the table."""
        return f"{Path(self.script).stem.removeprefix('peer_')} {self.config}".strip()


def planned(peers: Path, workload: str, only: str, scale: float) -> list[Row]:
    """flowc's row, and those of the peers' own plan that are as durable."""
    spec = importlib.util.spec_from_file_location("peers_plan", peers / "plan.py")
    assert spec is not None
    assert spec.loader is not None
    plan = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plan)
    rows = [Row("", workload, "flowc", _scaled(WORKLOADS[workload][1], scale))]
    for script, of, config, n in plan.CORE:
        durable = config.startswith(FLUSHED) or "-always" in config
        if of == workload and durable and "1by1" not in config:
            row = Row(script, of, config, _scaled(n, scale))
            rows += [row] if re.search(only, row.name) else []
    return rows


def _scaled(n: int, scale: float) -> int:
    return max(1_000, int(n * scale)) if n else 0


def run_ours(row: Row) -> dict[str, Any]:
    """One run on the real engine."""
    found = WORKLOADS[row.workload][0](row.n)
    return {**found, "durability": "fdatasync before ack, exactly once"}


def run_peer(row: Row, peers: Path, python: str) -> dict[str, Any]:
    """One run of a peer's script: its last line is JSON."""
    command = [python, str(peers / row.script), row.workload, "--config", row.config]
    command += ["--n", str(row.n or 1_000)]
    try:
        done = subprocess.run(
            command, cwd=peers, capture_output=True, text=True, timeout=RUN_S_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return {"skipped": f"not done in {RUN_S_MAX} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return {"skipped": last[-200:]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def summary(row: Row, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Median and spread of a row's figures."""
    good = [r for r in runs if "skipped" not in r]
    head = {"system": row.name, "n": row.n, "runs": len(good)}
    if not good:
        return {**head, "skipped": runs[0]["skipped"]}
    figures = {
        name: {
            "median": statistics.median(r[name] for r in good),
            "min": min(r[name] for r in good),
            "max": max(r[name] for r in good),
        }
        for name in FIGURES.get(row.workload, RATE)
    }
    durable, sound = good[0]["durability"], all(r.get("verified") for r in good)
    return {**head, "durability": durable, "verified": sound, **figures}


def compared(workload: str, rows: list[Row], args: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows of a workload, `--runs` times, in turns; with ratios to flowc's medians."""
    runs: dict[Row, list[dict[str, Any]]] = {row: [] for row in rows}
    for number in range(args.runs):
        for row in rows:
            if any("skipped" in r for r in runs[row]):
                continue
            print(f"{workload} {number + 1}/{args.runs} {row.name} …", file=sys.stderr, flush=True)
            one = run_peer(row, args.peers, args.python) if row.script else run_ours(row)
            runs[row].append(one)
    found = [summary(row, done) for row, done in runs.items()]
    ours = found[0]
    for other in found[1:]:
        for name in FIGURES.get(workload, RATE):
            if name in other:
                ratio = ours[name]["median"] / other[name]["median"]
                other[f"flowc_to_it_{name}"] = round(ratio, 2)
    return found


def table(workload: str, found: list[dict[str, Any]]) -> Table:
    """For people; on stderr."""
    names = FIGURES.get(workload, RATE)
    shown = Table(title=workload)
    for title in ("system", *names, *(f"flowc : it, {n}" for n in names), "durability"):
        shown.add_column(title)
    for row in found:
        if "skipped" in row:
            shown.add_row(row["system"], *[""] * 2 * len(names), f"skipped: {row['skipped']}")
            continue
        cells = [f"{row[n]['median']:,.{2 if n.endswith('ms') else 0}f}" for n in names]
        cells += [str(row.get(f"flowc_to_it_{n}", "")) for n in names]
        shown.add_row(row["system"], *cells, row["durability"])
    return shown


def python_of_peers(peers: Path) -> str:
    """A virtual environment with what the peers' scripts import."""
    python = VENV / "bin" / "python"
    if not python.exists():
        print(f"making {VENV} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=True)
        wanted = ["install", "--quiet", "-r", str(peers / "requirements.txt")]
        base = getattr(sys, "_base_executable", sys.executable)
        subprocess.run([base, "-m", "pip", "--python", str(python), *wanted], check=True)
    return str(python)


def main() -> int:
    """The command line; 1 if a run of flowc's lost or doubled an event."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {COMPARED}")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="a regular expression over the peers' names")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of events")
    parser.add_argument("--peers", type=Path, default=SHARED, help="the folder of their scripts")
    parser.add_argument("--python", default="", help="a Python with their requirements")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    args = parser.parse_args()
    unknown = set(args.workloads) - set(COMPARED)
    if unknown:
        parser.error(f"unknown workload {', '.join(sorted(unknown))}")
    if not (args.peers / "plan.py").is_file():
        parser.error(f"{args.peers} has no plan.py; name the folder of the scripts with --peers")
    args.python = args.python or python_of_peers(args.peers)

    touch_memory(2_000)
    report: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": machine(), "workloads": {},
    }  # fmt: skip
    console = Console(stderr=True, width=150)
    for workload in args.workloads or COMPARED:
        rows = planned(args.peers, workload, args.only, args.scale)
        found = compared(workload, rows, args)
        report["workloads"][workload] = found
        console.print(table(workload, found))
    text = json.dumps(report, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    return 0 if all(found[0]["verified"] for found in report["workloads"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
