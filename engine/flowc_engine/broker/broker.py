"""A broker without its socket: what peers say goes through `BodyVerifier` into the core, and what
the core decides is written, synced once, told, and looked up.

The process (`driver`) and the simulator (`flowc_engine.sim`) both drive this class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

import msgspec

from flowc_dsl.plan import Plan
from flowc_engine import limits
from flowc_engine.broker.fetch import Fetcher
from flowc_engine.broker.verify import BodyVerifier
from flowc_engine.bus import wire
from flowc_engine.core import effects as fx
from flowc_engine.core.access import LOCAL
from flowc_engine.core.broker import BrokerCore
from flowc_engine.journal.disk import OS_DISK, Disk
from flowc_engine.journal.recovery import Recovered
from flowc_engine.journal.sizes import JournalSizes
from flowc_engine.journal.state import DurableState
from flowc_engine.journal.writer import JournalWriter

Transmit = Callable[[bytes, Sequence[fx.Body]], bool]
"""Queue frames to a peer; False if it can't be reached any more."""


class Broker:
    """The core of one broker with its journal. `recovered` is the journal's end.

    Every method raises `OSError` (a disk that fails or is full) and `JournalRotError`; the broker
    must not be used then, and only recovery may say what is on disk.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        recovered: Recovered,
        now_ms: Callable[[], int],
        transmit: Transmit,
        *,
        disk: Disk = OS_DISK,
        sizes: JournalSizes | None = None,
        pool: Executor | None = None,
        verifier: BodyVerifier | None = None,
    ) -> None:
        """`verifier` spares making one for a plan that has been seen before."""
        self._now_ms, self._transmit = now_ms, transmit
        state = recovered.state
        own = DurableState()
        own.apply(state.snapshot(0), 0)  # the writer's copy: the core runs ahead of it
        self.journal = JournalWriter(
            folder, recovered.journal_id, own, disk=disk, sizes=sizes, pool=pool,
            now_us=lambda: now_ms() * 1000,
        )  # fmt: skip
        if recovered.fd >= 0:
            self.journal.resume(recovered.fd, recovered.segment, recovered.position)
        else:
            self.journal.create()
        self.core = BrokerCore(plan, state, now_ms())
        subscribed = {s.name: frozenset(s.subscribes) for s in plan.services}
        self._fetcher = Fetcher(folder, subscribed, disk, sizes)
        self._verifier = verifier or BodyVerifier(plan)
        self._urgent = False
        self._lazy_since_ms: int | None = None
        self._tick_at_ms = 0
        durable = self.journal.durable_at
        self._fetcher.start(durable)
        self.core.durable(durable, now_ms())
        self.carry_out()

    def take(self, peer: bytes, frames: Sequence[bytes], key: str = LOCAL) -> None:
        """A peer's message; what follows from it is done by `carry_out`. `key`: see
        `BrokerCore.receive`."""
        if not self.core.access.admits(key):
            return
        try:
            message = wire.decode_client(frames[0] if frames else b"")
        except msgspec.DecodeError as error:
            self._refuse(peer, "malformed", str(error))
            return
        bodies = frames[1:]
        batches = message.batches if isinstance(message, wire.Publish | wire.Step) else []
        why = self._verifier.refuse(batches, bodies)
        if why is not None:
            self._refuse(peer, "body", why)
            return
        self.core.receive(peer, message, list(bodies), self._now_ms(), key)

    def turn(self) -> None:
        """After messages were taken, or time has passed: tick when it is due, and carry out."""
        now = self._now_ms()
        if now >= self._tick_at_ms:
            self._tick_at_ms = now + limits.TICK_MS
            self.core.tick(now)
        self.carry_out()

    def pause_ms(self) -> int:
        """How long there is nothing to do if nobody says anything."""
        since = self._lazy_since_ms
        if since is None:
            return limits.TICK_MS
        return max(0, since + limits.LAZY_SYNC_MS - self._now_ms())

    def close(self) -> None:
        """Make all durable, and leave the proof that it was."""
        self._urgent = True
        self.carry_out()
        self.core.mark(self._now_ms())
        self.carry_out()
        self.journal.close()

    def carry_out(self) -> None:
        """Do what the core asks until it asks for nothing."""
        fetches: list[fx.Fetch] = []
        while True:
            for effect in self.core.take():
                match effect:
                    case fx.Send():
                        self._send(effect)
                    case fx.Append():
                        place = self.journal.append(
                            effect.entry, effect.bodies, record=effect.record,
                            first_offset=effect.first_offset, rows=effect.rows,
                        )  # fmt: skip
                        self._fetcher.appended(effect, *place)
                        self._note(effect)
                    case fx.Fetch():
                        fetches.append(effect)
            if self._sync_due():
                self._urgent, self._lazy_since_ms = False, None
                self.journal.sync()
                durable = self.journal.durable_at
                self._fetcher.durable(durable)
                self.core.journal_bytes = self.journal.total_bytes
                self.core.durable(durable, self._now_ms())
            elif fetches:
                for fetch in fetches:
                    self.core.fetched(fetch, *self._fetcher.fetch(fetch))
                fetches = []
            else:
                return

    def _note(self, append: fx.Append) -> None:
        if not append.lazy:
            self._urgent = True
        elif self._lazy_since_ms is None:
            self._lazy_since_ms = self._now_ms()

    def _sync_due(self) -> bool:
        """Whether somebody waits for what was appended, or it has waited long enough."""
        if self._urgent:
            return True
        since = self._lazy_since_ms
        return since is not None and self._now_ms() - since >= limits.LAZY_SYNC_MS

    def _refuse(self, peer: bytes, code: str, why: str) -> None:
        self._send(fx.Send(peer, wire.Refused(code, why), []))

    def _send(self, send: fx.Send) -> None:
        if not self._transmit(send.peer, [wire.encode(send.message), *send.bodies]):
            self.core.lost(send.peer)
