"""The supervisor as a function of what happens and the time: sans-IO.

The driver feeds it `begin`, `ready`, `exited`, `seen`, `rescaled`, `refused`, `interrupt` and
`tick`, each with the time in ms, and carries out the effects it finds in `take`. A run goes through
the phases of `Phase` in order: broker, then log process and services, then sources; back down in
the opposite order.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.supervisor.children import (
    BROKER,
    LOG,
    WARM,
    WORKERS,
    Child,
    ChildState,
    Exit,
    Kind,
    Life,
)
from flowc_engine.supervisor.idle import is_calm
from flowc_engine.supervisor.scaling import Look, Scaler

EXIT_CLEAN, EXIT_FAILURE, EXIT_INTERRUPTED = 0, 3, 130
BROKER_FATAL = (3, 4)  # a damaged journal, a disk that is full


class Phase(IntEnum):
    STARTING = 0  # sources wait for the services
    RUNNING = 1
    DRAINING = 2  # sources and services finish what they hold
    CLOSING_LOG = 3  # the log process applies the rest
    CLOSING_BROKER = 4
    OVER = 5


@dataclass(frozen=True, slots=True)
class Spawn:
    child: Child


@dataclass(frozen=True, slots=True)
class Kill:
    """Send a signal to a process and to its group."""

    child: Child
    signal: signal.Signals


@dataclass(frozen=True, slots=True)
class SendDrain:
    pass


@dataclass(frozen=True, slots=True)
class SendRescale:
    """Ask the broker for another number of replicas; its answer is `rescaled` or `refused`."""

    service: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    level: Literal["info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class Finish:
    code: int


Effect = Spawn | Kill | SendDrain | SendRescale | Say | Finish


@dataclass(slots=True)
class _Change:
    """A service is to have so many replicas. `asked_ms`: when the broker was asked; before that,
    its processes end."""

    replicas: int
    asked_ms: int | None = None


class RunCore:
    """One run. `hosts` and `sources` are the workers it starts; `elsewhere` are replicas that come
    from other machines, and are waited for; `scalers` are of the services whose number of replicas
    may change: with how many they begin the broker says."""

    def __init__(
        self,
        hosts: Iterable[Child],
        sources: Iterable[Child],
        *,
        until_idle: bool,
        elsewhere: Collection[Child] = (),
        scalers: Iterable[Scaler] = (),
    ) -> None:
        workers = [*hosts, *sources]
        self.children = {child: ChildState(child) for child in (BROKER, LOG, WARM, *workers)}
        if not workers:
            self.children[WARM].life = Life.STOPPED  # it would have nothing to do
        self._has_workers = bool(workers)
        self._elsewhere = {child.name for child in elsewhere}
        for child in elsewhere:
            self.children[child] = ChildState(child, elsewhere=True)
        self.phase = Phase.STARTING
        self.status: wire.Status | None = None
        self.fatal = ""
        self.interrupted = False
        self._until_idle = until_idle
        self._calm_offset: int | None = None
        self._deadline_ms = 0
        self._applied: tuple[int, int] = (-1, 0)  # progress of the log, and when
        self._fresh_status = False
        self._scalers = {one.bounds.service: one for one in scalers}
        self._changes: dict[str, _Change] = {}
        self._laid_out = not self._scalers  # whether it is known how many replicas there are
        self.scaled: list[str] = []
        self._out: list[Effect] = []

    def take(self) -> list[Effect]:
        """The effects so far, in order; they are the caller's now."""
        out, self._out = self._out, []
        return out

    def of(self, *kinds: Kind) -> Iterator[ChildState]:
        """The children of these kinds."""
        return (s for s in self.children.values() if s.child.kind in kinds)

    @property
    def failed(self) -> list[ChildState]:
        """What was given up on."""
        return [s for s in self.children.values() if s.life is Life.FAILED]

    @property
    def draining(self) -> bool:
        """Whether the broker is to stop delivering."""
        return Phase.DRAINING <= self.phase < Phase.OVER

    @property
    def broker_is_up(self) -> bool:
        """Whether it is worth asking."""
        return self.children[BROKER].life is Life.UP

    @property
    def about_to_change(self) -> bool:
        """Whether the next look should come soon."""
        waits = self._calm_offset is not None or bool(self._changes)
        return self.phase is not Phase.RUNNING or waits

    # ---- what happens

    def begin(self) -> None:
        """Start the run. The warm parent has much to import, and needs nobody."""
        self._spawn_waiting(BROKER, WARM)

    def ready(self, child: Child, now_ms: int) -> None:
        """A process says that it is up."""
        state = self.children[child]
        if state.life is not Life.STARTING:
            return
        state.life, state.was_up = Life.UP, True
        if child == BROKER and self.phase is Phase.DRAINING:
            self._out.append(SendDrain())
        if child in (BROKER, WARM):
            self._start_services(now_ms)

    def exited(self, child: Child, how: Exit, now_ms: int) -> None:
        """A process has ended."""
        state = self.children[child]
        if not state.alive:
            return
        stopping = state.kill_ms is not None
        state.kill_ms = None
        if stopping or self._was_to_leave(child):
            state.life = Life.STOPPED
        elif child == BROKER and how.code in BROKER_FATAL:
            self._give_up(state, how.tail.strip().rpartition("\n")[2] or str(how), "")
        elif child.kind is Kind.SOURCE and how.code == 0:
            state.life = Life.DONE
        elif how.hopeless:
            self._give_up(state, str(how), how.tail)
        else:
            self._again(state, how, now_ms)
        if child == WARM:
            self._orphaned()
        self._ask_for_changes(now_ms)
        self._advance(now_ms)

    def seen(self, status: wire.Status, now_ms: int) -> None:
        """The broker's answer to a question for its status."""
        self.status, self._fresh_status = status, True
        self._lay_out(status, now_ms)
        for slot in status.slots:
            child = Child(Kind.HOST, slot.service, slot.slot)
            state = self.children.get(child)
            if state is None and slot.service in self._elsewhere:
                state = self.children[child] = ChildState(child, elsewhere=True)
                self._out.append(Say(f"{child} has its part from an earlier run: it is waited for"))
            if state is not None and state.elsewhere:
                self._seen_elsewhere(state, slot)
            elif state is not None and slot.ready:
                self.ready(state.child, now_ms)
        for source in status.sources:
            state = self.children.get(Child(Kind.SOURCE, source.source))
            if state is not None and source.connected:
                self.ready(state.child, now_ms)
        if status.applied > self._applied[0]:
            self._applied = (status.applied, now_ms)
        self._start_sources(now_ms)
        self._scale(status, now_ms)
        self._end_when_idle(status, now_ms)
        self._advance(now_ms)

    def rescaled(self, service: str, replicas: int, now_ms: int) -> None:
        """The service has so many replicas, durably."""
        change = self._changes.get(service)
        if change is not None and change.asked_ms is not None and change.replicas == replicas:
            del self._changes[service]
            self._set_hosts(service, replicas)
            self._start_services(now_ms)

    def refused(self, why: str, now_ms: int) -> None:
        """The broker does not do what it was asked for: the replicas go on as they were."""
        for service in [s for s, change in self._changes.items() if change.asked_ms is not None]:
            self._out.append(Say(f"{service} keeps its replicas: {why}", "warning"))
            del self._changes[service]
            self._set_hosts(service, len(self._hosts(service)))
        self._start_services(now_ms)

    def interrupt(self, now_ms: int) -> None:
        """Ctrl-C or SIGTERM: the first drains, the next kills."""
        if self.phase is Phase.OVER:
            return
        if self.interrupted:
            self._out += [Kill(s.child, signal.SIGKILL) for s in self.children.values() if s.alive]
            self._finish(EXIT_INTERRUPTED)
            return
        self.interrupted = True
        if self.phase <= Phase.RUNNING:
            self._out.append(Say("draining: sources stop, services finish what they hold"))
            self._drain(now_ms)

    def tick(self, now_ms: int) -> None:
        """Time passes."""
        for state in self.children.values():
            if state.due_ms is not None and now_ms >= state.due_ms and self._may_start(state):
                self._spawn(state)
            if state.kill_ms is not None and now_ms >= state.kill_ms and state.alive:
                state.kill_ms = now_ms + limits.KILL_AFTER_MS
                self._out.append(Kill(state.child, signal.SIGKILL))
        self._ask_for_changes(now_ms)
        self._start_sources(now_ms)
        self._advance(now_ms)

    # ---- starting

    def _seen_elsewhere(self, state: ChildState, slot: wire.SlotStatus) -> None:
        """What is not ours lives as the broker sees it."""
        if self.phase > Phase.DRAINING:
            return
        if not slot.connected:
            life = Life.STOPPED if self.phase >= Phase.DRAINING else Life.WAITING
        else:
            life = Life.UP if slot.ready else Life.STARTING
        if (life is Life.UP) != (state.life is Life.UP) and self.phase <= Phase.RUNNING:
            self._out.append(Say(f"{state.child} {'is here' if life is Life.UP else 'is away'}"))
        state.life = life

    @property
    def _warm_is_up(self) -> bool:
        return self.children[WARM].life is Life.UP or not self._has_workers

    def _spawn(self, state: ChildState) -> None:
        state.life, state.due_ms, state.kill_ms = Life.STARTING, None, None
        self._out.append(Spawn(state.child))

    def _spawn_waiting(self, *children: Child) -> None:
        for child in children:
            state = self.children[child]
            if state.life is Life.WAITING and not state.elsewhere:
                self._spawn(self.children[child])

    def _start_services(self, now_ms: int) -> None:
        """And the log process; once there is a broker, and for services a warm parent."""
        if self.phase > Phase.RUNNING or not self.broker_is_up:
            return
        self._spawn_waiting(LOG)
        if self._warm_is_up and self._laid_out:
            if self.phase is Phase.STARTING:
                self._deadline_ms = now_ms + limits.START_MS_MAX
            kinds = WORKERS if self.phase is Phase.RUNNING else (Kind.HOST,)
            self._spawn_waiting(*(s.child for s in self.of(*kinds)))
            self._start_sources(now_ms)

    def _may_start(self, state: ChildState) -> bool:
        """Workers are made by the warm parent, and all but the broker talk to the broker."""
        return state.child.kind not in WORKERS or self.children[WARM].life is Life.UP

    def _start_sources(self, now_ms: int) -> None:
        """Once every service is there or has failed, or at the latest when time is up."""
        ready = self._laid_out and self.broker_is_up and self._warm_is_up
        if self.phase is not Phase.STARTING or not ready:
            return
        missing = [s for s in self.of(Kind.HOST) if s.life not in (Life.UP, Life.FAILED)]
        if missing and now_ms < self._deadline_ms:
            return
        for state in missing:
            self._out.append(Say(f"{state.child} is not ready yet; starting without it", "warning"))
        self.phase = Phase.RUNNING
        self._spawn_waiting(*(s.child for s in self.of(Kind.SOURCE)))

    # ---- replicas

    def _hosts(self, service: str) -> list[ChildState]:
        return [s for s in self.of(Kind.HOST) if s.child.name == service]

    def _set_hosts(self, service: str, replicas: int) -> None:
        """So many processes for a service, all of which are yet to start."""
        old, self.children = self.children, {}
        for child, state in old.items():
            if child.kind is not Kind.HOST or child.name != service:
                self.children[child] = state
            elif not child.slot:
                for slot in range(replicas):
                    one = Child(Kind.HOST, service, slot)
                    self.children[one] = old.get(one) or ChildState(one)
                    self.children[one].life = Life.WAITING

    def _lay_out(self, status: wire.Status, now_ms: int) -> None:
        """The first status says how many replicas the last run had in the end."""
        if not self._laid_out:
            self._laid_out = True
            for service in self._scalers:
                self._set_hosts(service, sum(s.service == service for s in status.slots))
            self._start_services(now_ms)

    def _scale(self, status: wire.Status, now_ms: int) -> None:
        if self.phase is not Phase.RUNNING:
            return
        for service, scaler in self._scalers.items():
            hosts = self._hosts(service)
            slots = [s for s in status.slots if s.service == service]
            whole = all(s.life is Life.UP for s in hosts) and all(s.ready for s in slots)
            if service in self._changes or len(slots) != len(hosts):
                continue
            if not whole:
                scaler.interrupted()
                continue
            lag, handled = max(s.lag for s in slots), sum(s.handled for s in slots)
            look = Look(now_ms, len(slots), status.offset - lag, lag, handled)
            wanted = status.wanted.get(service) or scaler.look(look)
            if wanted is not None:
                self._change(scaler, look, wanted)

    def _change(self, scaler: Scaler, look: Look, replicas: int) -> None:
        service = scaler.bounds.service
        text = f"{service}: {look.replicas} → {replicas} replicas (lag {look.lag:,})"
        self.scaled.append(text)
        self._out.append(Say(text))
        scaler.changes(look.now_ms)
        self._changes[service] = _Change(replicas)
        self._stop(self._hosts(service), limits.KILL_AFTER_MS, look.now_ms)

    def _ask_for_changes(self, now_ms: int) -> None:
        """When all processes of a service have ended; and again while there is no answer."""
        for service, change in self._changes.items():
            late = change.asked_ms is None or now_ms - change.asked_ms >= limits.SCALE_REPEAT_MS
            if late and self.broker_is_up and not any(s.alive for s in self._hosts(service)):
                change.asked_ms = now_ms
                self._out.append(SendRescale(service, change.replicas))

    # ---- dying

    def _was_to_leave(self, child: Child) -> bool:
        return self.phase >= Phase.DRAINING and child.kind in (*WORKERS, Kind.WARM)

    def _again(self, state: ChildState, how: Exit, now_ms: int) -> None:
        due_ms = state.restarts.died(now_ms)
        if due_ms is None:
            window_s = limits.RESTARTS_WINDOW_MS // 1000
            times = f"died {limits.RESTARTS_MAX + 1} times in {window_s} s, at last: {how}"
            self._give_up(state, times, how.tail)
            return
        state.life, state.due_ms = Life.BACKOFF, due_ms
        text = f"{state.child} died ({how}); starting it again in {due_ms - now_ms} ms"
        self._out.append(Say(text, "warning"))

    def _give_up(self, state: ChildState, why: str, tail: str) -> None:
        state.life, state.due_ms = Life.FAILED, None
        words = state.own_words(tail)
        if words and not state.restarts.total:
            state.reason, state.in_short = words, words.partition("\n")[0]
        else:
            last = words.partition("\n")[0] or tail.strip().rpartition("\n")[2].strip()
            state.reason = f"{why}\n{tail}".strip()
            state.in_short = f"{why}: {last}" if last else why
        if state.child.kind in (Kind.BROKER, Kind.WARM):
            self.fatal = f"{state.child} can't go on: {why}"
        self._out.append(Say(f"{state.child} failed: {state.reason}", "error"))

    def _orphaned(self) -> None:
        """The warm parent is gone, and with it its children: no fault of theirs."""
        dead = self.children[WARM]
        for state in self.of(*WORKERS):
            if state.alive and not state.elsewhere:
                leaving = self.phase >= Phase.DRAINING or dead.life is Life.FAILED
                leaving = leaving or state.child.name in self._changes
                state.life = Life.STOPPED if leaving else Life.WAITING
                state.kill_ms = None

    # ---- ending

    def _end_when_idle(self, status: wire.Status, now_ms: int) -> None:
        if not self._until_idle or self.phase is not Phase.RUNNING:
            return
        if not is_calm(status, self.children):
            self._calm_offset = None
        elif self._calm_offset == status.offset:  # a step may have been on its way the first time
            self._drain(now_ms)
        else:
            self._calm_offset = status.offset

    def _advance(self, now_ms: int) -> None:
        """Go on to the next phase if this one's work is done."""
        if self.phase <= Phase.RUNNING:
            self._stop_if_pointless(now_ms)
        if self.phase is Phase.DRAINING:
            self._advance_drain(now_ms)
        if self.phase is Phase.CLOSING_LOG:
            self._advance_log(now_ms)
        if self.phase is Phase.CLOSING_BROKER:
            self._advance_broker(now_ms)

    def _stop_if_pointless(self, now_ms: int) -> None:
        hosts = list(self.of(Kind.HOST))
        if self.fatal:
            self._drain(now_ms)
        elif hosts and all(s.life is Life.FAILED for s in hosts):
            self._out.append(Say("every service has failed", "error"))
            self._drain(now_ms)

    def _drain(self, now_ms: int) -> None:
        self.phase = Phase.DRAINING
        self._changes.clear()
        self._deadline_ms = now_ms + limits.DRAIN_MS_MAX
        if self.children[BROKER].life is Life.UP:
            self._out.append(SendDrain())
        for state in self.of(*WORKERS):
            if state.pending:
                state.life, state.due_ms = Life.STOPPED, None
        self._advance(now_ms)

    def _advance_drain(self, now_ms: int) -> None:
        workers = [s for s in self.of(*WORKERS) if s.alive]
        broker = self.children[BROKER]
        hopeless = self.fatal or not (broker.alive or broker.pending)
        if workers and (hopeless or now_ms >= self._deadline_ms):
            for state in workers:
                if state.elsewhere:
                    state.life = Life.STOPPED  # it goes on by itself when there is a broker again
            self._stop(workers, limits.KILL_AFTER_MS, now_ms)
        if not workers:
            self.phase = Phase.CLOSING_LOG
            self._fresh_status = False
            self._applied = (self._applied[0], now_ms)
            self._stop([self.children[WARM]], limits.KILL_AFTER_MS, now_ms)

    def _advance_log(self, now_ms: int) -> None:
        log = self.children[LOG]
        if log.pending and not self.children[BROKER].was_up:
            log.life = Life.STOPPED
        status = self.status if self._fresh_status else None
        complete = (
            status is not None
            and status.offset - status.applied <= limits.LOG_LAST_EVENTS_MAX
            and log.life is not Life.STARTING  # it does not listen to SIGTERM yet, and would die
        )
        stalled = now_ms - self._applied[1] >= limits.LOG_STALL_MS_MAX
        if complete or stalled or self.fatal:
            if stalled and log.kill_ms is None and not complete:
                self._out.append(Say("the log is behind the journal; the next run catches up"))
            self._stop([log], limits.DRAIN_MS_MAX + limits.KILL_AFTER_MS, now_ms)
        if not (log.alive or log.pending):
            self.phase = Phase.CLOSING_BROKER
            self._fresh_status = False
            self._deadline_ms = now_ms + limits.LAST_STATUS_MS_MAX

    def _advance_broker(self, now_ms: int) -> None:
        """It is asked once more, for the log process's last word, and then stopped."""
        broker = self.children[BROKER]
        if self._fresh_status or broker.life is not Life.UP or now_ms >= self._deadline_ms:
            self._stop([broker], limits.LOG_STALL_MS_MAX, now_ms)
        if not any(s.alive for s in self.children.values()):
            self._finish(EXIT_FAILURE if self.failed else EXIT_CLEAN)

    def _stop(self, states: Iterable[ChildState], patience_ms: int, now_ms: int) -> None:
        """SIGTERM now, and SIGKILL when patience ends."""
        for state in states:
            if state.pending:
                state.life, state.due_ms = Life.STOPPED, None
            elif state.alive and state.kill_ms is None:
                state.kill_ms = now_ms + patience_ms
                self._out.append(Kill(state.child, signal.SIGTERM))

    def _finish(self, code: int) -> None:
        self.phase = Phase.OVER
        self._out.append(Finish(code))
