"""The services of the workloads. Each handler counts its events and sums a field, so that a loss or
a double shows."""

from __future__ import annotations

import atexit
import json
import os
import time
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

import flowc

CONFIG: dict[str, Any] = json.loads(Path(__file__).with_name("bench.json").read_text())
EVENTS: int = CONFIG["events"]


def report(name: str, **values: object) -> None:
    """Leave a result for the harness."""
    path = Path(CONFIG["reports"]) / f"{name}.json"
    path.with_suffix(".tmp").write_text(json.dumps(values))
    path.with_suffix(".tmp").rename(path)


def wait_for_go() -> None:
    """Until all services are ready, as the harness sees it; notes when a source begins."""
    go = Path(__file__).with_name("go")
    while not go.exists():
        time.sleep(0.002)
    report("source", begun_ns=time.monotonic_ns())


class Tally:
    """Counts and sums; reports when the process ends."""

    def __init__(self) -> None:
        self.count = self.qty = 0
        self.begun_ns = time.monotonic_ns()  # before it is connected
        atexit.register(self.report)

    def report(self) -> None:
        """What came."""
        report(type(self).__name__, count=self.count, qty=self.qty, begun_ns=self.begun_ns)


class Count(Tally):
    """W1, W4, W5: a call an event."""

    def on_order_placed(self, event: Any) -> None:
        self.count += 1
        self.qty += event.qty


class CountBatch(Tally):
    """W1b: a call a batch."""

    def on_order_placed(self, batch: flowc.Batch) -> None:
        self.count += len(batch)
        self.qty += pc.sum(batch["qty"]).as_py()


class Stopwatch(Tally):
    """W2: when each event reached its handler."""

    def __init__(self) -> None:
        self.times: list[tuple[int, int]] = []
        super().__init__()

    def on_tick_sent(self, event: Any) -> None:
        self.times.append((time.monotonic_ns(), event.sent_ns))

    def report(self) -> None:
        """ns from publish to handler, in order."""
        report(
            "Stopwatch",
            first_ns=[sent for _, sent in self.times[:1]],
            sent_ns=[s for _, s in self.times],
            ns=[at - sent for at, sent in self.times],
        )


class Gap(Tally):
    """recover: when events came, to the ms."""

    def __init__(self) -> None:
        self.times: list[int] = []
        super().__init__()

    def on_order_placed(self, event: Any) -> None:
        self.count += 1
        self.qty += event.qty
        now = time.monotonic_ns()
        if not self.times or now - self.times[-1] > 1_000_000:
            self.times.append(now)

    def report(self) -> None:
        """As `Tally`, and the times."""
        report("Gap", count=self.count, qty=self.qty, times=self.times)


class Grind(Tally):
    """replicas: some 200 µs of computing an event. Each replica reports for itself."""

    def on_order_placed(self, event: Any) -> None:
        self.count += 1
        self.qty += event.qty
        value = self.qty
        for _ in range(CONFIG["rounds"]):
            value = (value * 1_103_515_245 + 12_345) & 0x7FFFFFFF

    def report(self) -> None:
        """As `Tally`, by process."""
        report(f"Grind-{os.getpid()}", count=self.count, qty=self.qty)


class Idle:
    """W6: waits."""

    def on_order_placed(self, event: Any) -> None:
        pass


for _i in range(8):
    globals()[f"Count{_i}"] = type(f"Count{_i}", (Count,), {})
