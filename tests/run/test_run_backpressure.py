"""A slow consumer bounds memory and slows nobody; a source is paced by the broker (spec: 4.41)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from flowc_engine import limits
from flowc_engine.bus import wire
from support.tiny import DEADLINE_S, Tiny, interrupt, until

FLOW = """
system Tiny
external event Placed key k { k: string  n: int  pad: string }
service Fast { run python "app.fast" stateless on Placed }
service Slow { run python "app.slow" stateless on Placed }
"""
FAST = """
def on_placed(event):
    pass
"""
SLOW = """
import time

def on_placed(event):
    time.sleep(0.05)
"""
FEED = """
import os
from pathlib import Path
from flowc.events import Placed

MADE = Path(__file__).with_name("made")

def feed(count):
    with MADE.open("wb", buffering=0) as made:
        for n in range(count):
            if n % 100 == 0:
                os.pwrite(made.fileno(), b"%12d" % n, 0)
            yield Placed(k=f"k{n % 7}", n=n, pad="x" * 1_000)
"""
EVENTS, WARM = 200_000, 20_000
EVENT_BYTES = 1_000
SLACK_BYTES = 24 * limits.MIB  # of allocators: what was freed and not given back


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    tiny = Tiny(tmp_path)
    tiny.write("main.flow", FLOW)
    for name, text in (("fast", FAST), ("slow", SLOW), ("feed", FEED)):
        tiny.write(f"app/{name}.py", text)
    tiny.feed(EVENTS)
    return tiny


def rss(pids: dict[str, int], stem: str) -> int:
    return psutil.Process(pids[stem]).memory_info().rss


def slot_of(status: wire.Status, service: str) -> wire.SlotStatus:
    return next(s for s in status.slots if s.service == service)


def caught_up(tiny: Tiny, service: str) -> bool:
    status = tiny.status()
    return (
        status is not None and status.offset == EVENTS and slot_of(status, service).lag == 0
    )  # fmt: skip


@pytest.mark.slow
def test_a_slow_service_bounds_memory_and_slows_nobody(tiny: Tiny) -> None:
    """Spec 4.12, 4.41: its backlog is in the journal."""
    with tiny.up() as run:
        tiny.wait_offset(WARM)
        pids = tiny.pids(run)
        before = rss(pids, "broker")
        journal = size(tiny)
        until("Fast has all", lambda: caught_up(tiny, "Fast"), tiny.logs)
        until("Slow handles some", lambda: handled(tiny, "Slow") > 0, tiny.logs)
        status = tiny.status()
        assert status is not None
        slow = slot_of(status, "Slow")
        grown = rss(pids, "broker") - before
        held = rss(pids, "service-Slow-0") - rss(pids, "service-Fast-0")
        print(f"broker {grown / limits.MIB:+.1f} MiB, Slow {held / limits.MIB:+.1f} over Fast")
        assert slow.handled < EVENTS / 10, "Fast has not waited for it"
        assert slow.lag > EVENTS / 2
        assert size(tiny) - journal > (EVENTS - 2 * WARM) * EVENT_BYTES
        credit = len(status.slots) * limits.CREDIT_BYTES_MAX
        assert grown < limits.HOT_BYTES_MAX + credit + SLACK_BYTES
        assert held < 4 * limits.CREDIT_BYTES_MAX + SLACK_BYTES
        run.kill()


@pytest.mark.slow
def test_a_source_stops_where_the_broker_does_and_goes_on(tiny: Tiny) -> None:
    """Spec 4.12: it makes no more than its window has room for."""
    with tiny.up() as run:
        tiny.wait_offset(WARM)
        pids = tiny.pids(run)
        status = tiny.status()
        assert status is not None
        before = rss(pids, "source-feed")
        os.kill(pids["broker"], signal.SIGSTOP)
        try:
            stopped = settled(tiny)
            grown = rss(pids, "source-feed") - before
        finally:
            os.kill(pids["broker"], signal.SIGCONT)
        assert stopped < EVENTS - WARM, "it was stopped amid its work"
        assert stopped >= status.sources[0].seq - 100, "which it had published"
        print(f"source {grown / limits.MIB:+.1f} MiB")
        assert grown < 2 * limits.SOURCE_WINDOW_BYTES_MAX + SLACK_BYTES
        until("it goes on", lambda: made(tiny) > stopped, tiny.logs)
        until("Fast has all", lambda: caught_up(tiny, "Fast"), tiny.logs)
        interrupt(run)
        tiny.finish(run)
    assert tiny.sql("SELECT count(*), count(DISTINCT n) FROM Placed") == [(EVENTS, EVENTS)]


def handled(tiny: Tiny, service: str) -> int:
    status = tiny.status()
    return 0 if status is None else slot_of(status, service).handled


def size(tiny: Tiny) -> int:
    status = tiny.status()
    assert status is not None
    return status.log_bytes


def made(tiny: Tiny) -> int:
    """How many events the source's generator was asked for."""
    return int((tiny.root / "app" / "made").read_bytes() or b"0")


def settled(tiny: Tiny) -> int:
    """What `made` says when it has said the same for a second."""
    end, last, same = time.monotonic() + DEADLINE_S, -1, 0
    while same < 100:
        assert time.monotonic() < end, "the source does not stop"
        now = made(tiny)
        same = same + 1 if now == last else 0
        last = now
        time.sleep(0.01)
    return last
