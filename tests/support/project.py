"""A project in a folder: a broker, service processes with code of the test's, what they made."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from flowc_dsl.plan import Plan
from flowc_engine.bus import wire
from flowc_engine.journal.reader import JournalReader, Read
from flowc_engine.schema import wire_schema
from support.broker import DEADLINE_S, BrokerProcess, expect, wait_for


class Project:
    """`code` is written to modules of these names; `start` starts replicas; at exit all ends."""

    def __init__(self, folder: Path, plan: Plan, **code: str) -> None:
        self.folder, self.plan = folder, plan
        self.broker = BrokerProcess(folder, plan)
        self.broker.start()
        self.processes: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        for name, text in code.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.py").write_text(textwrap.dedent(text))

    def start(self, service: str, slot: int = 0) -> subprocess.Popen[bytes]:
        return self._popen("flowc.host", (service, slot), "--service", service, "--slot", str(slot))

    def start_source(self, name: str, target: str, *more: str) -> subprocess.Popen[bytes]:
        return self._popen("flowc.source", (name, 0), "--name", name, "--target", target, *more)

    def _popen(self, module: str, key: tuple[str, int], *args: str) -> subprocess.Popen[bytes]:
        options = ["--plan", self.folder / "plan.json", "--root", self.folder]
        with self.log_path(*key).open("ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-m",
                    module,
                    *args,
                    *options,
                    "--broker",
                    self.broker.endpoint,
                ],
                stderr=log,
            )
        self.processes[key] = process
        return process

    def log_path(self, name: str, slot: int = 0) -> Path:
        return self.folder / f"{name}.{slot}.log"

    def log(self, name: str, slot: int = 0) -> str:
        return self.log_path(name, slot).read_text()

    def wait_exit(self, name: str, slot: int = 0) -> int:
        return self.processes[name, slot].wait(DEADLINE_S)

    def kill(self, name: str, slot: int = 0) -> None:
        process = self.processes.pop((name, slot))
        process.kill()
        process.wait(DEADLINE_S)

    def publish(self, *columns: tuple[str, dict[str, list]], name: str = "test") -> None:
        """Make events durable: `(event, {field: values})`, with all partitions 0."""
        with self.broker.hello("source", name) as client:
            opened, _ = expect(client, wire.Opened)
            seq = opened.seq
            for event, values in columns:
                rows = len(next(iter(values.values())))
                body = self.body(event, values)
                client.send(
                    wire.Publish(name, opened.epoch, seq, [wire.Batch(event, rows)]), [body]
                )
                seq += rows
            expect(client, wire.Published, lambda m: m.seq == seq)

    def body(self, event: str, values: dict[str, list]) -> bytes:
        schema = wire_schema(self.plan, event)
        rows = len(next(iter(values.values())))
        more = {"_time": [1_700_000_000_000_000] * rows, "_cause": [None] * rows,
                "_root": [None] * rows, "_partition": [0] * rows}  # fmt: skip
        arrays = [pa.array((values | more)[f.name], f.type) for f in schema]
        return pa.record_batch(arrays, schema=schema).serialize().to_pybytes()

    def wait_idle(self) -> wire.Status:
        return wait_for("all is handled", self._idle)

    def _idle(self) -> wire.Status | None:
        for (name, slot), process in self.processes.items():
            assert process.poll() in (None, 0), f"{name} ended:\n{self.log(name, slot)}"
        status = self.broker.status()
        running = [s for s in status.slots if (s.service, s.slot) in self.processes]
        done = all(s.ready and s.lag == 0 and s.deferred == 0 for s in running)
        return status if done else None

    def events(self, *names: str) -> list[dict]:
        """All durable events of these types, in offset order."""
        found = []
        for read in self._records():
            offset = read.header.first_offset
            for batch, body in zip(read.entry.batches, read.bodies, strict=True):
                if batch.event in names:
                    schema = wire_schema(self.plan, batch.event)
                    rows = pa.ipc.read_record_batch(pa.py_buffer(body), schema).to_pylist()
                    marks = (
                        {"_offset": offset + i, "_event": batch.event} for i in range(len(rows))
                    )
                    found += [row | mark for row, mark in zip(rows, marks, strict=True)]
                offset += batch.rows
        return found

    def parked(self) -> list[wire.Parked]:
        """What was parked, in order."""
        return [p for read in self._records() for p in getattr(read.entry, "parked", [])]

    def _records(self) -> list[Read]:
        with self.broker.hello("log", "log") as client:
            end, _ = expect(client, wire.Durable)
        reader = JournalReader(self.folder / "journal")
        try:
            return list(reader.read(0, 0, end.segment, end.position, 1 << 40))
        finally:
            reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(DEADLINE_S)
        if self.broker.process is not None:
            self.broker.kill()
