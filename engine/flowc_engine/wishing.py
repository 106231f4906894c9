"""Asking a run that is up for another number of a service's replicas."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client


class WishError(Exception):
    """The broker refused, or it was not done in time."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The replicas that there were, and whether those that there are now are ready."""

    before: int
    ready: bool


def wish(
    endpoint: str, service: str, replicas: int, *, timeout_ms: int = limits.SCALE_WAIT_MS_MAX
) -> Granted:
    """Have a service run with so many replicas, and wait until it does. Raises `WishError`."""
    hello = wire.Hello("control", "scale", 0, secrets.token_hex(8), "", os.getpid())
    before, slots = -1, list[wire.SlotStatus]()
    end = time.monotonic() + timeout_ms / 1000
    with Client(endpoint, hello) as client:
        while time.monotonic() < end:
            client.send(wire.WantReplicas(service, replicas))  # a new broker knows of no wish
            status = _answer(client)
            if status is not None:
                slots = [s for s in status.slots if s.service == service]
                before = len(slots) if before < 0 else before
                if len(slots) == replicas and all(s.ready for s in slots):
                    return Granted(before, ready=True)
            time.sleep(limits.STATUS_EVERY_MS / 1000)
    if len(slots) == replicas:
        return Granted(before, ready=False)
    if before < 0:
        raise WishError(f"the broker did not answer in {timeout_ms // 1000} s")
    raise WishError(
        f"it was not done in {timeout_ms // 1000} s; `flowc run` says what its replicas are at"
    )


def _answer(client: Client) -> wire.Status | None:
    got = client.receive(limits.HEARTBEAT_MS)
    match got and got[0]:
        case wire.Status() as status:
            return status
        case wire.Refused(_, why):
            raise WishError(why)
    return None
