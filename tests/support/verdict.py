"""What must have come of a world of `support.services`: its log, what is parked, and the memories,
held against what the handlers do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from flowc.rows import offsets_of
from flowc_dsl.plan import ServicePlan
from flowc_engine.bus import wire
from flowc_engine.core.layout import slots_of
from support.fates import CODECS, DROPS, fate, number, outputs
from support.services import ServiceWorld
from support.stored import effects
from support.watched import watched


@dataclass
class Verdict:
    """What is wrong with the log and the memories; all empty when nothing is."""

    events: int = 0
    lost: list[Any] = field(default_factory=list)
    doubled: list[Any] = field(default_factory=list)
    reordered: list[Any] = field(default_factory=list)
    misparked: list[Any] = field(default_factory=list)
    memory: list[Any] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.reordered or self.misparked or self.memory)


@dataclass(frozen=True)
class Logged:
    offset: int
    event: str
    emitter: str
    k: str
    n: int
    cause: int | None
    partition: int
    time_us: int
    noted: int | None = None  # the number of the other side of a join


def logged(world: ServiceWorld) -> list[Logged]:
    """The log, by offset."""
    found = []
    for record in world._records():
        first = record.first_offset
        for batch, body in zip(record.batches, record.bodies, strict=True):
            delivered = wire.Delivered(batch.event, batch.rows, first, "", batch.places)
            rows = CODECS[batch.event].read(body).to_pylist()
            for offset, row in zip(offsets_of(delivered), rows, strict=True):
                n = number(row)
                found.append(
                    Logged(
                        offset, batch.event, record.source, row.get("k", f"t{n}"), n,
                        row["_cause"], row["_partition"], round(row["_time"].timestamp() * 1e6),
                        row.get("Noted", {}).get("n"),
                    )
                )  # fmt: skip
            if not batch.places:
                first += batch.rows
    found.sort(key=lambda e: e.offset)
    assert [e.offset for e in found] == list(range(len(found))), "no gap, nothing twice"
    return found


def judge(world: ServiceWorld) -> Verdict:
    """Hold the log, what is parked, and the memories against what the handlers do.

    What was parked is handled behind what came later, so where an operator had it handled again the
    order is not judged.
    """
    log = logged(world)
    verdict = Verdict(len(log))
    feed = [e.n for e in log if e.emitter == "feed"]
    _compare(verdict, "feed", list(range(world.feed.total)), feed)
    parked: dict[str, list[int]] = {s.name: [] for s in world.plan.services}
    for slot in world.core.state.slots.values():
        parked[slot.service] += slot.parked_now
    for service in world.plan.services:
        inputs = [e for e in log if e.event in service.subscribes]
        if service.name == "Watch":
            inputs = watched(log, verdict)
        _judge_outputs(verdict, world, service.name, inputs, log)
        wrong = [
            e.offset
            for e in inputs
            if not _ends_well(world, service.name, e.n) and service.name != DROPS
        ]
        if sorted(parked[service.name]) != wrong:
            verdict.misparked.append((service.name, sorted(parked[service.name]), wrong))
        if service.stores:
            _judge_store(verdict, world, service.name, inputs)
        elif not service.stateless:
            _judge_memory(verdict, world, service, inputs)
    return verdict


def _ends_well(world: ServiceWorld, service: str, n: int) -> bool:
    what = fate(service, n)
    return not isinstance(what, str) or (what == "raises" and world.fixed)


def _judge_outputs(
    verdict: Verdict, world: ServiceWorld, service: str, inputs: list[Logged], log: list[Logged]
) -> None:
    for key in {e.k for e in inputs}:
        expected = [
            (e.offset, output, e.n)
            for e in inputs
            if e.k == key and _ends_well(world, service, e.n)
            for output in outputs(service, e.n, e.event)
        ]
        found = [
            (e.cause, e.event, e.n)
            for e in log
            if e.emitter == service and e.k == key and "." not in e.event
        ]
        _compare(verdict, f"{service} {key}", expected, _ordered(world, found))


def _judge_memory(
    verdict: Verdict, world: ServiceWorld, service: ServicePlan, inputs: list[Logged]
) -> None:
    """Whether a memory has an event that was parked for what its handler emitted depends on whether
    its process has lived since; and one that was dropped, on whether it was mended before a
    replay."""
    number = {e.offset: e.n for e in inputs}
    for state in slots_of(world.core.state, service.name):
        slot, own = state.slot, frozenset(state.partitions)
        memory = [
            (offset, k)
            for offset, k in world.processes[service.name, slot].memory
            if _is_judged(world, service.name, number[offset])
        ]
        for key in sorted({e.k for e in inputs}):
            expected = [
                e.offset
                for e in inputs
                if e.k == key and (not own or e.partition in own)
                and _is_judged(world, service.name, e.n)
            ]  # fmt: skip
            found = _ordered(world, [offset for offset, k in memory if k == key])
            if found != expected:
                verdict.memory.append((service.name, slot, key, found, expected))


def _judge_store(verdict: Verdict, world: ServiceWorld, service: str, inputs: list[Logged]) -> None:
    """What is in the files is what the handlers did to the events that ended well, each once."""
    assert world.stores is not None
    found = effects(world.stores, service)
    silent = {e.offset for e in inputs if fate(service, e.n) == "silent"}
    for key in sorted({e.k for e in inputs}):
        expected = [e.offset for e in inputs if e.k == key and _ends_well(world, service, e.n)]
        own = [o for o, k in found if k == key and o not in silent]
        _compare(verdict, f"store of {service}, {key}", expected, _ordered(world, own))


def _is_judged(world: ServiceWorld, service: str, n: int) -> bool:
    dropped = service == DROPS and fate(service, n) == "raises"
    return _ends_well(world, service, n) and not dropped


def _ordered(world: ServiceWorld, found: list[Any]) -> list[Any]:
    return sorted(found, key=_first) if world.operator is not None else found


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


def _compare(verdict: Verdict, what: str, expected: list[Any], found: list[Any]) -> None:
    if found == expected:
        return
    missing, more = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    verdict.lost += [(what, e) for e in missing.elements()]
    verdict.doubled += [(what, e) for e in more.elements()]
    if not missing and not more:
        verdict.reordered.append((what, found, expected))
