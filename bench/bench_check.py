"""`flowc check` as a process: one file, and generated systems. Prints JSON.

python bench/bench_check.py [--runs N]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.generate import generate

FLOWC = Path(sys.executable).parent / "flowc"
SHOP = Path(__file__).resolve().parents[1] / "tests/golden/cases/shop/main.flow"
LIMITS_S = {"one_file": 0.25, "services_1000": 1.5}


def timed(main: Path, runs: int) -> dict[str, object]:
    """Wall time of the process, and what it answered; the first run warms the file cache."""
    times: list[float] = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        done = subprocess.run(
            [FLOWC, "check", main, "--output-format", "json"], capture_output=True, check=False
        )
        times.append(time.perf_counter() - start)
        assert done.returncode in {0, 1}, done.stderr
    kept = sorted(times[1:])
    return {
        "median_s": round(median(kept), 4),
        "min_s": round(kept[0], 4),
        "max_s": round(kept[-1], 4),
        "runs": runs,
        "exit_code": done.returncode,
        "summary": json.loads(done.stdout)["summary"],
    }


def write(root: Path, services: int, files: int, rings: int = 0) -> Path:
    for path, text in generate(services, files, seed=1, rings=rings).items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return root / "main.flow"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=7)
    runs = max(parser.parse_args().runs, 5)
    with tempfile.TemporaryDirectory() as folder:
        results = {
            "one_file": timed(SHOP, runs),
            "services_100": timed(write(Path(folder) / "a", 100, 5), runs),
            "services_1000": timed(write(Path(folder) / "b", 1000, 20), runs),
            "services_1000_with_50_cycles": timed(write(Path(folder) / "d", 900, 20, 50), runs),
            "services_1000_one_file": timed(write(Path(folder) / "c", 1000, 1), runs),
        }
    packages = ("lark", "networkx", "click")
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
                "results": results,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
