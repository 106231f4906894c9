"""The workloads: each is a program, its deployment, and how it is measured. One call is one run."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from orders import qty_sum
from procs import Noise, private_kib, status_kib
from system import BenchError, System

Result = dict[str, Any]

FIELDS = "{ order_id: string customer: string amount: float qty: int note: string }"
ORDER = f"external event OrderPlaced key order_id {FIELDS}\n"
PACE_PER_S, PACE_SECONDS, PACE_DROPPED_S = 500, 20, 2
FANOUT, IDLE = 8, 50
REPLICAS, ROUNDS = 4, 3_000  # some 200 µs of Python


def source(function: str, event: str = "OrderPlaced") -> str:
    """The deployment of one source."""
    return f'[sources.Orders]\npython = "{function}"\nemits = ["{event}"]\n'


def service(name: str, target: str | None = None, on: str = "OrderPlaced") -> str:
    """A service that reads, and has no memory to rebuild."""
    return f'service {name} {{ run python "{target or f"work:{name}"}" stateless on {on} }}\n'


def program(*services: str) -> str:
    """A whole `.flow` file."""
    return "system Bench\n" + ORDER + "".join(services)


# ---- throughput


def stream(flow: str, names: list[str], events: int, function: str, deliveries: int = 1) -> Result:
    """From the first publish until the last step is acknowledged; all sides live."""
    with System(flow, source(function), {"events": events}) as system:
        system.start()
        system.wait_ready(len(names))
        noise = Noise()
        system.usage.begin()
        (system.folder / "go").touch()
        system.wait_idle(1)
        ended = time.monotonic_ns()
        cpu = system.usage.us_per_event(events)
        others = noise.share(sum(cpu.values()) * events / 1e6)
        system.wait("loaded", lambda s: s.applied == s.offset, 120)
        loaded = time.monotonic_ns()
        memory = {
            "broker": status_kib(system.usage.pids("broker")[0], "VmHWM") // 1024,
            "log": status_kib(system.usage.pids("log")[0], "VmHWM") // 1024,
        }
        system.stop()
        reports = system.read_reports()
    begun = reports["source"]["begun_ns"]
    seconds = (ended - begun) / 1e9
    return {
        "events_per_s": round(events * deliveries / seconds),
        "seconds": round(seconds, 3),
        "in_duckdb_s": round((loaded - begun) / 1e9, 3),
        "verified": all(tally_is(reports, name, events) for name in names),
        "cpu_us_per_event": cpu,
        "peak_mib": memory,
        "others_share": others,
    }


def tally_is(reports: dict[str, dict[str, Any]], name: str, events: int) -> bool:
    """Whether a service handled each event once."""
    found = reports.get(name, {})
    return found.get("count") == events and found.get("qty") == qty_sum(events)


def w1(events: int) -> Result:
    """One source, one service, a Python handler an event."""
    return stream(program(service("Count")), ["Count"], events, "feed:single")


def w1b(events: int) -> Result:
    """One source of Arrow batches, one service with a batch handler."""
    return stream(program(service("CountBatch")), ["CountBatch"], events, "feed:batches")


def w3(events: int) -> Result:
    """A source and three services in a row, each with a Python handler an event."""
    flow = program(
        f"event PaymentTaken key order_id {FIELDS}\n",
        f"event OrderShipped key order_id {FIELDS}\n",
        service("Pay", "stages:Pay", on="OrderPlaced -> PaymentTaken"),
        service("Ship", "stages:Ship", on="PaymentTaken -> OrderShipped"),
        service("Notify", "stages:Notify", on="OrderShipped"),
    )
    return stream(flow, ["Pay", "Ship", "Notify"], events, "feed:single")


def w4(events: int) -> Result:
    """One source, eight services that each get every event; deliveries per second."""
    names = [f"Count{i}" for i in range(FANOUT)]
    return stream(program(*map(service, names)), names, events, "feed:single", deliveries=FANOUT)


# ---- backlog


def w5(events: int) -> Result:
    """A backlog is written while the service does not exist; then it catches up."""
    with System(program(), source("feed:batches"), {"events": events}) as system:
        written = write_backlog(system)
        system.write(program(service("Count")), source("feed:batches"))
        system.start()
        noise = Noise()
        system.usage.begin()
        system.wait("caught up", lambda s: s.slots[0].cursor >= events, 180)
        ended = time.monotonic_ns()
        cpu = system.usage.us_per_event(events)
        peak = status_kib(system.usage.pids("broker")[0], "VmHWM") // 1024
        system.stop()
        reports = system.read_reports()
    seconds = (ended - reports["Count"]["begun_ns"]) / 1e9
    return {
        "events_per_s": round(events / seconds),
        "seconds": round(seconds, 3),
        "written_per_s": round(events / written["seconds"]),
        "verified": tally_is(reports, "Count", events),
        "cpu_us_per_event": cpu,
        "peak_mib": {"broker": peak, "broker_writing": written["broker_mib"]},
        "others_share": noise.share(sum(cpu.values()) * events / 1e6),
    }


def write_backlog(system: System) -> dict[str, float]:
    """Publish, with nobody who reads."""
    system.start()
    system.wait("up", lambda _: True, 30)
    (system.folder / "go").touch()
    system.wait_idle(1)
    ended = time.monotonic_ns()
    peak = status_kib(system.usage.pids("broker")[0], "VmHWM") // 1024
    system.stop()
    begun = system.read_reports()["source"]["begun_ns"]
    return {"seconds": (ended - begun) / 1e9, "broker_mib": peak}


# ---- latency


def w2(events: int) -> Result:
    """Paced, one at a time: ms from just before the publish to the handler."""
    seconds = max(3, events // PACE_PER_S)
    flow = (
        "system Bench\nexternal event TickSent key order_id "
        "{ order_id: string sent_ns: int note: string }\n" + service("Stopwatch", on="TickSent")
    )
    config = {"events": seconds * PACE_PER_S, "per_s": PACE_PER_S}
    with System(flow, source("ticks:paced", "TickSent"), config) as system:
        system.start()
        system.wait_ready(1)
        noise = Noise()
        system.usage.begin()
        (system.folder / "go").touch()
        time.sleep(seconds)  # nobody asks meanwhile: each answer is in some event's way
        system.wait_idle(1, 30)
        cpu = system.usage.us_per_event(config["events"])
        system.stop()
        found = system.read_reports()["Stopwatch"]
    first = found["sent_ns"][0] + PACE_DROPPED_S * 1_000_000_000
    kept = [ns / 1e6 for ns, at in zip(found["ns"], found["sent_ns"], strict=True) if at >= first]
    return {
        **{f"p{p:g}_ms": round(percentile(kept, p), 3) for p in (50, 90, 99, 99.9)},
        "max_ms": round(max(kept), 3),
        "verified": len(found["ns"]) == config["events"],
        "cpu_us_per_event": cpu,
        "others_share": noise.share(sum(cpu.values()) * config["events"] / 1e6),
    }


def percentile(values: list[float], percent: float) -> float:
    """Of values in any order, nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


# ---- size, and getting up again


def w6(services: int) -> Result:
    """Services that wait: seconds until all are ready, and what one holds."""
    flow = program(*(service(f"Idle{i}", "work:Idle") for i in range(services)))
    with System(flow, "", {"events": 0}) as system:
        begun = system.start()
        system.wait_ready(services, 120)
        seconds = (time.monotonic_ns() - begun) / 1e9
        time.sleep(1)
        private = [private_kib(pid) / 1024 for pid in system.usage.pids("service-")]
        broker = status_kib(system.usage.pids("broker")[0], "VmRSS") / 1024
        if len(private) != services:
            raise BenchError(f"{len(private)} service processes of {services} found")
    return {
        "ready_s": round(seconds, 2),
        "private_mib_median": round(statistics.median(private), 1),
        "private_mib_max": round(max(private), 1),
        "broker_rss_mib": round(broker, 1),
        "verified": True,
    }


def recover(events: int) -> Result:
    """The broker is killed under load: ms until the next delivery, and nothing lost or doubled."""
    with System(program(service("Gap")), source("feed:single"), {"events": events}) as system:
        system.start()
        system.wait_ready(1)
        (system.folder / "go").touch()
        half = system.wait("half way", lambda s: s.offset >= events // 2, 60)
        killed = time.monotonic_ns()
        os.kill(system.usage.pids("broker")[0], signal.SIGKILL)
        system.wait("up again", lambda s: s.offset >= half.offset, 60)
        up = time.monotonic_ns()
        system.wait_idle(1)
        system.stop()
        reports = system.read_reports()
    after = next(t for t, before in outages(reports["Gap"]["times"]) if t > killed)
    return {
        "broker_up_ms": round((up - killed) / 1e6),
        "first_delivery_ms": round((after - killed) / 1e6),
        "verified": tally_is(reports, "Gap", events),
    }


def outages(times: list[int]) -> list[tuple[int, int]]:
    """(end, begin) of each pause of over 20 ms between deliveries."""
    return [(end, begin) for begin, end in pairwise(times) if end - begin > 20_000_000]


# ---- replicas


def replicas(events: int) -> Result:
    """A handler that computes: a backlog by four replicas, against one; between the first and the
    last tenth, so that starts don't count."""
    one, four = grind(events, 1), grind(events, REPLICAS)
    return {
        "ratio": round(four["events_per_s"] / one["events_per_s"], 2),
        "one_per_s": one["events_per_s"],
        "four_per_s": four["events_per_s"],
        "verified": one["verified"] and four["verified"],
        "others_share": max(one["others_share"], four["others_share"]),
        "cpu_us_one": one["cpu_us_per_event"],
        "cpu_us_four": four["cpu_us_per_event"],
    }


def grind(events: int, count: int) -> Result:
    """From a tenth of the events to nine tenths."""
    flow = program(service("Grind").replace("stateless", f"replicas {count} stateless"))
    config = {"events": events, "rounds": ROUNDS}

    def handled(status: Any) -> int:
        return sum(slot.handled for slot in status.slots)

    with System(flow, source("feed:batches"), config) as system:
        system.start()
        system.wait_ready(count)
        (system.folder / "go").touch()
        first = system.wait("begun", lambda s: handled(s) >= events // 10, 120)
        begun, noise = time.monotonic(), Noise()
        system.usage.begin()
        last = system.wait("nearly done", lambda s: handled(s) >= events * 9 // 10, 300)
        seconds = time.monotonic() - begun
        done = handled(last) - handled(first)
        cpu = system.usage.us_per_event(done)
        others = noise.share(sum(cpu.values()) * done / 1e6)
        system.wait_idle(1)
        system.stop()
        reports = [r for name, r in system.read_reports().items() if name.startswith("Grind-")]
    sums = [sum(r[field] for r in reports) for field in ("count", "qty")]
    return {
        "events_per_s": round(done / seconds),
        "verified": sums == [events, qty_sum(events)],
        "cpu_us_per_event": cpu,
        "others_share": others,
    }


WORKLOADS: dict[str, tuple[Callable[[int], Result], int]] = {
    "W1": (w1, 1_000_000),
    "W1b": (w1b, 2_000_000),
    "W2": (w2, PACE_PER_S * PACE_SECONDS),
    "W3": (w3, 300_000),
    "W4": (w4, 200_000),
    "W5": (w5, 500_000),
    "W6": (w6, IDLE),
    "backlog": (w5, 5_000_000),
    "recover": (recover, 600_000),
    "replicas": (replicas, 40_000),
}
"""A workload's function and what it is called with: events, or services for W6."""
