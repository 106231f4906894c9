"""The bus alone: broker, journal and wire, with clients that do nothing per event.

What is left of a workload's time above this is the SDK's. One process publishes bodies that were
made beforehand, one steps through them; the broker is the real one.

    python bench/bus.py [--events N] [--rows ROWS_PER_BATCH] [--log] [--tcp]
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from orders import columns
from procs import cpu_seconds, status_kib

from flowc_dsl.plan import EventPlan, FieldPlan, HandlerPlan, Plan, ServicePlan, TypePlan
from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.bus.curve import Credentials
from flowc_engine.core.access import Principal
from flowc_engine.keys import KeyRing, read_key
from flowc_engine.schema import wire_schema
from flowc_engine.state import StateDir, broker_endpoint, query_endpoint
from flowc_engine.supervisor.compat import adopt_plan

T = TypeVar("T")
LIMIT_S = 20
HERE = Path(__file__).parent
PARTIES = {"gen": Principal("source", "gen"), "Count": Principal("service", "Count")}


def plan() -> Plan:
    """One source, one service."""
    kinds = {"order_id": "string", "customer": "string", "amount": "float", "qty": "int"}
    fields = [FieldPlan(name, TypePlan(kind)) for name, kind in {**kinds, "note": "string"}.items()]
    order = EventPlan("OrderPlaced", "event", 1, "order_id", tuple(fields), external=True)
    handler = HandlerPlan(("OrderPlaced",))
    return Plan("Bus", (order,), (ServicePlan("Count", "python", "count", (handler,)),), {}, {})


def body(start: int, rows: int) -> bytes:
    """A body as a source makes it."""
    values = [*columns(start, rows).values()]
    values += [[0] * rows, [None] * rows, [None] * rows, [0] * rows]
    schema = wire_schema(plan(), "OrderPlaced")
    arrays = [
        v if isinstance(v, pa.Array) else pa.array(v, f.type)
        for v, f in zip(values, schema, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema).serialize().to_pybytes()


def credentials(key: str | None, name: str) -> Credentials | None:
    """The key of a party, in the folder `key`."""
    if key is None:
        return None
    return read_key(Path(key, f"{name}.key")).credentials("Bus", PARTIES[name], Path(key))


def publish(endpoint: str, events: int, rows: int, key: str | None) -> None:
    """The source: a window of bytes and messages, as the SDK's."""
    bodies = [body(i * rows, rows) for i in range(16)]
    hello = wire.Hello("source", "gen", 0, "a", plan().hash, 1)
    client = Client(endpoint, hello, credentials(key, "gen"))
    opened = expect(client, wire.Opened)
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, begun = time.process_time(), time.monotonic_ns()
    sent = acked = 0
    window = min(limits.SOURCE_WINDOW_MESSAGES_MAX * rows, limits.SOURCE_WINDOW_BYTES_MAX // 220)
    batches = [wire.Batch("OrderPlaced", rows)]
    while acked < events:
        while sent < events and sent - acked + rows <= max(window, rows):
            client.send(
                wire.Publish("gen", opened.epoch, sent, batches), [bodies[sent // rows % 16]]
            )
            sent += rows
        got = client.receive(1000)
        if got is not None and isinstance(got[0], wire.Published):
            acked = got[0].seq
    client.send(wire.SourceDone("gen", opened.epoch, sent))
    expect(client, wire.Opened)
    report(begun, cpu, sent)
    client.close()


def consume(endpoint: str, events: int, key: str | None) -> None:
    """The service: a step a delivery."""
    hello = wire.Hello("service", "Count", 0, "b", plan().hash, 2)
    client = Client(endpoint, hello, credentials(key, "Count"))
    assign = expect(client, wire.Assign)
    epoch = assign.epoch
    client.send(wire.Resume("Count", 0, epoch, replay=False))
    print("ready", flush=True)
    cpu, begun = time.process_time(), time.monotonic_ns()
    seen = cursor = number = 0
    while cursor < events:
        got = client.receive(1000)
        match got and got[0]:
            case wire.Deliver() as deliver:
                for batch in deliver.batches:
                    seen += batch.rows
                span = (deliver.begin, deliver.end)
                client.send(wire.Step("Count", 0, epoch, *span, handled=seen, number=number))
                number += 1
            case wire.Stepped() as stepped:
                cursor = stepped.cursor
    report(begun, cpu, seen)
    client.close()


def expect(client: Client, kind: type[T]) -> T:
    """The next message of a kind. Raises `TimeoutError`."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        got = client.receive(1000)
        if got is not None and isinstance(got[0], kind):
            return got[0]
    raise TimeoutError(f"no {kind.__name__} in {LIMIT_S} s")


def report(begun: int, cpu: float, events: int) -> None:
    """For the parent."""
    now = time.monotonic_ns()
    used = time.process_time() - cpu
    print(json.dumps({"begun": begun, "ended": now, "cpu_s": used, "events": events}), flush=True)


def open_tcp(state: StateDir, folder: str) -> str:
    """Keys for all, in `folder`; an endpoint for the broker comes back."""
    ring = KeyRing(state.keys, "Bus")
    ring.init(PARTIES.values())
    for name, who in PARTIES.items():
        ring.export(who, Path(folder, f"{name}.key"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def measure(events: int, rows: int, *, log: bool, tcp: bool) -> dict[str, object]:
    """One run."""
    with tempfile.TemporaryDirectory(prefix="flowc-bench-") as folder:
        state = StateDir(Path(folder), "Bus")
        state.create()
        adopt_plan(state, plan())
        sockets = state.make_sockets()
        endpoint = broker_endpoint(sockets)
        meet, options, keys = endpoint, [], []
        if tcp:
            meet = open_tcp(state, folder)
            options, keys = ["--tcp", meet], ["--key", folder]
        common = ("--state", str(state.path), "--plan", str(state.plan_file))
        broker = spawn("-m", "flowc_engine.broker", *common, "--listen", endpoint, *options)
        ready(broker)
        loader = None
        if log:
            addresses = ("--broker", endpoint, "--query", query_endpoint(sockets))
            loader = spawn("-m", "flowc_engine.log", *common, *addresses)
            ready(loader)
        source = spawn(
            str(HERE / "bus.py"),
            *keys,
            "--publish",
            meet,
            "--events",
            str(events),
            "--rows",
            str(rows),
        )
        consuming = ("--consume", meet, "--events", str(events))
        service = spawn(str(HERE / "bus.py"), *keys, *consuming)
        ready(source)
        ready(service)
        cpu = cpu_seconds(broker.pid)
        log_cpu = cpu_seconds(loader.pid) if loader else 0.0
        source.stdin.write("go\n")
        source.stdin.flush()
        published = json.loads(source.stdout.readline())
        consumed = json.loads(service.stdout.readline())
        broker_us = (cpu_seconds(broker.pid) - cpu) * 1e6 / events
        loaded: dict[str, float] = {}
        if loader:
            applied = wait_loaded(endpoint, events)
            loaded = {
                "in_duckdb_s": round((applied - published["begun"]) / 1e9, 3),
                "log_us_per_event": round((cpu_seconds(loader.pid) - log_cpu) * 1e6 / events, 3),
                "log_peak_mib": status_kib(loader.pid, "VmHWM") // 1024,
            }
            loader.terminate()
            loader.wait(30)
        broker.terminate()
        for process in (source, service, broker):
            process.wait(10)
    seconds = (max(consumed["ended"], published["ended"]) - published["begun"]) / 1e9
    return {
        "events_per_s": round(events / seconds),
        "seconds": round(seconds, 3),
        **loaded,
        "verified": published["events"] == consumed["events"] == events,
        "cpu_us_per_event": {
            "broker": round(broker_us, 3),
            "source": round(published["cpu_s"] * 1e6 / events, 3),
            "service": round(consumed["cpu_s"] * 1e6 / events, 3),
        },
    }


def wait_loaded(endpoint: str, events: int) -> int:
    """Until the log has applied all; when that was, in ns. Raises `TimeoutError`."""
    until = time.monotonic() + LIMIT_S
    with Client(endpoint, wire.Hello("control", "bench", 0, "c", "", 3)) as client:
        while time.monotonic() < until:
            client.send(wire.StatusRequest())
            if expect(client, wire.Status).applied >= events:
                return time.monotonic_ns()
            time.sleep(0.01)
    raise TimeoutError(f"DuckDB has not loaded all in {LIMIT_S} s")


def spawn(*args: str) -> subprocess.Popen[str]:
    """A Python process of ours."""
    return subprocess.Popen(
        [sys.executable, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ready(process: subprocess.Popen[str]) -> None:
    """Wait for its word."""
    line = process.stdout.readline().strip()
    assert line == "ready", line


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--log", action="store_true", help="with DuckDB loading")
    parser.add_argument("--tcp", action="store_true", help="over TCP with keys (CURVE)")
    parser.add_argument("--key", help=argparse.SUPPRESS)
    parser.add_argument("--publish", help=argparse.SUPPRESS)
    parser.add_argument("--consume", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.publish:
        publish(args.publish, args.events, args.rows, args.key)
    elif args.consume:
        consume(args.consume, args.events, args.key)
    else:
        print(json.dumps(measure(args.events, args.rows, log=args.log, tcp=args.tcp), indent=2))


if __name__ == "__main__":
    main()
