"""A source process that writes down each acknowledgement it hears: `SEQ MONOTONIC_NS`, a line each.

    python acked_source.py ENDPOINT PLAN FOLDER PER_S [COUNT]

Publishes `Placed` events `n` = 0, 1, … of seven keys, until COUNT or until FOLDER/stop is there.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import count, islice
from pathlib import Path

from flowc.classes import use_plan
from flowc.publisher import Publisher
from flowc_dsl.plan import Plan

BURST_S = 0.004


class Recording(Publisher):
    def __init__(self, acks: int, *args) -> None:
        self._acks = acks
        super().__init__(*args)

    def _acknowledged(self, seq: int) -> None:
        os.write(self._acks, b"%d %d\n" % (seq, time.monotonic_ns()))
        super()._acknowledged(seq)


def main() -> None:
    endpoint, plan_file, folder, per_s, *most = sys.argv[1:]
    classes = use_plan(Plan.from_json(Path(plan_file).read_text()))
    placed = classes.made("Placed")
    acks = os.open(Path(folder, "acks"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    burst = max(1, int(int(per_s) * BURST_S))
    with Recording(acks, endpoint, classes.plan, "feed") as publisher:
        start = publisher.open().seq
        for n in islice(count(), start, int(most[0]) if most else None):
            publisher.publish(placed(k=f"k{n % 7}", n=n))
            if n % burst == 0:
                time.sleep(BURST_S)
                if Path(folder, "stop").exists():
                    break
        publisher.finish()


if __name__ == "__main__":
    main()
