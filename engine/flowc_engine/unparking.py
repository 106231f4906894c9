"""Letting parked events go, through a broker: to be handled again, or for good."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.bus.client import Client

_REPEAT_MS = 2_000
_POLL_MS = 100


class UnparkError(Exception):
    """The broker refused, or did not answer in time; what was not confirmed may have happened."""


@dataclass(frozen=True, slots=True)
class LetGo:
    """Offsets: `done` are let go, durably; `later` have to wait until the service has handled some
    of those that it retries; `gone` were not parked any more."""

    done: tuple[int, ...]
    later: tuple[int, ...]
    gone: tuple[int, ...]


def let_go(
    endpoint: str,
    service: str,
    offsets: Sequence[int],
    *,
    retry: bool,
    timeout_ms: int = limits.EMIT_MS_MAX,
) -> LetGo:
    """Let parked events of a service go. Raises `UnparkError`.

    An answer that is lost is asked for again, and then what the first request did counts as `gone`.
    """
    done: list[int] = []
    later: list[int] = []
    hello = wire.Hello("control", "parked", 0, secrets.token_hex(8), "", os.getpid())
    with Client(endpoint, hello) as client:
        for start in range(0, len(offsets), limits.UNPARK_OFFSETS_MAX):
            chunk = list(offsets[start : start + limits.UNPARK_OFFSETS_MAX])
            answer = _ask(client, wire.Unpark(service, chunk, retry), timeout_ms)
            done += answer.done
            later += answer.later
    gone = set(offsets) - {*done, *later}
    return LetGo(tuple(done), tuple(later), tuple(sorted(gone)))


def _ask(client: Client, request: wire.Unpark, timeout_ms: int) -> wire.Unparked:
    begun = asked = time.monotonic()
    client.send(request)
    while (now := time.monotonic()) - begun < timeout_ms / 1000:
        got = client.receive(_POLL_MS)
        match got and got[0]:
            case wire.Unparked() as answer:
                return answer
            case wire.Refused() as refused:
                raise UnparkError(refused.why)
        if now - asked > _REPEAT_MS / 1000:  # the broker was restarted meanwhile
            asked = now
            client.send(request)
    raise UnparkError(f"the broker did not answer in {timeout_ms // 1000} s")
