"""The broker as a function of messages and time: sans-IO.

The driver feeds it `receive`, `lost`, `durable`, `fetched` and `tick`, each with the time in ms,
and carries out the effects it finds in `take`. The order that makes it safe: an entry is
appended, then synced, and only `durable` releases the acknowledgement and the delivery of what
it holds.

A slot's life: `Hello` → new epoch, appended → durable → `Assign`, repeated until `Resume` →
`Deliver` within the credit → `Step`, which must start at the cursor and carry the current epoch
→ `Stepped` when durable.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.core import effects as fx
from flowc_engine.core.access import LOCAL, Access, Principal
from flowc_engine.core.layout import LayoutError, lay_out, rescale, slots_of
from flowc_engine.core.session import SlotSession, SourceSession
from flowc_engine.journal import record as rec
from flowc_engine.journal.state import DurableState, SlotKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flowc_dsl.plan import Plan


class BrokerCore:
    """One broker. `state` comes from recovery; `plan` may be newer than it."""

    def __init__(self, plan: Plan, state: DurableState, now_ms: int) -> None:
        self.plan = plan
        self._plan_hash = plan.hash  # which takes ms, and is asked for at every hello
        self.state = state
        self.access = Access(plan)
        self.began = self.durable_offset = state.offset
        self.durable_record = state.record
        self.applied = wire.Applied(0, 0, 0)
        self.draining = False
        self.started_ms = now_ms
        self._out: list[fx.Effect] = []
        self._waiting: deque[tuple[int, fx.Send]] = deque()
        self._seen_ms: dict[bytes, int] = {}
        self._roles: dict[bytes, wire.Hello] = {}
        self._keys: dict[bytes, str] = {}  # of who has said hello with one
        self.schemas = wire.Schemas(0, "")
        """For machines that don't have the state."""
        self.former_plans: Mapping[str, str] = {}
        """The hashes of plans that ran on this state before, and until when."""
        self._sources: dict[str, SourceSession] = {}
        self._log_peers: list[bytes] = []
        self._log_told: wire.Durable | None = None
        self._durable_at = wire.Durable(0, 0, 0, 0)
        self._told_ms = 0
        self._appended_ms = now_ms
        self._mark_wanted = False
        self.journal_bytes = 0
        slots = lay_out(state, plan)
        if slots is not None:
            self._append(rec.Slots(_time_us(now_ms), [], [], slots), 0, [])
        self._wanted: dict[str, int] = {}  # replicas of a service, by somebody's wish
        self._slots: dict[SlotKey, SlotSession] = {}
        self._gone: dict[SlotKey, SlotSession] = {}  # of slots that there were: their counts go on
        self._open_slots()

    def _open_slots(self) -> None:
        """A session for each slot that has none."""
        old, self._slots = {**self._gone, **self._slots}, {}
        for service in self.plan.services:
            for slot in range(len(slots_of(self.state, service.name))):
                key = (service.name, slot)
                self._slots[key] = old.get(key) or SlotSession(
                    key, frozenset(service.subscribes), service.latest
                )

    def take(self) -> list[fx.Effect]:
        """The effects so far, in order; they are the caller's now."""
        out, self._out = self._out, []
        return out

    # ---- what happens

    def receive(
        self,
        peer: bytes,
        message: wire.ClientMessage,
        bodies: list[fx.Body],
        now_ms: int,
        key: str = LOCAL,
    ) -> None:
        """A peer said something. Bodies were verified to be what the message says they are. `key`
        is the one that the peer has proven to own."""
        if not self.access.admits(key):
            return  # it was told when its key was revoked
        self._seen_ms[peer] = now_ms
        known = peer in self._roles and self._keys.get(peer, LOCAL) == key
        match message:
            case wire.Hello():
                self._hello(peer, message, now_ms, key)
            case wire.SchemasRequest():
                if self._fits(peer, message):
                    self._send(peer, self.schemas)
            case _ if not known:
                self._send(peer, wire.Who())
            case wire.Heartbeat():
                pass
            case wire.Bye():
                self.lost(peer)
            case _:
                self._heard(peer, message, bodies, now_ms)

    def _heard(
        self, peer: bytes, message: wire.ClientMessage, bodies: list[fx.Body], now_ms: int
    ) -> None:
        """One that has said hello says more."""
        match message:
            case wire.Step():
                self._step(peer, message, bodies, now_ms)
            case wire.Publish():
                self._publish(peer, message, bodies, now_ms)
            case wire.Resume():
                self._resume(peer, message)
            case wire.Replayed():
                self._replayed(peer, message)
            case wire.Held():
                self._held(peer, message)
            case wire.SourceDone():
                self._source_done(peer, message, now_ms)
            case wire.Applied() if self._roles[peer].role == "log":
                self.applied = message
            case _:
                self._control(peer, message, now_ms)

    def allow(self, keys: Mapping[str, Principal]) -> None:
        """These keys may come from elsewhere, from now on; whoever is here with another is told,
        and heard no more."""
        was, self.access.keys = self.access.keys, dict(keys)
        for peer, key in list(self._keys.items()):
            if was.get(key) != keys.get(key):
                self._refuse(peer, "key", "this key was revoked")
                self.lost(peer)

    def lost(self, peer: bytes) -> None:
        """The peer can't be reached any more."""
        self._seen_ms.pop(peer, None)
        self._roles.pop(peer, None)
        self._keys.pop(peer, None)
        if peer in self._log_peers:
            self._log_peers.remove(peer)
        for session in self._slots.values():
            if session.peer == peer:
                session.disconnect()
        for source in self._sources.values():
            if source.peer == peer:
                source.peer = None

    def durable(self, at: wire.Durable, now_ms: int) -> None:
        """All records below `at.record` are durable; they end at `at.position` of `at.segment`."""
        self.durable_record, self.durable_offset, self._durable_at = at.record, at.offset, at
        while self._waiting and self._waiting[0][0] <= at.record:
            self._out.append(self._waiting.popleft()[1])
        self._tell_log(now_ms)
        for session in self._slots.values():
            if session.assign_record is not None and session.assign_record <= at.record:
                session.assign_record = None
                self._assign(session, now_ms)
            session.release(at.record)
            self._want(session)

    def fetched(
        self,
        fetch: fx.Fetch,
        end: int,
        batches: list[wire.Delivered],
        bodies: list[fx.Body],
    ) -> None:
        """The answer to a `Fetch`: these are all of the slot's events in [fetch.begin, end)."""
        session = self._slots.get(fetch.key)
        if session is None or session.peer is None or session.epoch != fetch.epoch:
            return
        session.fetching = False
        message: wire.Deliver | None
        if fetch.at:
            still = self.state.slots[fetch.key].deferred
            message = session.deliver_deferred(fetch, end, still, batches)
        else:
            message = session.deliver(end, batches, sum(map(len, bodies)))
        if message is not None:
            self._send(session.peer, message, bodies)
        self._want(session)

    def tick(self, now_ms: int) -> None:
        """Time passes: repeat what was not answered, forget who is silent, prove the last
        record."""
        self._tell_log(now_ms)
        silent = [
            p for p, seen in self._seen_ms.items() if now_ms - seen > limits.HEARTBEAT_LOST_MS
        ]
        for peer in silent:
            self.lost(peer)
        for session in self._slots.values():
            if session.assign_due(now_ms):
                self._assign(session, now_ms)
        if now_ms - self._appended_ms > limits.MARK_AFTER_MS:
            self.mark(now_ms)

    def mark(self, now_ms: int) -> None:
        """Write down that the last record is durable, if nothing has done so yet."""
        if self._mark_wanted and self.durable_record == self.state.record:
            self._append(rec.Mark(_time_us(now_ms), [], []), 0, [])
            self._mark_wanted = False

    # ---- hello

    def _hello(self, peer: bytes, hello: wire.Hello, now_ms: int, key: str) -> None:
        why = self.access.refuse_hello(key, hello)
        if why is not None:
            self._refuse(peer, "key", why)
            return
        if not self._fits(peer, hello):
            return
        if self._keys.get(peer, key) != key:
            self.lost(peer)  # it names its connection as another did
        self._seen_ms[peer] = now_ms
        self._roles[peer] = hello
        if key != LOCAL:
            self._keys[peer] = key
        match hello.role:
            case "service":
                self._hello_service(peer, hello, now_ms)
            case "source":
                self._hello_source(peer, hello, now_ms)
            case "log":
                if peer not in self._log_peers:  # a hello may be repeated
                    self._log_peers.append(peer)
                self._send(peer, self._durable_at)
            case "control":
                pass

    def _fits(self, peer: bytes, said: wire.Hello | wire.SchemasRequest) -> bool:
        """Whether a client is of this protocol and plan; else it is told how it is not."""
        if said.version != wire.PROTOCOL_VERSION:
            self._refuse(peer, "version", f"this broker speaks protocol {wire.PROTOCOL_VERSION}")
            return False
        if isinstance(said, wire.Hello) and (said.role == "control" or not said.plan_hash):
            return True
        if said.plan_hash == self._plan_hash:
            return True
        until = self.former_plans.get(said.plan_hash)
        why = "made for another plan than the one that runs, and "
        why += f"older: it was here until {until}" if until else "one that has not run here yet"
        self._refuse(peer, "plan", why)
        return False

    def _hello_service(self, peer: bytes, hello: wire.Hello, now_ms: int) -> None:
        key = (hello.name, hello.slot)
        session = self._slots.get(key)
        if session is None and slots_of(self.state, hello.name):
            self._send(peer, wire.Fenced(f"there is no replica {hello.slot} of {hello.name} now"))
            return
        if session is None:
            self._refuse(peer, "service", f"there is no service {hello.name}")
            return
        if session.peer == peer:
            return  # a hello that was repeated
        if session.peer is not None and session.incarnation != hello.incarnation:
            self._send(session.peer, wire.Fenced("another process has taken this replica over"))
            self._roles.pop(session.peer, None)
        epoch = self.state.slots[key].epoch + 1
        self._append(rec.SlotEpoch(_time_us(now_ms), [], [], *key, epoch), 0, [])
        session.connect(peer, hello.incarnation, epoch, assign_record=self.state.record)

    def _hello_source(self, peer: bytes, hello: wire.Hello, now_ms: int) -> None:
        known = hello.name in self.state.sources
        if not known and len(self.state.sources) >= limits.SOURCE_NAMES_MAX:
            self._refuse(peer, "sources", f"{limits.SOURCE_NAMES_MAX:,} are known, which is all")
            return
        state = self.state.source(hello.name)
        session = self._sources.setdefault(hello.name, SourceSession())
        if session.peer == peer:
            return
        if session.peer is not None and session.incarnation != hello.incarnation:
            self._send(session.peer, wire.Fenced("another process publishes as this source"))
            self._roles.pop(session.peer, None)
        session.peer, session.incarnation = peer, hello.incarnation
        self._append(rec.SourceOpened(_time_us(now_ms), [], [], hello.name, state.epoch + 1), 0, [])
        opened = wire.Opened(hello.name, state.epoch, state.seq, state.done)
        self._send_when_durable(peer, opened)
        if self.draining:
            self._send_when_durable(peer, wire.Drained())

    # ---- sources

    def _publish(
        self, peer: bytes, message: wire.Publish, bodies: list[fx.Body], now_ms: int
    ) -> None:
        state = self._current_source(peer, message.source, message.epoch)
        if state is None:
            return
        refusal = self.access.refuse_publish(message)
        if refusal is not None:
            self._refuse(peer, "undeclared", refusal)
            return
        rows = sum(b.rows for b in message.batches)
        if message.seq + rows <= state.seq:  # sent again, and known
            self._send_when_durable(peer, wire.Published(message.source, state.epoch, state.seq))
            return
        if message.seq != state.seq:
            why = f"expected event {state.seq} of the source, got {message.seq}"
            self._refuse(peer, "gap", why)
            return
        entry = rec.SourceEvents(
            _time_us(now_ms), message.batches, [len(b) for b in bodies],
            message.source, message.epoch, message.seq,
        )  # fmt: skip
        first = self.state.offset
        self._append(entry, rows, bodies)
        published = wire.Published(message.source, state.epoch, state.seq, first)
        self._send_when_durable(peer, published)

    def _source_done(self, peer: bytes, message: wire.SourceDone, now_ms: int) -> None:
        state = self._current_source(peer, message.source, message.epoch)
        if state is None:
            return
        if message.seq != state.seq:
            self._refuse(peer, "gap", f"done after {message.seq}, but {state.seq} have arrived")
            return
        if not state.done:
            entry = rec.SourceEnded(
                _time_us(now_ms), [], [], message.source, state.epoch, state.seq
            )
            self._append(entry, 0, [])
        self._send_when_durable(
            peer, wire.Opened(message.source, state.epoch, state.seq, done=True)
        )

    def _current_source(self, peer: bytes, source: str, epoch: int) -> rec.SourceState | None:
        """The state of a source, if this peer publishes as it; another one is fenced."""
        session = self._sources.get(source)
        if session is not None and session.peer == peer:
            state = self.state.source(source)
            if epoch <= state.epoch:  # what it said before it heard of a new one, it says again
                return state if epoch == state.epoch else None
        self._send(peer, wire.Fenced("this source was opened anew"))
        return None

    # ---- services

    def _resume(self, peer: bytes, message: wire.Resume) -> None:
        session = self._current(peer, message.service, message.slot, message.epoch)
        if session is None:
            return
        state = self.state.slots[session.key]
        if message.position >= 0 and not state.cursor <= message.position <= self.durable_offset:
            self._send(peer, wire.Fenced(f"position {message.position} is not of this log"))
            return
        session.resume(
            state.cursor, message.position, replay=message.replay, deferred=state.deferred
        )
        session.open = message.open
        self._want(session)

    def _replayed(self, peer: bytes, message: wire.Replayed) -> None:
        session = self._current(peer, message.service, message.slot, message.epoch)
        if session is not None:
            session.settle(message.through)
            session.open = message.open
            self._want(session)

    def _held(self, peer: bytes, message: wire.Held) -> None:
        session = self._current(peer, message.service, message.slot, message.epoch)
        if session is not None:
            session.deferred_sent = False
            self._want(session)

    def _step(self, peer: bytes, message: wire.Step, bodies: list[fx.Body], now_ms: int) -> None:
        session = self._current(peer, message.service, message.slot, message.epoch)
        if session is None:
            return
        state = self.state.slots[session.key]
        refusal = self.access.refuse_step(message)
        ends = f"from {message.before} to {message.after}"
        if message.before != state.cursor:
            refusal = f"the cursor is {state.cursor}, the step goes {ends}"
        elif not message.before <= message.after <= self.durable_offset:
            refusal = f"a step {ends}, of a log that ends at {self.durable_offset}"
        elif not set(message.resolved) <= {*state.deferred, *message.deferred}:
            refusal = "it resolves events that were not deferred"
        elif message.number != state.steps:
            refusal = f"step {state.steps} is expected, this is {message.number}"
        elif len(state.parked_now) + len(message.parked) > limits.PARKED_PER_SLOT_MAX:
            refusal = (
                f"it has {len(state.parked_now):,} parked events, at most "
                f"{limits.PARKED_PER_SLOT_MAX:,}; see `flowc parked --help`"
            )
        if refusal is not None:
            self._refuse(peer, "step", refusal)
            return
        rows = sum(b.rows for b in message.batches)
        moved = rows or message.parked or message.deferred or message.resolved
        entry = rec.StepDone(
            _time_us(now_ms), message.batches, [len(b) for b in bodies],
            message.service, message.slot, message.epoch, message.before, message.after,
            message.parked, message.deferred, message.resolved, message.partitions,
        )  # fmt: skip
        self._append(entry, rows, bodies, lazy=not moved)
        session.count(message)
        session.settle(message.after)
        stepped = wire.Stepped(message.service, message.slot, message.epoch, message.after)
        self._send_when_durable(peer, stepped)
        self._want(session)

    def _current(self, peer: bytes, service: str, slot: int, epoch: int) -> SlotSession | None:
        """The session, if this peer owns it with this epoch; else the peer is fenced."""
        session = self._slots.get((service, slot))
        if session is None or session.peer != peer or session.epoch != epoch:
            if session is None or session.peer != peer:
                self._send(peer, wire.Fenced("another process has taken this replica over"))
            return None  # an older epoch of the same process: it will see its new Assign
        return session

    def _assign(self, session: SlotSession, now_ms: int) -> None:
        state = self.state.slots[session.key]
        if session.assigned_ms is None and (state.since or session.latest):
            session.seen_by = self.durable_offset
        session.assigned_ms = now_ms
        assert session.peer is not None
        message = wire.Assign(
            *session.key, session.epoch, state.partitions, state.cursor, dict(state.floors),
            list(state.deferred), list(state.parked_now), state.steps, dict(state.since),
            session.seen_by,
        )  # fmt: skip
        self._send(session.peer, message)
        if self.draining:
            self._send(session.peer, wire.Drained())

    def _want(self, session: SlotSession) -> None:
        """Ask for more of what the slot may have, within its credit."""
        if not self.draining:
            fetch = session.next_fetch(self.durable_offset)
            if fetch is not None:
                self._out.append(fetch)

    # ---- control

    def _control(self, peer: bytes, message: wire.ClientMessage, now_ms: int) -> None:
        role = self._roles[peer].role
        match message:
            case wire.StatusRequest() if role in ("control", "log"):
                self._tell_log(now_ms, asked=peer in self._log_peers)
                self._send(peer, self.status(now_ms))
            case _ if role != "control":
                self._refuse(peer, "role", f"a {role} may not say {type(message).__name__}")
            case wire.Drain():
                self._drain()
            case wire.Unpark():
                self._unpark(peer, message, now_ms)
            case wire.Rescale() | wire.WantReplicas():
                self._replicas(peer, message, now_ms)

    def _replicas(
        self, peer: bytes, message: wire.Rescale | wire.WantReplicas, now_ms: int
    ) -> None:
        """Deal a service's partitions out anew, or have its processes stopped first."""
        service, replicas = message.service, message.replicas
        try:
            slots = rescale(self.state, self.plan, service, replicas)
        except LayoutError as error:
            self._refuse(peer, "replicas", str(error))
            return
        if self.draining:
            self._refuse(peer, "replicas", "the run is ending")
            return
        same = replicas == len(slots_of(self.state, service))
        if isinstance(message, wire.WantReplicas):
            self._wanted.pop(service, None)
            if not same:
                self._wanted[service] = replicas
            self._send(peer, self.status(now_ms))
            return
        if not same:
            self._close_slots(service)
            self._append(rec.Slots(_time_us(now_ms), [], [], slots), 0, [])
            self._open_slots()
        self._wanted.pop(service, None)
        self._send_when_durable(peer, wire.Rescaled(service, replicas))

    def _close_slots(self, service: str) -> None:
        """Whatever its processes hold is delivered again."""
        for session in [s for s in self._slots.values() if s.key[0] == service]:
            if session.peer is not None:
                self._send(session.peer, wire.Fenced("its service has other replicas now"))
                self._roles.pop(session.peer, None)
            session.disconnect()
            self._gone[session.key] = self._slots.pop(session.key)

    def _unpark(self, peer: bytes, message: wire.Unpark, now_ms: int) -> None:
        """Let parked events go; to be retried, as many as may be deferred at once."""
        done: list[int] = []
        later: list[int] = []
        wanted = sorted(set(message.offsets))
        for session in self._slots.values():
            state = self.state.slots[session.key]
            if session.key[0] != message.service:
                continue
            mine = [o for o in wanted if o in state.parked_now]
            if message.retry:
                room = max(0, limits.DEFERRED_PER_SLOT_MAX - len(state.deferred))
                mine, more = mine[:room], mine[room:]
                later += more
            if mine:
                entry = rec.Unparked(_time_us(now_ms), [], [], *session.key, mine, message.retry)
                self._append(entry, 0, [])
                done += mine
            if mine and message.retry and session.resumed:
                session.unparked.append((self.state.record, mine))
        self._send_when_durable(peer, wire.Unparked(sorted(done), sorted(later)))

    def _drain(self) -> None:
        if not self.draining:
            self.draining = True
            sessions: list[SlotSession | SourceSession] = [
                *self._slots.values(),
                *self._sources.values(),
            ]
            for session in sessions:
                if session.peer is not None:
                    self._send(session.peer, wire.Drained())

    # ---- status

    def status(self, now_ms: int) -> wire.Status:
        """What the supervisor shows and waits for."""
        slots = [s.status(self.state.slots[s.key], self.state.offset) for s in self._slots.values()]
        known = [(name, s, self.state.source(name)) for name, s in self._sources.items()]
        sources = [wire.SourceStatus(n, s.peer is not None, at.seq, at.done) for n, s, at in known]
        idle = (
            self.durable_record == self.state.record
            and all(s.done for s in sources)
            and all(
                s.idle(self.state.slots[s.key], self.durable_offset) for s in self._slots.values()
            )
        )
        return wire.Status(
            offset=self.durable_offset,
            record=self.durable_record,
            applied=self.applied.offset,
            idle=idle,
            draining=self.draining,
            slots=slots,
            sources=sources,
            log_bytes=self.journal_bytes,
            uptime_ms=now_ms - self.started_ms,
            began=self.began,
            wanted=dict(self._wanted),
        )

    # ---- small things

    def _append(
        self, entry: rec.AnyEntry, rows: int, bodies: list[fx.Body], *, lazy: bool = False
    ) -> None:
        at = self.state
        self._out.append(fx.Append(at.record, at.offset, rows, entry, bodies, lazy))
        self.state.apply(entry, rows)
        self._appended_ms = entry.time_us // 1000
        self._mark_wanted = True

    def _send(self, peer: bytes, message: wire.Message, bodies: Iterable[fx.Body] = ()) -> None:
        self._out.append(fx.Send(peer, message, list(bodies)))

    def _send_when_durable(self, peer: bytes, message: wire.Message) -> None:
        """After all that was appended so far is durable."""
        send = fx.Send(peer, message, [])
        if self.state.record <= self.durable_record:
            self._out.append(send)
        else:
            self._waiting.append((self.state.record, send))

    def _tell_log(self, now_ms: int, *, asked: bool = False) -> None:
        """Say how far the log may read: not at every commit, or it would wake for each lone
        event."""
        due = asked or now_ms - self._told_ms >= limits.LOG_TELL_MS
        if self._log_peers and due and self._log_told != self._durable_at:
            self._told_ms, self._log_told = now_ms, self._durable_at
            for peer in self._log_peers:
                self._send(peer, self._durable_at)

    def _refuse(self, peer: bytes, code: str, why: str) -> None:
        self._send(peer, wire.Refused(code, why))


def _time_us(now_ms: int) -> int:
    return now_ms * 1000
