"""A real broker process: killed, fed with junk, on a damaged journal (spec: delivery, journal,
wire)."""

from __future__ import annotations

import math
import random

import pytest
import zmq

from flowc_engine.bus import wire
from flowc_engine.journal.segments import segment_path
from support.bodies import body, numbers
from support.broker import BrokerProcess, expect
from support.figures import Figures, record
from support.plans import pipeline

PLAN = pipeline()


@pytest.fixture
def broker(tmp_path):
    broker = BrokerProcess(tmp_path, PLAN)
    broker.start()
    yield broker
    if broker.process is not None:
        broker.kill()


def placed(numbers: list[int]) -> bytes:
    return body(PLAN, "Placed", numbers)


def test_what_is_published_is_delivered_and_survives_a_restart(broker):
    with broker.hello("source", "gen") as source:
        opened, _ = expect(source, wire.Opened)
        batch = [wire.Batch("Placed", 3)]
        source.send(wire.Publish("gen", opened.epoch, 0, batch), [placed([1, 2, 3])])
        assert expect(source, wire.Published)[0].seq == 3
    assert broker.stop() == 0
    broker.start()
    with broker.hello("service", "Pay") as pay:
        assign, _ = expect(pay, wire.Assign)
        pay.send(wire.Resume("Pay", 0, assign.epoch, replay=False))
        deliver, bodies = expect(pay, wire.Deliver)
        assert (deliver.begin, deliver.end) == (0, 3)
        assert numbers(PLAN, "Placed", bodies[0]) == [1, 2, 3]
        out = body(PLAN, "Paid", [1, 2, 3], cause=0)
        step = wire.Step("Pay", 0, assign.epoch, 0, 3, [wire.Batch("Paid", 3)])
        pay.send(step, [out])
        assert expect(pay, wire.Stepped)[0].cursor == 3
    assert broker.status().offset == 6


def test_killed_under_load_it_has_all_that_it_acknowledged(broker):
    """Spec 4.2: what was acknowledged is there, each event once, after any number of kills."""
    dice = random.Random(7)
    acknowledged = sent = 0
    with broker.hello("source", "gen") as source:
        for _ in range(4):
            epoch = None
            target = acknowledged + dice.randrange(200, 2000)
            while acknowledged < target:
                got = source.receive(50)
                if got is None:
                    continue
                message, _ = got
                if isinstance(message, wire.Opened):
                    epoch, sent = message.epoch, message.seq
                    assert message.seq >= acknowledged, "acknowledged, and lost"
                    acknowledged = message.seq
                elif isinstance(message, wire.Published):
                    acknowledged = message.seq
                while epoch is not None and sent - acknowledged < 100:
                    message = wire.Publish("gen", epoch, sent, [wire.Batch("Placed", 10)])
                    source.send(message, [placed(list(range(sent, sent + 10)))])
                    sent += 10
            broker.kill()
            broker.start()
        expect(source, wire.Opened, lambda m: m.seq >= acknowledged)
    with broker.hello("service", "Pay") as pay:
        assign, _ = expect(pay, wire.Assign)
        pay.send(wire.Resume("Pay", 0, assign.epoch, replay=False))
        found: list[int] = []
        while len(found) < acknowledged:
            deliver, bodies = expect(pay, wire.Deliver)
            for data in bodies:
                found += numbers(PLAN, "Placed", data)
            pay.send(wire.Step("Pay", 0, assign.epoch, deliver.begin, deliver.end))
    assert found == list(range(len(found)))


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b""], "malformed"),
        ([b"\xff\x00junk"], "malformed"),
        ([b"\x91\xa2\xff\xfe"], "malformed"),  # text that is no UTF-8
        ([b"\x92\xa9Heartbeat" + b"\x91" * 5_000 + b"\xc0"], "malformed"),  # too deep
        ([wire.encode(wire.Publish("gen", 1, 0, [wire.Batch("Placed", 1)]))], "body"),
        ([wire.encode(wire.Publish("gen", 1, 0, [wire.Batch("Placed", 1)])), b"junk"], "body"),
        ([wire.encode(wire.Publish("gen", 1, 0, [wire.Batch("Placed", 1)])), b""], "body"),
        ([wire.encode(wire.Publish("gen", 1, 0, [wire.Batch("Placed", 9)])), placed([1])], "body"),
        ([wire.encode(wire.Publish("gen", 1, 0, [wire.Batch("Nothing", 1)])), placed([1])], "body"),
        (
            [wire.encode(wire.Publish("gen", 1, 0, [wire.Batch("Paid", 1)])), placed([1])],
            "undeclared",
        ),
    ],
)
def test_what_is_not_of_the_protocol_is_refused_and_the_broker_lives(broker, frames, code):
    with broker.hello("source", "gen") as source:
        expect(source, wire.Opened)
        source.socket.send_multipart(frames)
        assert expect(source, wire.Refused)[0].code == code
        assert broker.status().offset == 0


def test_raw_sockets_do_no_harm(broker):
    context = zmq.Context()
    for kind in (zmq.REQ, zmq.DEALER, zmq.PUSH):
        socket = context.socket(kind)
        socket.linger = 0
        socket.connect(broker.endpoint)
        socket.send(b"\x00" * 100)
        socket.close()
    context.term()
    assert broker.status().offset == 0


def test_a_damaged_journal_stops_it_and_says_where(broker, tmp_path):
    with broker.hello("source", "gen") as source:
        opened, _ = expect(source, wire.Opened)
        for n in range(3):
            source.send(
                wire.Publish("gen", opened.epoch, n, [wire.Batch("Placed", 1)]), [placed([n])]
            )
            expect(source, wire.Published)
    broker.stop()
    path = segment_path(tmp_path / "journal", 0)
    data = bytearray(path.read_bytes())
    data[data.index(b"key1")] ^= 1
    path.write_bytes(data)
    process = broker.popen()
    _, error = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "damaged: 0000000000.seg at byte" in error
    assert bytes(data) == path.read_bytes()


def test_a_second_broker_on_the_journal_is_refused(broker):
    process = broker.popen()
    _, error = process.communicate(timeout=20)
    assert process.returncode == 4
    assert "another broker has" in error
    assert broker.status().offset == 0
    record("13.15", Figures("a second broker on a journal", 1, 1))


def test_a_silent_client_is_known_to_a_broker_that_was_restarted(broker):
    """Spec 7.2: no heartbeat, and nothing else, has to be due first."""
    with broker.hello("service", "Pay") as pay:
        first, _ = expect(pay, wire.Assign)
        pay._heartbeat_at = math.inf
        broker.kill()
        broker.start()
        expect(pay, wire.Assign, lambda m: m.epoch == first.epoch + 1)
