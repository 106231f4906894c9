"""A world's log, replayed: the same handlers over what was recorded come to what was recorded."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flowc.replay import Replay
from flowc.rows import offsets_of
from flowc_dsl.plan import ServicePlan
from flowc_engine.bus import wire
from flowc_engine.journal import record as rec
from flowc_engine.journal.reader import Read
from flowc_engine.replaying import protocol
from flowc_engine.replaying.original import share_of
from support.fates import CODECS, DROPS, fate, number
from support.processes import Process
from support.services import ServiceWorld
from support.stored import store_folder
from support.verdict import Logged, _ends_well, logged

Came = dict[int, list[tuple[str, int]]]  # by cause: (event, number), in order


def assert_replays_the_same(world: ServiceWorld) -> None:
    """Every service, from a place that the seed chooses; all of what it emitted, and of what it
    gave up on, at the right offsets."""
    log = logged(world)
    begin = world.random.randrange(len(log))
    by_offset = {e.offset: e for e in log}
    for service in world.plan.services:
        emitted: Came = defaultdict(list)
        raised: set[int] = set()
        for slot in range(share_of(world.core.state, service).replicas):
            with _own_process(world, service, slot) as process:
                _replay(world, process, (begin, len(log)), emitted, raised)
            _judge_memory(world, process, log)
        recorded: Came = defaultdict(list)
        for e in log:
            if e.emitter == service.name and "." not in e.event and (e.cause or 0) >= begin:
                recorded[e.cause or 0].append((e.event, e.n))
        assert dict(emitted) == dict(recorded), service.name
        gave_up = {
            offset
            for slot in world.core.state.slots.values()
            if slot.service == service.name
            for offset in slot.parked_now
        }
        if service.name == DROPS and not world.fixed:
            gave_up = {
                e.offset
                for e in log
                if e.event in service.subscribes and fate(DROPS, e.n) == "raises"
            }
        assert raised == {o for o in gave_up if o >= begin}, service.name
        assert all(by_offset[o].event in service.subscribes for o in emitted)


@contextmanager
def _own_process(world: ServiceWorld, service: ServicePlan, slot: int) -> Iterator[Process]:
    """One that writes to a store of its own."""
    own = world.stores
    with store_folder() as folder:
        world.stores = folder if service.stores else None
        process = Process(world, service, slot, "replay")
        world.stores = own
        if process.stores is not None:
            process.stores.mortal = False
        yield process
        if process.stores is not None:
            process.stores.close()


def _replay(
    world: ServiceWorld, process: Process, span: tuple[int, int], emitted: Came, raised: set[int]
) -> None:
    pipe = io.BytesIO()
    own = share_of(world.core.state, process.service)
    replay = Replay(process, process.slot, own, span, pipe)  # type: ignore[arg-type]
    first = 0
    for entry, rows, bodies in world.disk.entries:
        header = rec.Header(rec.KIND_ENTRY, 0, rows, 0, first, 0, 0, 0)
        if first + rows > replay.reads_from:
            replay.see(Read(header, entry, list(map(memoryview, bodies)), 0, 0))
        first += rows
    replay.done()
    pipe.seek(0)
    whole = False
    for said, made in protocol.read(pipe):
        if isinstance(said, protocol.Made):
            raised |= {p.offset for p in said.parked}
            for cause, event, n in _in_order(said, made):
                emitted[cause].append((event, n))
        whole = whole or isinstance(said, protocol.Done)
    assert whole


def _in_order(said: protocol.Made, bodies: list[memoryview]) -> list[tuple[int, str, int]]:
    found: list[tuple[int, tuple[int, str, int]]] = []
    at = 0
    for batch, body in zip(said.batches, bodies, strict=True):
        rows: list[dict[str, Any]] = CODECS[batch.event].read(body).to_pylist()
        places = offsets_of(wire.Delivered(batch.event, batch.rows, at, "", batch.places))
        found += [
            (place, (row["_cause"], batch.event, number(row)))
            for place, row in zip(places, rows, strict=True)
        ]
        at += 0 if batch.places else batch.rows
    return [one for _, one in sorted(found)]


def _judge_memory(world: ServiceWorld, process: Process, log: list[Logged]) -> None:
    """The memory has each event that was handled once, in the order of the log."""
    if process.service.stateless or process.service.name == "Watch":
        return
    replicas = share_of(world.core.state, process.service).replicas
    own = frozenset(range(process.slot, world.plan.partitions, replicas))
    expected = [
        e.offset
        for e in log
        if e.event in process.service.subscribes
        and e.partition in own
        and _ends_well(world, process.service.name, e.n)
    ]
    number_of = {e.offset: e.n for e in log}
    found = [
        offset
        for offset, _ in process.memory
        if _ends_well(world, process.service.name, number_of[offset])
    ]
    if process.service.stores:  # the rows of a batch come by the file that they are of
        found = sorted(found)
    assert found == expected, process.service.name
