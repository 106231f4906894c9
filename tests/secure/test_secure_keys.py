"""Keys on disk, and `flowc keys` (spec 7.11, 7.12, 9.35)."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import Result

from flowc_engine.bus import curve
from flowc_engine.bus.curve import Pair
from flowc_engine.core.access import Principal
from flowc_engine.keys import AllowList, KeyRing, KeysError, read_key
from support.invoking import flowc
from support.secure import GEN, PAY, SHIP

PROGRAM = """system Shop
external event CheckoutSubmitted key cart { cart: uuid }
exported event OrderPlaced key cart { cart: uuid }
service Orders { run mock  on CheckoutSubmitted -> OrderPlaced }
"""


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    ring = KeyRing(tmp_path / "keys", "Shop")
    ring.init([PAY, SHIP])
    return ring


def test_everything_is_the_users_alone(ring):
    """Spec 7.12."""
    assert stat.S_IMODE(ring.folder.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in ring.folder.iterdir()}
    assert modes == {0o600}


def test_a_second_init_keeps_what_there_is(ring):
    """Spec 9.35: and what was revoked stays so."""
    ring.revoke(SHIP)
    before, broker = ring.entries(), ring.broker()
    assert ring.init([PAY, SHIP, GEN]) == [GEN]
    assert [e for e in ring.entries() if e.principal != GEN] == before
    assert ring.broker() == broker
    assert set(ring.allowed().values()) == {PAY, GEN}


def test_a_revoked_key_leaves_no_secret_behind(ring):
    """Spec 7.11."""
    secret = read_key(ring.file_of(PAY)).secret
    ring.revoke(PAY)
    assert not any(secret in path.read_text() for path in ring.folder.iterdir())
    with pytest.raises(KeysError, match="no key that is let in"):
        ring.revoke(PAY)


def test_an_exported_key_is_that_of_one_party_of_one_system(ring, tmp_path):
    """Spec 7.9."""
    out = tmp_path / "pay.key"
    ring.export(PAY, out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    found = read_key(out)
    assert found.credentials("Shop", PAY, out).broker == ring.broker().public
    for system, who in (("Shop", SHIP), ("Other", PAY), ("Shop", Principal("source", "Pay"))):
        with pytest.raises(KeysError, match="is the key of service Pay of Shop, not of"):
            found.credentials(system, who, out)
    own = ring.file_of(PAY)
    with pytest.raises(KeysError, match="flowc keys export"):
        read_key(own).credentials("Shop", PAY, own)
    with pytest.raises(KeysError, match="exists"):
        ring.export(PAY, out)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o611, 0o777])
def test_a_file_that_others_may_touch_is_not_used(ring, mode):
    """Spec 7.12: the message says what mends it."""
    for path, read in ((ring.file_of(PAY), lambda: read_key(ring.file_of(PAY))),
                       (ring.allow_file, ring.allowed),
                       (ring.folder, ring.allowed)):  # fmt: skip
        was = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | 0o100 if path.is_dir() else mode)
        with pytest.raises(KeysError, match=rf"`chmod {was:o} {path}`"):
            read()
        path.chmod(was)
        read()


def test_a_folder_is_no_key_file(tmp_path):
    with pytest.raises(KeysError, match=f"{tmp_path} is no regular file"):
        read_key(tmp_path)


def test_a_file_of_another_user_is_not_used(ring):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(ring.allow_file, 12345, 12345)
    os.seteuid(54321)
    try:
        with pytest.raises(KeysError, match=r"belongs to another user|Permission denied"):
            read_key(ring.allow_file)
    finally:
        os.seteuid(0)
    with pytest.raises(KeysError, match="belongs to another user"):
        ring.allowed()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 2, "keys": []}', "\x00\xff"])
def test_a_list_that_is_damaged_lets_nobody_in(ring, text):
    """Spec 7.12: and it is followed again when it is whole."""
    allowed, good = AllowList(ring), ring.allow_file.read_bytes()
    assert allowed.refresh()
    assert set(allowed.keys.values()) == {PAY, SHIP}
    ring.allow_file.write_text(text)
    assert allowed.refresh()
    assert allowed.keys == {}
    assert str(ring.allow_file) in allowed.fault
    assert not allowed.refresh()
    ring.allow_file.write_bytes(good)
    assert allowed.refresh()
    assert (len(allowed.keys), allowed.fault) == (2, "")


def test_commands_at_once_lose_nothing(ring):
    """Each reads, changes and writes the list alone."""
    names = [Principal("service", f"S{n}") for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda who: KeyRing(ring.folder, "Shop").add(who), names))
    assert {e.principal for e in ring.entries()} == {PAY, SHIP, *names}


def test_secrets_are_in_no_message(ring):
    secret = read_key(ring.file_of(PAY)).secret
    assert secret not in repr(read_key(ring.file_of(PAY)))
    assert secret not in repr(Pair("p", secret))


def test_without_curve_there_is_no_tcp(ring, monkeypatch):
    monkeypatch.setattr(curve.zmq, "has", lambda what: False)
    with pytest.raises(curve.CurveError, match="was built without CURVE"):
        ring.add(GEN)


# ---- the command


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.flow").write_text(PROGRAM)
    return tmp_path


def keys(*words: str) -> Result:
    return flowc("keys", *words)


def test_the_life_of_a_key(shop):
    """Spec 9.35."""
    assert "`flowc keys init FILE` makes them" in keys("list", "shop.flow").stderr
    assert keys("init", "shop.flow").stdout == "made a key for service Orders\n"
    assert (
        "emits OrderPlaced\n  reads CheckoutSubmitted" in keys("show", "shop.flow", "Orders").stdout
    )
    assert keys("export", "shop.flow", "Orders").exit_code == 0
    secret = read_key(shop / "Orders.key").secret
    assert keys("revoke", "shop.flow", "Orders").exit_code == 0
    listed = json.loads(keys("list", "shop.flow", "--json").stdout)
    assert [(k["name"], bool(k["revoked"])) for k in listed["keys"]] == [("Orders", True)]
    assert "has no key that is let in" in keys("rotate", "shop.flow", "Orders").stderr
    assert keys("add", "shop.flow", "Orders").exit_code == 0
    assert keys("rotate", "shop.flow", "broker").exit_code == 0
    shown = keys("show", "shop.flow", "Orders").stdout + keys("list", "shop.flow").stdout
    assert secret not in shown
    assert read_key(shop / ".flow/Shop/keys/service-Orders.key").secret not in shown


def test_a_name_that_is_none_is_asked_back(shop):
    keys("init", "shop.flow")
    found = keys("revoke", "shop.flow", "Order")
    assert found.exit_code == 2
    assert "did you mean `Orders`?" in found.stderr


def test_a_key_is_revoked_while_the_program_has_errors(shop):
    """Spec 9.35: it is urgent."""
    keys("init", "shop.flow")
    (shop / "shop.flow").write_text(PROGRAM.replace("-> OrderPlaced", "-> OrderPlcd"))
    assert keys("revoke", "shop.flow", "Orders").exit_code == 0
