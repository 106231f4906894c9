"""Asking a broker on another machine how its events are stored, before anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.bus.curve import Credentials

_POLL_MS: Final = 100


def ask_schemas(
    endpoint: str,
    plan_hash: str,
    key: Credentials,
    stopped: Callable[[], bool],
    note: Callable[[str], None] = lambda _: None,
) -> wire.Schemas | wire.Refused | None:
    """The broker's answer, or None when `stopped`, which is asked several times a second. A broker
    that is not there is waited for; `note` is told, once each, why there is no answer."""
    said = ""
    with Client(endpoint, wire.SchemasRequest(plan_hash), key) as client:
        while not stopped():
            got = client.receive(_POLL_MS)
            if got is not None and isinstance(got[0], wire.Schemas | wire.Refused):
                return got[0]
            if client.fault not in (said, ""):
                said = client.fault
                note(said)
    return None
