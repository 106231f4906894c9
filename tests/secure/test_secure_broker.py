"""A broker on TCP: strangers, thieves of names, revoked keys, junk (spec 7.7 to 7.14)."""

from __future__ import annotations

import random
import time

import pytest

from flowc_engine.bus import wire
from flowc_engine.bus.client import Client
from flowc_engine.bus.curve import Credentials, CurveError
from support.bodies import body, numbers
from support.broker import expect, wait_for
from support.plans import pipeline
from support.secure import (
    GEN,
    PAY,
    SHIP,
    SecureBroker,
    announcing,
    connect_raw,
    dealer,
    greeting,
    was_closed,
)

PLAN = pipeline()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = SecureBroker(tmp_path_factory.mktemp("tcp"), PLAN)
    broker.start()
    yield broker
    if broker.process is not None:
        broker.kill()


def hears_nothing(client: Client, seconds: float = 0.2) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if client.receive(50) is not None:
            return False
    return True


def publish(source: Client, batch: list[int]) -> wire.Published:
    opened, _ = expect(source, wire.Opened)
    rows = [wire.Batch("Placed", len(batch))]
    source.send(wire.Publish("gen", opened.epoch, opened.seq, rows), [body(PLAN, "Placed", batch)])
    return expect(source, wire.Published)[0]


def test_who_has_a_key_is_served_as_over_the_local_socket(broker):
    """Spec 7.7, 7.13: events travel, and the schemas of what is stored are told first."""
    with broker.remote(GEN) as source:
        assert expect(source, wire.Schemas)[0].journal
        end = publish(source, [1, 2, 3])
    with broker.remote(PAY) as pay:
        assign, _ = expect(pay, wire.Assign)
        pay.send(wire.Resume("Pay", 0, assign.epoch, replay=False))
        deliver, bodies = expect(pay, wire.Deliver)
        assert numbers(PLAN, "Placed", bodies[0]) == [1, 2, 3]
        step = wire.Step("Pay", 0, assign.epoch, assign.cursor, deliver.end, number=assign.number)
        pay.send(step)
        assert expect(pay, wire.Stepped)[0].cursor == deliver.end
    assert broker.status().offset >= end.seq


def test_an_unknown_key_gets_nothing_in_and_learns_why(broker):
    """Spec 7.8."""
    with broker.remote(PAY, broker.stranger()) as stranger:
        wait_for(
            "the refusal",
            lambda: stranger.receive(50) is None and "let this key in" in stranger.fault,
        )


def test_the_key_of_another_broker_is_noticed(broker, tmp_path):
    """Spec 7.8: a client speaks to the broker that its key names, and to no other."""
    other = broker.stranger()._replace(broker=broker.stranger().own.public)
    with broker.remote(PAY, other) as lost:
        assert hears_nothing(lost)


@pytest.mark.parametrize(
    "options", [{}, {"plain_username": b"Pay", "plain_password": b"Pay"}], ids=["NULL", "PLAIN"]
)
def test_without_a_key_nothing_gets_in(broker, options):
    """Spec 7.8: not a byte of the application's is read."""
    with dealer(broker.tcp, **options) as socket:
        socket.send(wire.encode(wire.Hello("control", "x", 0, "i", "", 1)))
        socket.send(wire.encode(wire.Drain()))
        assert not socket.poll(300)
    assert not broker.status().draining


def test_a_client_without_a_key_is_told_which_command_makes_one(broker):
    """Spec 7.7."""
    hello = wire.Hello("service", "Pay", 0, "i", PLAN.hash, 1)
    with pytest.raises(CurveError, match="flowc keys export"):
        Client(broker.tcp, hello)


@pytest.mark.parametrize(
    ("role", "name"),
    [("service", "Ship"), ("source", "gen"), ("source", "Pay"), ("control", "c"), ("log", "log")],
)
def test_a_key_is_good_for_one_name_in_one_role(broker, role, name):
    """Spec 7.9: and never for control or the log."""
    with broker.remote(PAY, role=role, name=name) as thief:
        refused, _ = expect(thief, wire.Refused)
        assert refused.code == "key"
        assert refused.why == f"this is the key of service Pay, not of {role} {name}"
        thief.send(wire.StatusRequest())  # which makes it say hello again
        heard = []
        while not heard or heard[-1] is not wire.Refused:
            got = thief.receive(10_000)
            assert got is not None
            heard.append(type(got[0]))
        assert heard == [wire.Schemas, wire.Refused]


def test_a_service_asks_for_no_status_and_gives_no_orders(broker):
    """Spec 7.9."""
    with broker.remote(PAY) as pay:
        expect(pay, wire.Assign)
        for message in (
            wire.StatusRequest(),
            wire.Drain(),
            wire.Unpark("Ship", [0], retry=False),
            wire.Rescale("Ship", 1),
            wire.Applied(10**9, 10**9, 10**9),
        ):
            pay.send(message)
            assert expect(pay, wire.Refused)[0].code == "role"
    status = broker.status()
    assert not status.draining
    assert status.applied == 0


def test_one_key_publishes_a_type(broker):
    """Spec 7.10: the emitter that is declared, and nobody else, whoever he says he is."""
    paid = body(PLAN, "Paid", [1], cause=0)
    before = broker.status().offset
    with broker.remote(SHIP) as ship:
        assign, _ = expect(ship, wire.Assign)
        ship.send(wire.Resume("Ship", 0, assign.epoch, replay=False))
        ship.send(wire.Step("Ship", 0, assign.epoch, 0, 0, [wire.Batch("Paid", 1)]), [paid])
        assert "may not emit Paid" in expect(ship, wire.Refused)[0].why
        # As another: the replica of Pay is not its own.
        ship.send(wire.Step("Pay", 0, 1, 0, 0, [wire.Batch("Paid", 1)]), [paid])
        expect(ship, wire.Fenced)
        ship.send(wire.Publish("gen", 1, 0, [wire.Batch("Placed", 1)]), [body(PLAN, "Placed", [1])])
        expect(ship, wire.Fenced)
    with broker.remote(GEN) as source:
        opened, _ = expect(source, wire.Opened)
        source.send(wire.Publish("gen", opened.epoch, opened.seq, [wire.Batch("Paid", 1)]), [paid])
        assert expect(source, wire.Refused)[0].code == "undeclared"
    assert broker.status().offset == before


def test_who_names_its_connection_as_another_did_is_not_the_other(broker):
    """Spec 7.9: the name of a connection is chosen by its peer; the key is not."""

    def options(key: Credentials) -> dict[str, bytes]:
        return {
            "curve_serverkey": key.broker.encode(),
            "curve_publickey": key.own.public.encode(),
            "curve_secretkey": key.own.secret.encode(),
            "routing_id": b"mine",
        }

    with dealer(broker.tcp, **options(broker.key(PAY))) as pay:
        pay.send(wire.encode(wire.Hello("service", "Pay", 0, "i", PLAN.hash, 1)))
        assert pay.poll(10_000)
        assert pay.recv() == b"", "the broker's word to a new connection (7.2)"
        assert pay.poll(10_000)
        assign = wire.decode_broker(pay.recv())
        assert isinstance(assign, wire.Assign)
    step = wire.Step("Pay", 0, assign.epoch, assign.cursor, assign.cursor, number=assign.number)
    with dealer(broker.tcp, **options(broker.key(SHIP))) as ship:
        said = [step, wire.Hello("service", "Ship", 0, "i", PLAN.hash, 1), step]
        for message in said:
            ship.send(wire.encode(message))
        assert ship.recv() == b""
        heard = [type(wire.decode_broker(ship.recv())) for _ in range(2) if ship.poll(10_000)]
    assert heard == [wire.Who, wire.Fenced]


def test_a_key_that_is_revoked_is_heard_no_more(broker):
    """Spec 7.11: on the connection that it has, too, and it may come back with a new one."""
    with broker.remote(SHIP) as ship:
        assign, _ = expect(ship, wire.Assign)
        ship.send(wire.Resume("Ship", 0, assign.epoch, replay=False))
        broker.ring.revoke(SHIP)
        refused, _ = expect(ship, wire.Refused)
        assert (refused.code, refused.why) == ("key", "this key was revoked")
        ship.send(
            wire.Step("Ship", 0, assign.epoch, assign.cursor, assign.cursor, number=assign.number)
        )
        ship.send(wire.Hello("service", "Ship", 0, "again", PLAN.hash, 1))
        assert hears_nothing(ship)
    assert not broker.status().slots[1].connected
    broker.ring.add(SHIP)
    with broker.remote(SHIP) as ship:
        expect(ship, wire.Assign)


def test_a_key_that_is_rotated_is_worth_nothing(broker):
    """Spec 7.11."""
    old = broker.key(SHIP)
    with broker.remote(SHIP, old) as ship:
        expect(ship, wire.Assign)
        broker.ring.rotate(SHIP)
        assert expect(ship, wire.Refused)[0].code == "key"
        with broker.remote(SHIP) as new:
            expect(new, wire.Assign)


@pytest.mark.slow
def test_who_was_shut_out_comes_in_when_the_key_is_let_in(broker):
    """Spec 7.11: libzmq gives up after a refusal; a client does not."""
    key = broker.stranger()
    allow = broker.ring.allow_file
    text = allow.read_text()
    with broker.remote(SHIP, key) as ship:
        wait_for(
            "the refusal", lambda: ship.receive(50) is None and "let this key in" in ship.fault
        )
        allow.write_text(text.replace(broker.key(SHIP).own.public, key.own.public))
        expect(ship, wire.Assign)
    allow.write_text(text)


@pytest.mark.slow
def test_a_list_that_others_could_write_lets_nobody_in(broker):
    """Spec 7.12: and says so, and is followed when it is mended."""
    with broker.remote(PAY) as pay:
        expect(pay, wire.Assign)
        broker.ring.allow_file.chmod(0o666)
        try:
            assert expect(pay, wire.Refused)[0].code == "key"
        finally:
            broker.ring.allow_file.chmod(0o600)
    with broker.remote(PAY) as pay:
        expect(pay, wire.Assign)


def test_another_plan_is_told_which_side_is_older(broker):
    """Spec 7.13."""
    with broker.remote(PAY, plan_hash="f" * 64) as pay:
        refused, _ = expect(pay, wire.Refused)
        assert refused.code == "plan"
        assert "has not run here yet" in refused.why


# ---- those who speak no ZeroMQ


def junk() -> list[bytes]:
    dice = random.Random(5)
    return [
        b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(500),
        dice.randbytes(4096),
        greeting(b"NULL") + b"\x04\x19\x05READY" + dice.randbytes(20),
        greeting(b"CURVE") + dice.randbytes(300),
        greeting(b"CURVE") + b"\x04\xc8\x05HELLO" + dice.randbytes(194),
        greeting(b"CURVE")[:40],
    ]


def test_junk_is_hung_up_on_and_others_are_served(broker):
    """Spec 7.14: no byte of it reaches the application."""
    before = broker.status()
    raws = []
    for data in junk() * 10:
        raw = connect_raw(broker.port)
        raw.sendall(data)
        raws.append(raw)
    with broker.remote(GEN) as source:
        assert publish(source, [7]).seq > 0
    for raw in raws:
        raw.close()
    assert broker.status().record > before.record
    assert broker.process.poll() is None


@pytest.mark.parametrize("command", [True, False])
def test_a_frame_of_2_gib_is_not_waited_for(broker, command):
    """Spec 7.14: whoever announces it is hung up on, and no memory is taken for it."""
    before = broker.rss_mib()
    raws = []
    for _ in range(8):
        raw = connect_raw(broker.port)
        raw.sendall(greeting(b"CURVE") + announcing(2**31 - 1, command=command) + bytes(1000))
        raws.append(raw)
    assert all(was_closed(raw) for raw in raws)
    assert broker.rss_mib() - before < 64
    for raw in raws:
        raw.close()


def test_a_key_holder_cannot_announce_2_gib_either(broker):
    """Spec 7.14: one frame is at most `FRAME_BYTES_MAX`, encrypted or not."""
    with broker.remote(GEN) as source:
        expect(source, wire.Opened)
        before = broker.rss_mib()
        source.socket.send(bytes(17 * 2**20))
        assert not isinstance((source.receive(500) or [None])[0], wire.Refused)
        assert broker.rss_mib() - before < 64
    assert broker.process.poll() is None
