"""Which slots a plan wants: one for each replica of each service, with its share of the
partitions."""

from __future__ import annotations

from flowc_dsl.plan import Plan, ServicePlan
from flowc_engine.journal import record as rec
from flowc_engine.journal.state import DurableState, copy_slot


class LayoutError(Exception):
    """The state can't be dealt out as the plan wants it now."""


def lay_out(state: DurableState, plan: Plan) -> list[rec.SlotState] | None:
    """The slots that `plan` wants, or None if they are those of `state`.

    A new service starts at offset 0: the log is the truth, and it has all of it to read. When the
    number of replicas changes, each new slot starts at the lowest cursor of its partitions, and
    `floors` keep what was handled from being handled again. A deadline, join or timer that is added
    to a service begins at the end of the log. Raises `LayoutError`. Slots of
    services that left the plan are kept as they are.
    """
    wanted: list[rec.SlotState] = []
    planned = {service.name for service in plan.services}
    for service in plan.services:
        old = [s for s in state.slots.values() if s.service == service.name]
        since = _since(service, old, state.offset)
        if len(old) == service.replicas:
            found = [copy_slot(s) for s in old]
        else:
            found = _relay(service.name, service.replicas, plan.partitions, old)
        for slot in found:
            slot.since = dict(since)
        wanted += found
    wanted += [copy_slot(s) for s in state.slots.values() if s.service not in planned]
    now = {(s.service, s.slot): s.since for s in wanted}
    if now == {key: s.since for key, s in state.slots.items()}:
        return None
    return wanted


def _since(service: ServicePlan, old: list[rec.SlotState], end: int) -> dict[str, int]:
    """What a service waits for is the past too if it is new; what was added to it later, only what
    comes from then on."""
    known = old[0].since if old else {}
    return {event: known.get(event, end if old else 0) for event in service.waits}


def _relay(
    service: str, replicas: int, partitions: int, old: list[rec.SlotState]
) -> list[rec.SlotState]:
    cursors: dict[int, int] = {}
    for slot in old:
        for partition in slot.partitions or range(partitions):
            cursors[partition] = max(slot.cursor, slot.floors.get(partition, 0))
    epoch = max((s.epoch for s in old), default=0)
    slots = []
    for index in range(replicas):
        own = [] if replicas == 1 else list(range(index, partitions, replicas))
        at = {p: cursors.get(p, 0) for p in own or range(partitions)}
        cursor = min(at.values())
        floors = {p: c for p, c in at.items() if c > cursor}
        slots.append(rec.SlotState(service, index, own, cursor, epoch, floors=floors))
    if old:
        waiting = sum(len(s.deferred) for s in old)
        if waiting:  # which new slot each belongs to can't be told without reading it
            raise LayoutError(
                f"{service} had {len(old)} replicas and has {waiting} events that wait to be "
                f"retried; run it with {len(old)} until they are done, and change its replicas then"
            )
        slots[0].parked = sum(s.parked for s in old)
        for offset, partition in (item for s in old for item in s.parked_now.items()):
            slots[partition % replicas].parked_now[offset] = partition
        for slot in slots:  # no process of the old ones may take its steps for this one's
            slot.steps = max(s.steps for s in old)
    return slots
