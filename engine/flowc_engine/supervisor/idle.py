"""When everything is consumed."""

from __future__ import annotations

from collections.abc import Mapping

from flowc_engine.bus import wire
from flowc_engine.supervisor.children import WORKERS, Child, ChildState, Kind, Life


def is_calm(status: wire.Status, children: Mapping[Child, ChildState]) -> bool:
    """Whether all that can be consumed is consumed.

    Services that failed don't count: what they left is for the next run. A step that has arrived
    and is not durable yet is not seen, so two looks with the same offset are needed.
    """
    for state in children.values():
        if state.child.kind not in WORKERS or state.life is Life.FAILED:
            continue
        if state.life is not (Life.UP if state.child.kind is Kind.HOST else Life.DONE):
            return False
    for slot in status.slots:
        state_ = children.get(Child(Kind.HOST, slot.service, slot.slot))
        if state_ is None or state_.life is Life.FAILED:
            continue
        if not slot.ready or slot.lag or slot.deferred:
            return False
    return all(s.done or not s.connected or _failed(s.source, children) for s in status.sources)


def _failed(source: str, children: Mapping[Child, ChildState]) -> bool:
    """It is dead for good; the broker still waits for its heartbeat."""
    state = children.get(Child(Kind.SOURCE, source))
    return state is not None and state.life is Life.FAILED
