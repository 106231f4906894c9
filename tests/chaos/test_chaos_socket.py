"""Whatever comes to the broker's socket: refused, and nothing changed (spec: guarantees)."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from support import hostile
from support.bodies import body
from support.broker import BrokerProcess, expect, wait_for
from support.figures import Figures, record
from support.plans import pipeline

pytestmark = pytest.mark.slow
PLAN = pipeline()
MIB = 1 << 20
MALFORMED, NONSENSE, WINDOW = 1_000_000, 100_000, 1_000
CONNECTIONS_PER_S, SECONDS = 1_000, 10
JUNK = 3_000


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(tmp_path, PLAN)
    broker.start()
    yield broker
    assert broker.process.poll() is None, broker.process.communicate()
    assert broker.stop() == 0


@pytest.fixture
def source(broker: BrokerProcess) -> Iterator[Steady]:
    with broker.hello("source", "gen") as client:
        yield Steady(client)


class Steady:
    """A source that goes on meanwhile: one event, acknowledged, each time it is asked."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.epoch = expect(self.client, wire.Opened)[0].epoch
        self.acknowledged = self.worst_ms = 0

    def publish(self) -> None:
        begun = time.monotonic()
        seq = self.acknowledged
        message = wire.Publish("gen", self.epoch, seq, [wire.Batch("Placed", 1)])
        self.client.send(message, [body(PLAN, "Placed", [seq])])
        assert expect(self.client, wire.Published)[0].seq == seq + 1
        self.acknowledged += 1
        self.worst_ms = max(self.worst_ms, int((time.monotonic() - begun) * 1000))

    def figures(self, what: str, faults: int) -> Figures:
        return Figures(what, 1, faults, self.acknowledged, 0, 0, 0, self.worst_ms)


def test_a_thousand_connections_a_second(broker: BrokerProcess, source: Steady) -> None:
    """Spec 13.9: half of them say hello; none is kept."""
    process = psutil.Process(broker.process.pid)
    path = broker.folder / "b.sock"
    hello = wire.encode(wire.Hello("control", "c", 0, "i", "", 1))
    said = hostile.HANDSHAKE + hostile.frame(len(hello), hello)
    source.publish()
    before, fds = process.memory_info().rss, process.num_fds()
    begun = time.monotonic()
    made = CONNECTIONS_PER_S * SECONDS
    for n in range(made):
        hostile.throw(path, said if n % 2 else b"").close()
        if n % 200 == 0:
            source.publish()
    per_s = int(made / (time.monotonic() - begun))
    source.publish()
    wait_for("all are closed", lambda: process.num_fds() <= fds + 2)
    assert process.memory_info().rss - before < 64 * MIB
    assert broker.status().offset == source.acknowledged
    record("13.9", source.figures(f"connections, {per_s:,} a second", made))


def test_junk_below_zeromq(broker: BrokerProcess, source: Steady) -> None:
    """Spec 13.9: random bytes, HTTP, halves of a handshake and of a frame, 2 GiB announced."""
    process = psutil.Process(broker.process.pid)
    dice = random.Random(1)
    source.publish()
    before, fds = process.memory_info().rss, process.num_fds()
    held = []
    for n in range(JUNK):
        held.append(hostile.throw(broker.folder / "b.sock", hostile.below_zeromq(dice)))
        if len(held) > 200:
            held.pop(dice.randrange(len(held))).close()
        if n % 20 == 0:
            source.publish()
    assert process.memory_info().rss - before < 64 * MIB
    for connection in held:
        connection.close()
    wait_for("all are closed", lambda: process.num_fds() <= fds + 2)
    source.publish()
    assert broker.status().offset == source.acknowledged
    record("13.9", source.figures("connections with junk, HTTP, half frames, 2 GiB frames", JUNK))


def unchanged(status: wire.Status) -> list[object]:
    """What messages that are refused leave as it is; a mark may be written meanwhile."""
    passing = {"uptime_ms", "record", "log_bytes"}
    return [getattr(status, f) for f in status.__struct_fields__ if f not in passing]


def test_a_million_malformed_messages(broker: BrokerProcess) -> None:
    """Spec 13.10: each is refused with a code, and none changes anything."""
    process = psutil.Process(broker.process.pid)
    with broker.hello("control", "bad") as client:
        before, memory = broker.status(), process.memory_info().rss
        messages = itertools.islice(hostile.malformed(PLAN, 7), MALFORMED)
        refused: Counter[str] = Counter()
        sent = answered = 0
        while answered < MALFORMED:
            for frames in itertools.islice(messages, WINDOW - (sent - answered)):
                client.socket.send_multipart(frames)
                sent += 1
            got, _ = expect(client, wire.Refused)
            refused[got.code] += 1
            answered += 1
        assert refused == {"malformed": MALFORMED}
        assert unchanged(before) == unchanged(broker.status())
        assert process.memory_info().rss - memory < 64 * MIB
    record("13.10", Figures("malformed messages, each refused", 1, MALFORMED, 0, 0, 0, 0))


def test_well_formed_nonsense(broker: BrokerProcess) -> None:
    """Spec 13.10: from somebody who may not say it."""
    with broker.hello("control", "bad") as client:
        before = broker.status()
        for n, frames in enumerate(itertools.islice(hostile.nonsense(PLAN, 7), NONSENSE)):
            client.socket.send_multipart(frames)
            if n % WINDOW == 0:
                client.send(wire.StatusRequest())
                expect(client, wire.Status)
                while client.receive(0) is not None:
                    pass
        assert unchanged(before) == unchanged(broker.status())
    what = "well-formed messages that their sender may not say"
    record("13.10", Figures(what, 1, NONSENSE, 0, 0, 0, 0))
