"""`flowc replay`: a service's code of today over its recorded inputs (spec 9.30 to 9.32, 4.31,
4.32)."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import select
import signal
import sqlite3
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.tiny import DEADLINE_S, FLOWC, Tiny, until

FLOW = """
system Tiny
external event Placed key k { k: string  n: int }
event Paid key k { k: string  n: int  total: int }
event Refused key k { k: string }
service Pay { run python "app.pay:Pay" on Placed -> Paid | Refused
  retry 2 backoff 1ms to 2ms then park }
service Ship { run python "app.ship" on Paid on Refused replay skip }
"""
PAY = """
from flowc.events import Paid, Refused

class Pay:
    def __init__(self):
        self.total = 0

    def on_placed(self, event, ctx):
        if event.n % 10 == 3:
            raise ValueError(f"no {event.n}")
        if event.n % 10 == 4 and ctx.attempt == 1:
            raise ValueError(f"not yet {event.n}")
        self.total += event.n
        if event.n % 10 == 5:
            return Refused(k=event.k)
        return Paid(k=event.k, n=event.n, total=self.total)
"""
SHIP = """
def on_paid(event):
    pass

def on_refused(event):
    raise RuntimeError("mail is sent again")
"""
ONE_KEY = 'yield Placed(k="k", n=n)'  # so that totals do not depend on who was retried when


def make(root: Path, count: int = 30, *, run: bool = True) -> Tiny:
    project = Tiny(root)
    project.write("main.flow", FLOW)
    project.write("app/pay.py", PAY)
    project.write("app/ship.py", "def on_paid(event): pass\ndef on_refused(event): pass\n")
    feed = project.root.joinpath("app/feed.py")
    feed.write_text(feed.read_text().replace('yield Placed(k=f"k{n % 7}", n=n)', ONE_KEY))
    project.feed(count)
    if run:
        project.summary()
    return project


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make(tmp_path_factory.mktemp("replay") / "p")


def originals(project: Tiny) -> dict[str, str]:
    """The digests of the journal and the log."""
    files = [*sorted(project.state.journal.iterdir()), project.state.log_file]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def replay(project: Tiny, *args: str, code: int = 0) -> dict[str, Any]:
    done = project.ask("replay", "main.flow", *args, "--json")
    assert done.exit_code == code, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def placed(project: Tiny) -> list[int]:
    """The offsets of the inputs, by their number."""
    return [offset for (offset,) in project.sql("SELECT _offset FROM Placed ORDER BY n")]


def test_unchanged_code_differs_in_nothing(ran: Tiny) -> None:
    """9.30: failures, retries and parked events included; and the original stays as it is."""
    before = originals(ran)
    answer = replay(ran, "Pay", "--diff")
    assert originals(ran) == before
    assert (answer["handled"], answer["raised"]) == (30, 3)
    assert answer["emitted"] == {"Paid": 24, "Refused": 3}
    assert answer["diff"]["same"] == 30
    assert answer["diff"]["inputs"] == []
    fork = Path(answer["fork"])
    assert fork.parent == ran.state.replays
    assert fork.stat().st_mode & 0o777 == 0o700
    assert {f.stat().st_mode & 0o077 for f in fork.iterdir()} == {0}
    # The fork is a log, and has what was recorded beside it (9.32).
    both = (
        "SELECT count(*), bool_and(p.total = r.total AND p._root = r._root) FROM Paid p "
        "JOIN recorded.Paid r USING (_cause)"
    )
    asked = ran.ask("log", "main.flow", both, "--fork", fork.name, "--csv")
    assert asked.stdout.splitlines()[1] == "24,true", asked.output
    parked = ran.ask("log", "main.flow", "FROM _parked", "--fork", fork.name, "--json")
    assert [row[0] for row in json.loads(parked.stdout)["rows"]] == placed(ran)[3::10]


def test_a_changed_handler_differs_where_it_was_changed(ran: Tiny) -> None:
    """9.31: each verdict, at the offsets at which it has to be."""
    ran.write(
        "app/pay.py",
        PAY.replace("n % 10 == 3", "n == 17")
        .replace("n % 10 == 5", "n == 26")
        .replace("self.total += event.n", "self.total += event.n * (event.n % 10 not in (3, 5))"),
    )
    try:
        answer = replay(ran, "Pay", "--from", str(placed(ran)[10]), "--diff", code=1)
    finally:
        ran.write("app/pay.py", PAY)
    at = placed(ran)
    verdicts = {one["offset"]: one for one in answer["diff"]["inputs"]}
    # 17 is not in the totals any more, and what 3, 5 add is worth nothing: 5 and 15 were.
    assert verdicts[at[13]]["verdict"] == "mended"
    assert verdicts[at[13]]["error"].startswith("ValueError: no 13")
    assert verdicts[at[15]]["verdict"] == "missing"
    assert [(o["event"], o["verdict"]) for o in verdicts[at[15]]["outputs"]] == [
        ("Paid", "extra"), ("Refused", "missing"),
    ]  # fmt: skip
    assert verdicts[at[17]]["verdict"] == "raised"
    assert "on_placed" in verdicts[at[17]]["error"]
    assert verdicts[at[26]]["outputs"][1]["event"] == "Refused"
    (changed,) = verdicts[at[10]]["outputs"]
    was = sum(n for n in range(11) if n % 10 != 3)
    assert changed["fields"] == {"total": {"recorded": was, "now": was - 5}}
    assert set(verdicts) == set(at[10:])
    assert answer["warmed"] == 9  # of ten, one is parked
    assert (answer["from"], answer["handled"]) == (at[10], 20)


@pytest.mark.slow  # a second
def test_one_input(ran: Tiny) -> None:
    """9.30: `--at` shows the event, what was recorded and what comes of it, and why it raises."""
    at = placed(ran)[13]
    kept = sorted(ran.state.replays.glob("*"))
    done = ran.ask("replay", "main.flow", "Pay", "--at", str(at), "--diff")
    assert done.exit_code == 0, "it raised then too"
    told = done.stdout
    assert told.startswith(f"{at}  Placed from feed, ")
    assert "  n: 13\n" in told
    assert told.count("ValueError: no 13") == 2
    assert 'raise ValueError(f"no {event.n}")' in told.split("now:")[1]
    assert told.endswith("the same\n")
    assert sorted(ran.state.replays.glob("*")) == kept
    paid = replay(ran, "Pay", "--at", str(placed(ran)[14]))
    total = sum(n for n in range(15) if n % 10 != 3)
    assert paid["input"]["fields"] == {"k": "k", "n": 14}
    assert paid["now"] == paid["recorded"]
    assert paid["now"]["emitted"] == [["Paid", {"k": "k", "n": 14, "total": total}]]


def test_skipped_handlers_are_not_called(ran: Tiny) -> None:
    """4.31: `replay skip` is honoured, and what it says is enough."""
    ran.write("app/ship.py", SHIP)
    answer = replay(ran, "Ship", "--diff")
    assert (answer["handled"], answer["skipped"], answer["raised"]) == (24, 3, 0)
    assert answer["diff"]["same"] == 24


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["Pai"], 2, "Tiny has no service Pai; did you mean `Pay`?"),
        (["Pay", "--at", "3", "--to", "9"], 2, "leave --from and --to out"),
        (["Pay", "--from", "57"], 2, "from 57 to 57: the log has 57 events, from 0 on"),
        (["Pay", "--to", "58"], 2, "the log has 57 events"),
        (["Ship", "--at", "0"], 2, "is a Placed, which Ship does not handle; it handles Paid"),
        (["Pay", "--into", "app"], 2, "app is there already"),
    ],
)
def test_what_it_refuses(ran: Tiny, args: list[str], code: int, message: str) -> None:
    done = ran.ask("replay", "main.flow", *args)
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr


def test_before_any_run(tmp_path: Path) -> None:
    done = Tiny(tmp_path / "p").ask("replay", "main.flow", "Pay")
    assert done.exit_code == 2
    assert "start it with `flowc run main.flow`" in done.stderr


@pytest.mark.slow  # half a second
def test_a_service_that_acts_outside_has_to_say_what_a_replay_does(ran: Tiny) -> None:
    """9.33: it is refused, and its handlers are named; `--effects` lets them."""
    mails = FLOW.replace(
        'run python "app.pay:Pay"', 'run python "app.pay:Pay" args { url: "https://bank.example" }'
    )
    ran.write("main.flow", mails)
    refused = ran.ask("replay", "main.flow", "Pay", "--skip-unsupported")
    assert refused.exit_code == 2
    assert "Pay acts outside, and `Pay.on_placed` does not say" in refused.stderr
    ran.write("main.flow", mails.replace("then park", "then park replay safe"))
    assert replay(ran, "Pay", "--skip-unsupported", "--at", "0")["handled"] == 1
    ran.write("main.flow", FLOW)


@pytest.mark.slow  # half a second
def test_code_that_cannot_be_used(ran: Tiny) -> None:
    """9.34: 3, the user's traceback, and no half of a fork."""
    kept = sorted(ran.state.replays.glob("*"))
    ran.write("app/pay.py", "import nothing_of_that_name")
    broken = ran.ask("replay", "main.flow", "Pay")
    ran.write("app/pay.py", PAY.replace("self.total += event.n", "import os; os._exit(7)"))
    dies = ran.ask("replay", "main.flow", "Pay")
    ran.write("app/pay.py", PAY)
    assert (broken.exit_code, dies.exit_code) == (3, 3)
    assert "No module named 'nothing_of_that_name'" in broken.stderr
    assert "the process of Pay ended with 7" in dies.stderr
    assert sorted(ran.state.replays.glob("*")) == kept


@pytest.mark.slow  # three deaths
def test_what_killed_its_process_is_left_out(tmp_path: Path) -> None:
    """9.30: unchanged code differs in nothing then too; named, it is tried, and kills again."""
    project = make(tmp_path / "p", run=False)
    deadly = PAY.replace(
        "self.total += event.n", "self.total += event.n\n        self.die(event.n)"
    )
    deadly += "\n    def die(self, n):\n        import os\n        n == 17 and os._exit(7)\n"
    project.write("app/pay.py", deadly)
    project.summary()
    answer = replay(project, "Pay", "--diff")
    assert (answer["handled"], answer["deadly"]) == (29, 1)
    assert answer["diff"]["same"] == 29
    one = project.ask("replay", "main.flow", "Pay", "--at", str(placed(project)[17]))
    assert one.exit_code == 3
    assert "the process of Pay ended with 7" in one.stderr


STORED = """
from flowc.events import Paid, Refused

def setup_store(store):
    store.execute("CREATE TABLE total (k TEXT PRIMARY KEY, n INTEGER)")

class Pay:
    setup_store = staticmethod(setup_store)

    def on_placed(self, event, ctx):
        if event.n % 10 == 3:
            ctx.store.execute("INSERT OR REPLACE INTO total VALUES (?, 1000000)", (event.k,))
            raise ValueError(f"no {event.n}")
        ctx.store.execute(
            "INSERT INTO total VALUES (?, ?) ON CONFLICT DO UPDATE SET n = n + ?",
            (event.k, event.n, event.n),
        )
        ((total,),) = ctx.store.execute("SELECT n FROM total WHERE k = ?", (event.k,)).fetchall()
        return Paid(k=event.k, n=event.n, total=total)
"""


@pytest.mark.slow  # a run with a store
@pytest.mark.parametrize("store", ["store totals", "store totals per partition"])
def test_a_store_is_built_anew(tmp_path: Path, store: str) -> None:
    """9.30: from the first event on, in the fork; the service's own is not touched."""
    project = make(tmp_path / "p", run=False)
    project.write("main.flow", FLOW.replace('"app.pay:Pay"', f'"app.pay:Pay" {store}'))
    project.write("app/pay.py", STORED)
    project.summary()

    def files() -> dict[Path, bytes]:
        found = (project.state.path / "stores").rglob("*")
        return {path: path.read_bytes() for path in found if path.is_file()}

    before = files()
    assert before
    answer = replay(project, "Pay", "--diff")
    assert answer["diff"]["same"] == answer["handled"] == 30
    later = replay(project, "Pay", "--from", str(placed(project)[20]), "--diff")
    assert (later["diff"]["same"], later["warmed"]) == (10, 18)
    assert files() == before
    total = sum(n for n in range(30) if n % 10 != 3)
    (made,) = (f for f in Path(later["fork"]).rglob("*.db") if f.stat().st_size > 4_096)
    with sqlite3.connect(made) as store_file:
        assert store_file.execute("SELECT * FROM total").fetchall() == [("k", total)]
    store_file.close()


@pytest.mark.slow  # a run that is up
def test_while_a_run_is_up(tmp_path: Path) -> None:
    """9.30: what is durable is replayed; the run goes on."""
    project = make(tmp_path / "p", run=False)
    project.feed(2_000, pause_every=100, pause_s=0.02)
    with project.up() as process:
        project.wait_offset(500)
        answer = json.loads(project.flowc("replay", "main.flow", "Pay", "--diff", "--json").stdout)
        assert answer["diff"]["same"] == answer["handled"] - answer["diff"]["not_handled_then"]
        assert answer["handled"] > 200
        process.send_signal(signal.SIGINT)
        project.finish(process)
        assert process.returncode == 0


@pytest.mark.slow  # two runs
def test_older_versions_are_lifted(tmp_path: Path) -> None:
    """4.31: inputs and recorded outputs are read as they are declared now."""
    project = make(tmp_path / "p")
    newer = FLOW.replace(
        "event Paid key k { k: string  n: int  total: int }",
        "event Paid v2 key k { k: string  n: int  sum: int  upcast v1 { rename total to sum } }",
    ).replace(
        "external event Placed key k { k: string  n: int }",
        "external event Placed v2 key k { k: string  n: int  by: string  "
        'upcast v1 { by = "nobody" } }',
    )
    project.write("main.flow", newer)
    project.write("app/pay.py", PAY.replace("total=self.total", "sum=self.total"))
    before = project.root.joinpath("app/feed.py").read_text()
    project.write("app/feed.py", before.replace("n=n)", 'n=n, by="ada")'))
    toml = project.root.joinpath("flow.toml").read_text()
    project.write("flow.toml", toml.replace("sources.feed", "sources.more"))
    project.summary()
    answer = replay(project, "Pay", "--diff")
    assert answer["diff"]["same"] == answer["handled"] == 60
    ((at,),) = project.sql("SELECT min(_offset) FROM Placed WHERE n = 2")
    one = replay(project, "Pay", "--at", str(at))
    assert one["input"]["fields"] == {"k": "k", "n": 2, "by": "nobody"}
    assert one["recorded"]["emitted"] == [["Paid", {"k": "k", "n": 2, "sum": 3}]]


@pytest.mark.slow  # a terminal, a debugger, a signal
def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    project = make(tmp_path / "p")
    stuck = PAY.replace(
        "self.total += event.n", "open('stuck', 'w').close()\n        while 1: pass"
    )
    project.write("app/pay.py", stuck)
    process = subprocess.Popen(
        [FLOWC, "replay", "main.flow", "Pay"], cwd=project.root, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    until("the handler runs", (project.root / "stuck").exists)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert list(project.state.replays.iterdir()) == []
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if "flowc.replay" in line and str(project.root) in line]


@pytest.mark.slow
def test_a_debugger_has_the_terminal(tmp_path: Path) -> None:
    """9.30: `breakpoint()` in a handler, with `--at` on a terminal."""
    project = make(tmp_path / "p")
    at = placed(project)[14]
    project.write("app/pay.py", PAY.replace(
        "self.total += event.n", "self.total += event.n\n        event.n == 14 and breakpoint()"
    ))  # fmt: skip
    child, fd = pty.fork()
    if child == 0:
        os.chdir(project.root)
        os.execv(FLOWC, [str(FLOWC), "replay", "main.flow", "Pay", "--at", str(at)])
    said = b""

    def hear(text: bytes) -> None:
        nonlocal said
        while text not in said:
            assert select.select([fd], [], [], DEADLINE_S)[0], said
            said += os.read(fd, 4_096)

    hear(b"(Pdb)")
    os.write(fd, b"p 'seen', event.n, self.total\n")
    hear(b"('seen', 14, 89)")
    said = b""
    os.write(fd, b"c\n")
    hear(b"the same")
    with suppress(OSError):  # the terminal is gone
        while os.read(fd, 4_096):
            pass
    _, status = os.waitpid(child, 0)
    os.close(fd)
    assert os.waitstatus_to_exitcode(status) == 0
