"""Who may emit what: compiled from the declaration, asked for every message, before anything
changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.bus import wire

LOCAL: Final = ""
"""The key of who speaks over the local socket: it needs none."""


class Principal(NamedTuple):
    """Whom a key makes its owner."""

    role: Literal["service", "source"]
    name: str

    def __str__(self) -> str:
        return f"{self.role} {self.name}"


class Access:
    """The access list of a plan. Each method returns why a message is refused, or None."""

    def __init__(self, plan: Plan) -> None:
        self.keys: Mapping[str, Principal] = {}
        """Who may come from elsewhere, by public key."""
        self._external = frozenset(e.name for e in plan.events if e.external)
        self._emits = {s.name: frozenset(s.emits) for s in plan.services}

    def admits(self, key: str) -> bool:
        """Whether who has this key may say anything."""
        return key == LOCAL or key in self.keys

    def refuse_hello(self, key: str, hello: wire.Hello) -> str | None:
        """A key is good for one name in one role, and never for control."""
        if key == LOCAL:
            return None
        owner = self.keys.get(key)
        if owner is None:
            return "this key is not let in"
        if (hello.role, hello.name) != owner:
            return f"this is the key of {owner}, not of {hello.role} {hello.name}"
        return None

    def refuse_publish(self, message: wire.Publish) -> str | None:
        """Sources emit external events and commands only."""
        if not message.batches:
            return "a publish without events"
        return _refuse(message.source, message.batches, self._external, "not declared external")

    def refuse_step(self, message: wire.Step) -> str | None:
        """A service emits what its handlers declare."""
        declared = self._emits[message.service]
        if len(message.parked) + len(message.deferred) > limits.BATCH_ROWS_MAX:
            return "a step that parks or defers too many events"
        if len(message.partitions) not in (0, len(message.deferred)):
            return (
                f"{len(message.deferred)} deferred events in {len(message.partitions)} partitions"
            )
        return _refuse(message.service, message.batches, declared, "not among its outputs")


def _refuse(
    who: str, batches: Sequence[wire.Batch], allowed: frozenset[str], why: str
) -> str | None:
    if len(batches) > limits.BATCHES_PER_MESSAGE_MAX:
        return f"{len(batches)} batches in one message, at most {limits.BATCHES_PER_MESSAGE_MAX}"
    for batch in batches:
        if batch.event not in allowed:
            return f"{who} may not emit {batch.event}: {why}"
        if not 0 < batch.rows <= limits.BATCH_ROWS_MAX:
            return f"a batch of {batch.rows} events, 1 to {limits.BATCH_ROWS_MAX} may be"
    return None
