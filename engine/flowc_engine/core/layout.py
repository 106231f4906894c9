"""Which slots a plan wants: one for each replica of each service, with its share of the
partitions."""

from __future__ import annotations

from collections.abc import Sequence

from flowc_dsl.plan import Plan, ServicePlan
from flowc_engine.journal import record as rec
from flowc_engine.journal.state import DurableState, copy_slot


class LayoutError(Exception):
    """The state can't be dealt out as the plan wants it now."""


def lay_out(state: DurableState, plan: Plan) -> list[rec.SlotState] | None:
    """The slots that `plan` wants, or None if they are those of `state`.

    A new service starts at offset 0: the log is the truth, and it has all of it to read. A number
    of replicas that is within the declared ones stays what it is. A deadline, join or timer that is
    added to a service begins at the end of the log. Raises `LayoutError`. Slots of services that
    left the plan are kept as they are.
    """
    wanted: list[rec.SlotState] = []
    planned = {service.name for service in plan.services}
    for service in plan.services:
        old = slots_of(state, service.name)
        since = since_of(service, old, state.offset)
        found = _relay(service.name, replicas_of(service, old), plan.partitions, old)
        for slot in found:
            slot.since = dict(since)
        wanted += found
    wanted += [copy_slot(s) for s in state.slots.values() if s.service not in planned]
    now = {(s.service, s.slot): s.since for s in wanted}
    if now == {key: s.since for key, s in state.slots.items()}:
        return None
    return wanted


def rescale(state: DurableState, plan: Plan, service: str, replicas: int) -> list[rec.SlotState]:
    """The slots of `state`, with the partitions of one service dealt out to `replicas`.

    Raises `LayoutError` for a number that is not declared, and where it can't be done now.
    """
    try:
        planned = plan.service(service)
    except KeyError:
        raise LayoutError(f"{plan.system} runs no service {service}") from None
    low, high = planned.replicas, planned.replicas_max
    if not low <= replicas <= high:
        declared = f"replicas {low}" + (f" to {high}" if high > low else "")
        raise LayoutError(f"{service} is declared with `{declared}`, so it can't have {replicas}")
    found = _relay(service, replicas, plan.partitions, slots_of(state, service))
    return found + [copy_slot(s) for s in state.slots.values() if s.service != service]


def slots_of(state: DurableState, service: str) -> list[rec.SlotState]:
    """The slots of one service."""
    return [s for s in state.slots.values() if s.service == service]


def replicas_of(service: ServicePlan, old: Sequence[rec.SlotState]) -> int:
    """How many a run begins with: as many as there were, within the declared ones."""
    return min(max(len(old), service.replicas), service.replicas_max)


def since_of(service: ServicePlan, old: Sequence[rec.SlotState], end: int) -> dict[str, int]:
    """What a service waits for is the past too if it is new; what was added to it later, only what
    comes from then on. A store that is added is filled with the past up to there."""
    known = old[0].since if old else {}
    names = (*service.waits, *(store.since_key for store in service.stores))
    return {name: known.get(name, end if old else 0) for name in names}


def _relay(
    service: str, replicas: int, partitions: int, old: Sequence[rec.SlotState]
) -> list[rec.SlotState]:
    """The same state in `replicas` slots: copies, if they are as many as before.

    Each new slot starts at the lowest cursor of its partitions, and `floors` keep what was handled
    from being handled again. What is deferred and parked goes with its partition. No process of the
    old slots can go on: the epochs that follow don't follow theirs.
    """
    if len(old) == replicas:
        return [copy_slot(s) for s in old]
    slots = [_new_slot(service, i, replicas, partitions, old) for i in range(replicas)]
    if old:
        slots[0].parked = sum(s.parked for s in old)
    for slot in old:
        if len(slot.deferred_in) < len(slot.deferred):
            raise LayoutError(
                f"{service} had {len(old)} replicas and has {len(slot.deferred):,} events that an "
                "older flowc is to retry, which can't be dealt out; run it with "
                f"{len(old)} until they are done, and change its replicas then"
            )
        for offset in slot.deferred:
            partition = slot.deferred_in[offset]
            own = slots[partition % replicas]
            own.deferred.append(offset)
            own.deferred_in[offset] = partition
        for offset, partition in slot.parked_now.items():
            slots[partition % replicas].parked_now[offset] = partition
    return slots


def _new_slot(
    service: str, index: int, replicas: int, partitions: int, old: Sequence[rec.SlotState]
) -> rec.SlotState:
    cursors: dict[int, int] = {}
    for slot in old:
        for partition in slot.partitions or range(partitions):
            cursors[partition] = max(slot.cursor, slot.floors.get(partition, 0))
    own = [] if replicas == 1 else list(range(index, partitions, replicas))
    at = {p: cursors.get(p, 0) for p in own or range(partitions)}
    cursor = min(at.values())
    return rec.SlotState(
        service, index, own, cursor,
        epoch=max((s.epoch + 1 for s in old), default=0),
        floors={p: c for p, c in at.items() if c > cursor},
        steps=max((s.steps for s in old), default=0),
        since=dict(old[0].since) if old else {},
    )  # fmt: skip
