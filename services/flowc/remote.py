"""What a process needs that is not on the broker's machine: a key, and how old events are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flowc.errors import CodeError, RefusedError
from flowc_dsl.plan import Plan
from flowc_engine.bus import wire
from flowc_engine.bus.asking import ask_schemas
from flowc_engine.bus.curve import TCP, Credentials
from flowc_engine.core.access import Principal
from flowc_engine.keys import KeysError, read_key


def credentials(
    file: str | Path | None, endpoint: str, plan: Plan, who: Principal
) -> Credentials | None:
    """What `who` needs to speak to the broker; None over the local socket. Raises `CodeError`."""
    if not endpoint.startswith(TCP):
        return None
    if file is None:
        raise CodeError(
            f"{endpoint}: TCP needs the key of {who}; `flowc keys export FILE {who.name}` on the "
            "broker's machine writes it"
        )
    path = Path(file)
    try:
        return read_key(path).credentials(plan.system, who, path)
    except (KeysError, OSError) as error:
        raise CodeError(str(error)) from None


def fetch_schemas(
    endpoint: str, plan: Plan, key: Credentials, stopped: Callable[[], bool]
) -> wire.Schemas | None:
    """How the broker's events are stored; None when `stopped`, which is asked while it is waited
    for, without end. Raises `RefusedError`."""
    answer = ask_schemas(endpoint, plan.hash, key, stopped)
    if isinstance(answer, wire.Refused):
        raise RefusedError(answer.code, answer.why)
    return answer
