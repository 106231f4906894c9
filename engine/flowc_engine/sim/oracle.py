"""What must have come of a world: the journal is read from what a power cut leaves of the disk, and
held against what was acknowledged, and what each service has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from flowc_dsl.plan import ServicePlan
from flowc_engine.journal.reader import JournalReader, JournalRotError
from flowc_engine.journal.recovery import recover
from flowc_engine.journal.segments import list_segments
from flowc_engine.journal.state import DurableState
from flowc_engine.sim import system
from flowc_engine.sim.world import FOLDER, World

TOTAL: Final = 48
CHAOS_MS: Final = 6_000
READ_BYTES: Final = 1 << 20


@dataclass
class Verdict:
    """Of one seed. `halted` says how rot was told; then nothing is lost, and nothing goes on."""

    seed: int
    digest: str = ""
    events: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    stalled: int = 0
    halted: str = ""
    violations: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether all promises were kept."""
        return not self.violations


def simulate(seed: int, trace: Callable[[str], None] | None = None) -> Verdict:
    """Run a seed and judge it. `trace` gets a line for each thing that happens."""
    return judge(World(seed, TOTAL, CHAOS_MS, trace))


def judge(world: World) -> Verdict:
    """Run a world, and say what came of it."""
    verdict = Verdict(world.seed)
    try:
        world.run()
        if world.finished:
            _judge(world, verdict)
    except Exception as error:  # noqa: BLE001 - whatever the broker dies of is its fault
        world.violations.append(f"{type(error).__name__}: {error}"[:500])
    verdict.lost += world.lost
    verdict.digest = world.digest.hexdigest()
    verdict.events, verdict.faults = world.events, dict(world.faults)
    verdict.acknowledged = world.acknowledged
    verdict.halted = world.halted
    verdict.violations = world.violations
    verdict.stalled = sum(v.startswith("stalled") for v in world.violations)
    return verdict


def _judge(world: World, verdict: Verdict) -> None:
    world.disk.cut_power()
    try:
        state, events = _read(world)
    except JournalRotError as error:
        world.halted = str(error)
        world.demand(world.rotten, f"a sound journal is called rotten: {error}")
        return
    placed, paid, shipped = (
        [n for event, n in events if event == name] for name in ("Placed", "Paid", "Shipped")
    )
    verdict.lost = len(set(range(world.acknowledged)) - set(placed))
    world.demand(not verdict.lost, f"{verdict.lost} acknowledged events are lost")
    world.demand(placed == list(range(world.total)), "the source's events: each once, in order")
    for plan in system.PLAN.services:
        _happened(world, verdict, state, plan, events)
    for service, inputs, outputs in (("Pay", placed, paid), ("Ship", paid, shipped)):
        _follow(world, verdict, state, service, inputs, outputs)
        _memories(world, verdict, state, service, inputs)


def _read(world: World) -> tuple[DurableState, list[tuple[str, int]]]:
    """All events, (type, number) by offset."""
    found = recover(FOLDER, world.disk, lambda: 0)
    reader = JournalReader(FOLDER, world.disk)
    first = next(iter(list_segments(FOLDER, world.disk)), 0)
    events: list[tuple[str, int]] = []
    record = offset = 0
    for read in reader.read(first, 0, found.segment, found.position, READ_BYTES):
        assert (read.header.record, read.header.first_offset) == (record, offset), "a gap"
        record, offset = record + 1, offset + read.header.rows
        for batch, body in zip(read.entry.batches, read.bodies, strict=True):
            events += [(batch.event, n) for n in system.unpack(batch.event, bytes(body))]
    assert (record, offset) == (found.state.record, found.state.offset), "read short"
    return found.state, events


def _happened(
    world: World,
    verdict: Verdict,
    state: DurableState,
    service: ServicePlan,
    events: list[tuple[str, int]],
) -> None:
    """Each input of a service was handled once at least, by one of its processes, or is parked."""
    inputs = {offset for offset, (event, _) in enumerate(events) if event in service.subscribes}
    parked = {o for s in state.slots.values() if s.service == service.name for o in s.parked_now}
    missing = inputs - parked - world.effects[service.name]
    verdict.lost += len(missing)
    world.demand(not missing, f"{service.name} has never handled {sorted(missing)[:5]}")


def _follow(
    world: World, verdict: Verdict, state: DurableState, service: str, inputs: list[int],
    outputs: list[int],
) -> None:  # fmt: skip
    """Each input of a service has exactly one output, or is parked; in order per key."""
    slots = [s for s in state.slots.values() if s.service == service]
    parked = sum(len(s.parked_now) for s in slots)
    counts = Counter(outputs)
    doubled = sum(count - 1 for count in counts.values())
    missing = len(set(inputs) - set(outputs)) - parked
    moved = _reordered(outputs)
    verdict.doubled += doubled
    verdict.lost += max(0, missing)
    verdict.reordered += moved
    world.demand(not doubled, f"{doubled} outputs of {service} are doubled")
    world.demand(missing == 0, f"{missing} inputs of {service} have no output, and are not parked")
    world.demand(not moved, f"{moved} outputs of {service} are out of order")


def _memories(
    world: World, verdict: Verdict, state: DurableState, service: str, inputs: list[int]
) -> None:
    """What a process has seen is each of its inputs once, in order per key, without the parked."""
    for (name, slot), process in world.processes.items():
        if name != service:
            continue
        own = state.slots[name, slot]
        mine = Counter(n for n in inputs if not own.partitions
                       or system.partition(n) in own.partitions)  # fmt: skip
        seen = Counter(process.seen)
        doubled, missing = seen - mine, (mine - seen).total() - len(own.parked_now)
        verdict.doubled += doubled.total()
        world.demand(not doubled, f"effects of {service}.{slot} happened twice: {doubled}")
        world.demand(missing == 0, f"{missing} effects of {service}.{slot} did not happen")
        world.demand(not _reordered(process.seen), f"effects of {service}.{slot} are out of order")


def _reordered(numbers: Iterable[int]) -> int:
    """How many come behind a later one of their key."""
    last: dict[int, int] = {}
    found = 0
    for n in numbers:
        found += n < last.get(n % system.KEYS, -1)
        last[n % system.KEYS] = max(n, last.get(n % system.KEYS, -1))
    return found
