"""The broker's test of its own door, and that it fails where the door is open (spec 7.15)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
import zmq
from zmq.utils import z85

from flowc_engine import limits
from flowc_engine.broker import listener as listening
from flowc_engine.broker.listener import ListenError, SecureListener
from flowc_engine.bus.curve import Pair
from flowc_engine.bus.zap import ZapHandler
from support.plans import pipeline
from support.secure import SecureBroker


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as context:
        yield context


def listen(context: zmq.Context[zmq.Socket[bytes]]) -> SecureListener:
    return SecureListener(context, "tcp://127.0.0.1:*", Pair.make(), lambda _: False)


def prove(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    listener = listen(context)
    try:
        listener.prove(lambda _: None)
    finally:
        listener.close()


def test_a_door_that_is_shut_passes(context):
    prove(context)


def test_a_handler_that_lets_everybody_in_is_noticed(context, monkeypatch):
    monkeypatch.setattr(ZapHandler, "_judge", lambda _, frames: z85.encode(frames[8]).decode())
    with pytest.raises(ListenError, match="is open: an unknown key got in"):
        prove(context)


def test_a_socket_without_curve_is_noticed(context, monkeypatch):
    monkeypatch.setattr(listening, "secure_server", lambda socket, pair: None)
    with pytest.raises(ListenError, match="is open: no key got in"):
        prove(context)


def test_a_socket_without_an_enforced_domain_and_without_a_handler_is_noticed(context, monkeypatch):
    """libzmq takes any key then."""

    def fails_open(socket: zmq.Socket[bytes], pair: Pair) -> None:
        socket.curve_server = 1
        socket.curve_publickey, socket.curve_secretkey = pair.public.encode(), pair.secret.encode()

    monkeypatch.setattr(listening, "secure_server", fails_open)
    monkeypatch.setattr(ZapHandler, "__init__", deaf)
    with pytest.raises(ListenError, match=r"an unknown key got in|is not told"):
        prove(context)


def test_a_handler_that_never_answers_is_noticed(context, monkeypatch):
    monkeypatch.setattr(limits, "SELF_TEST_MS_MAX", 300)
    monkeypatch.setattr(ZapHandler, "serve", lambda _: None)
    with pytest.raises(ListenError, match="not seen what becomes of a known key"):
        prove(context)


def deaf(self: ZapHandler, context: zmq.Context[zmq.Socket[bytes]], *_: object) -> None:
    self.socket = context.socket(zmq.ROUTER)
    self.socket.linger = 0


def test_a_fault_of_the_handler_is_a_no_and_no_end(context):
    """Spec 7.8: whatever goes wrong, the question is answered and the handler lives."""
    zap = ZapHandler(context, b"flow", lambda key: len(key) < 1 / 0)
    with context.socket(zmq.REQ) as asker:
        asker.linger = 0
        asker.connect("inproc://zeromq.zap.01")
        asked = [b"1.0", b"7", b"flow", b"127.0.0.1", b"", b"CURVE", bytes(32)]
        for frames in (asked, [b""], asked[:3], [*asked[:6], b"short"], [b"9.9", *asked[1:]]):
            asker.send_multipart(frames)
            assert zap.socket.poll(5_000)
            zap.serve()
            assert asker.recv_multipart()[2] == b"400"
    zap.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b.ring.allow_file.chmod(0o644), "is open to others (mode 0644): `chmod 600"),
        (lambda b: setattr(b, "tcp", "tcp://192.0.2.7:5555"), "no such address"),
    ],
)
def test_a_broker_whose_keys_or_endpoint_are_no_good_does_not_run(tmp_path, change, said):
    """Spec 7.12: exit code 3, and the last line says what to do."""
    broker = SecureBroker(tmp_path, pipeline())
    change(broker)
    process = broker.popen()
    try:
        out, err = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 3
    assert out == ""
    assert said in err.strip().rpartition("\n")[2]
