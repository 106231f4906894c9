"""How soon a broker that was killed delivers again, with ten million events in its journal (spec:
guarantees)."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path

import pytest

from flowc_engine.cli.planned import plan_program
from flowc_engine.generations import History, write_history
from flowc_engine.journal import record as rec
from support.figures import Figures, record
from support.journal import JournalBuilder, wire_batch
from support.tiny import Tiny, until

pytestmark = pytest.mark.slow
EVENTS, ROWS = 10_000_000, 2_000
KILLS = 3
FLOW = """
system Tiny
external event Placed key k { k: string  n: int  note: string }
service Watch { run python "app.pay" stateless on Placed }
"""
WATCH = """
import os
import time
from pathlib import Path

fd = os.open(Path(__file__).parents[1] / "seen", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def on_placed(event):
    os.write(fd, b"%d\\n" % time.monotonic_ns())
"""
FEED = """
import time
from pathlib import Path
from flowc.events import Placed

def feed(skip=0):
    n = skip
    while not (Path(__file__).parents[1] / "stop").exists():
        time.sleep(0.002)
        yield Placed(k=f"k{n % 7}", n=n, note="")
        n += 1
"""


def fill(project: Tiny) -> None:
    """A journal that `Watch` has handled to its end, as many runs would have left it."""
    plan = plan_program(project.root / "main.flow", skip_unsupported=False).plan
    project.state.create()
    project.state.plan_file.write_text(plan.to_json())
    write_history(project.state.schemas_file, History.of(plan))
    journal = JournalBuilder(project.state.journal, plan)
    note = "n" * 150
    rows = [{"k": f"k{n % 7}", "n": n, "note": note} for n in range(ROWS)]
    body = wire_batch(plan, "Placed", rows).serialize().to_pybytes()
    for seq in range(0, EVENTS, ROWS):
        batch = [rec.Batch("Placed", ROWS)]
        journal.append(rec.SourceEvents(1, batch, [len(body)], "old", 1, seq), [body], ROWS)
    journal.step("Watch", after=EVENTS)
    journal.close()


@pytest.fixture
def project(tmp_path: Path) -> Tiny:
    project = Tiny(tmp_path / "p")
    project.write("main.flow", FLOW)
    project.write("app/pay.py", WATCH)
    project.write("app/feed.py", FEED)
    project.write("flow.toml", '[sources.feed]\npython = "app.feed:feed"\n')
    return project


def test_a_killed_broker_with_ten_million_events_delivers_soon(project: Tiny) -> None:
    """Spec 13.5. The time is kept, and not asserted: the machine may be busy."""
    fill(project)
    size = sum(p.stat().st_size for p in project.state.journal.glob("*.seg"))
    seen = project.root / "seen"
    recoveries = []
    with project.up() as run:
        project.wait_offset(EVENTS + 100)
        for _ in range(KILLS):
            status = project.status()
            assert status is not None
            project.wait_offset(status.offset + 500)
            killed = time.monotonic_ns()
            os.kill(project.pids(run)["broker"], signal.SIGKILL)
            recoveries.append(delivered_again_ms(seen, killed))
        run.kill()
    what = f"{EVENTS // 10**6} M events ({size >> 20:,} MiB): kill -9 of the broker to a delivery"
    print(what, recoveries)
    record("13.5", Figures(what, 1, KILLS, EVENTS, recovery_ms=max(recoveries)))


def delivered_again_ms(seen: Path, killed_ns: int) -> int:
    """From the kill to the end of the longest pause of the handler behind it."""

    def later() -> list[int]:
        return [ns for line in seen.read_text().split("\n")[:-1] if (ns := int(line)) > killed_ns]

    until("deliveries go on", lambda: len(later()) > 500)
    times = [killed_ns, *later()]
    _, back = max((b - a, b) for a, b in itertools.pairwise(times))
    return (back - killed_ns) // 1_000_000
