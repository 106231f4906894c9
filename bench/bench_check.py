"""`flowc check` as a process, and an edit in an editor, on systems of any size. Prints JSON.

    python bench/bench_check.py [--runs N] [--large]

A process is timed from its start to its end, its answer read through a pipe, in the default format.
The system has 10 services a file: imports, contexts, several handlers a service, stores, laws,
tests, some rings and some findings (`tests/support/realistic.py`).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from flowc_dsl.session import Session
from support.realistic import realistic

FLOWC = Path(sys.executable).parent / "flowc"
SHOP = Path(__file__).resolve().parents[1] / "tests/golden/cases/shop/main.flow"
LIMITS_S = {
    "one_file": 0.25,
    "services_1000_cold": 1.0,
    "services_1000_one_file_changed": 0.3,
    "services_1000_edit_in_session": 0.1,
    "services_1000_edit_faults_of_text": 0.1,
    "services_10000_cold": 10.0,
}
LIMITS_MIB = {"services_10000_cold": 1024}


def check(main: Path, *more: str) -> float:
    """Seconds that the process took."""
    start = time.perf_counter()
    done = subprocess.run([FLOWC, "check", main, *more], capture_output=True, check=False)
    took = time.perf_counter() - start
    assert done.returncode in {0, 1}, done.stderr
    return took


def measured(runs: int, once: Callable[[], float]) -> dict[str, Any]:
    """The first is not counted: it warms the system's file cache."""
    once()
    times, cpu = [], []
    for _ in range(runs):
        before = _cpu_s()
        times.append(once())
        cpu.append(_cpu_s() - before)
    times.sort()
    return {
        "median_s": round(median(times), 4),
        "min_s": round(times[0], 4),
        "max_s": round(times[-1], 4),
        "cpu_s": round(median(cpu), 4),
        "runs": runs,
    }


def _cpu_s() -> float:
    """Of this process and of those that it has waited for; on a busy machine it tells more."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def write(root: Path, services: int) -> Path:
    for path, text in realistic(services, seed=1).items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return root / "main.flow"


def changed(text: str, number: int) -> str:
    """What a developer does: another event, which a service emits."""
    event = f"Extra{number}Happened"
    return (
        text.replace(" -> Step", f" -> {event} | Step", 1)
        + f"event {event} key order_id {{ order_id: uuid  line: Line }}\n"
    )


def of_thousand(folder: Path, runs: int) -> dict[str, Any]:
    main = write(folder, 1000)
    area = folder / "contexts/area50.flow"
    text = area.read_text(encoding="utf-8")
    number = 0

    def after_a_change() -> float:
        nonlocal number
        number += 1
        area.write_text(changed(text, number), encoding="utf-8")
        return check(main)

    return {
        "services_1000_cold": measured(runs, lambda: check(main, "--no-cache")),
        "services_1000_one_file_changed": measured(runs, after_a_change),
        "services_1000_nothing_changed": measured(runs, lambda: check(main)),
        "services_1000_edit_in_session": measured(runs, editing(rules=True)),
        "services_1000_edit_faults_of_text": measured(runs, editing(rules=False)),
    }


def editing(*, rules: bool) -> Callable[[], float]:
    files = realistic(1000, seed=1)
    path = "contexts/area50.flow"
    session = Session("main.flow", files)
    session.report(date(2026, 1, 1))
    gc.freeze()  # as a server would: what is kept is not looked at again by the collector
    number = 0

    def edit() -> float:
        nonlocal number
        number += 1
        text = changed(files[path], number)
        start = time.perf_counter()
        session.update(path, text)
        session.report(date(2026, 1, 1)) if rules else session.faults()
        return time.perf_counter() - start

    return edit


def of_ten_thousand(folder: Path) -> dict[str, Any]:
    main = write(folder, 10_000)
    found = measured(3, lambda: check(main, "--no-cache"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # KiB, of the largest so far
    return {"services_10000_cold": {**found, "peak_mib": round(peak / 1024)}}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--large", action="store_true", help="10,000 services, too")
    args = parser.parse_args()
    runs = max(args.runs, 3)
    with tempfile.TemporaryDirectory() as folder:
        results = {"one_file": measured(runs, lambda: check(SHOP))}
        results |= of_thousand(Path(folder) / "thousand", runs)
        if args.large:
            results |= of_ten_thousand(Path(folder) / "ten")
    packages = ("lark", "networkx", "click", "msgspec")
    print(
        json.dumps(
            {
                "benchmark": "check",
                "machine": {
                    "cpus": os.cpu_count(),
                    "arch": platform.machine(),
                    "system": platform.release(),
                    "load_1m": round(os.getloadavg()[0], 2),
                },
                "versions": {
                    "python": platform.python_version(),
                    **{name: version(name) for name in packages},
                },
                "limits_s": LIMITS_S,
                "limits_mib": LIMITS_MIB,
                "results": results,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
