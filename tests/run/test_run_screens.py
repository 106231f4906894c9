"""What a run shows: the live table, plain lines, the summary."""

import io
import json

from rich.console import Console

from flowc_engine import limits
from flowc_engine.bus import wire
from flowc_engine.supervisor import core as sc
from flowc_engine.supervisor.children import BROKER, WARM, Child, Exit, Kind
from flowc_engine.supervisor.live import render
from flowc_engine.supervisor.plain import PlainScreen, bytes_text, duration
from flowc_engine.supervisor.summary import summarise, write_summary
from flowc_engine.supervisor.tally import Tally

HOSTS = [Child(Kind.HOST, "Pay", 0), Child(Kind.HOST, "Pay", 1), Child(Kind.HOST, "Ship")]
FEED = Child(Kind.SOURCE, "feed")


def status(handled: int, offset: int, uptime_ms: int, lag: int = 0, began: int = 0) -> wire.Status:
    slots = [
        wire.SlotStatus(h.name, h.slot, True, True, 0, lag, handled, handled * 2, 3, 1)
        for h in HOSTS
    ]
    feed = wire.SourceStatus("feed", True, offset, False)
    return wire.Status(
        offset, 0, offset // 2, False, False, slots, [feed], 5 * limits.MIB, uptime_ms, began
    )


def a_run(*statuses: wire.Status) -> tuple[sc.RunCore, Tally]:
    core, tally = sc.RunCore(HOSTS, [FEED], until_idle=False), Tally()
    core.begin()
    core.ready(BROKER, 0)
    core.ready(WARM, 0)
    for index, seen in enumerate(statuses):
        tally.update(seen, index * 1_000)
        core.seen(seen, index * 1_000)
    core.take()
    return core, tally


def shown(core: sc.RunCore, tally: Tally, rows_max: int = 20, width: int = 110) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(render("Shop", core, tally, 61_000, rows_max, wide=width > 80))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_rates_and_counts() -> None:
    core, tally = a_run(status(0, 0, 1), status(1_000, 4_000, 1_001, lag=12))
    text = shown(core, tally)
    assert "Shop  running  1 min 01 s  4,000 events  4,000/s  journal 5.0 MiB" in text
    assert "log behind by 2,000" in text
    (row,) = [line for line in text.splitlines() if line.startswith("Ship")]
    expected = ["Ship", "1,000", "2,000", "1,000", "2,000", "12", "3", "1", "0", "up"]
    assert row.split() == expected
    assert "sources: feed 4,000 up" in text
    assert "Ctrl-C drains" in text


def test_a_narrow_terminal_cuts_no_number() -> None:
    core, tally = a_run(status(0, 0, 1), status(1_000_000, 4_000_000, 1_001, lag=1_234_567))
    (row,) = [line for line in shown(core, tally, width=80).splitlines() if line[:4] == "Ship"]
    assert row.split() == ["Ship", "1,000,000", "2,000,000", "1,234,567", "3", "1", "0", "up"]


def test_a_low_terminal_shows_those_in_trouble() -> None:
    core, tally = a_run(status(0, 0, 1))
    core.exited(HOSTS[1], Exit(10, "no", hopeless=True), 0)
    text = shown(core, tally, rows_max=1)
    assert "failed" in text
    assert "… and 2 more that keep up" in text


def test_counts_go_on_when_the_broker_starts_again() -> None:
    first = status(10, 5, 900, began=2)  # much may have happened before the first look
    _, tally = a_run(first, status(4, 9, 50, began=5), status(6, 9, 90, began=5))
    assert tally.slots["Ship", 0].handled == 16
    assert (tally.events, tally.offset) == (7, 9)


def test_plain_lines() -> None:
    stream = io.StringIO()
    screen = PlainScreen(stream=stream)
    core, tally = a_run(status(0, 0, 1), status(1_000, 4_000, 1_001))
    screen.show(core, tally, 900)
    screen.show(core, tally, 1_000)
    screen.show(core, tally, limits.PLAIN_EVERY_MS)
    screen.say(sc.Say("Pay died\x1b[31m", "warning"))
    assert stream.getvalue().splitlines() == [
        "running after 900 ms",
        "5.0 s: 4,000 events in the log, 4,000/s, lag 0, retrying 3, parked 9",
        "warning: Pay died\N{REPLACEMENT CHARACTER}[31m",
    ]


def test_quiet_says_only_what_is_wrong() -> None:
    stream = io.StringIO()
    screen = PlainScreen(quiet=True, stream=stream)
    core, tally = a_run(status(0, 0, 1))
    screen.show(core, tally, limits.PLAIN_EVERY_MS)
    screen.say(sc.Say("restarting", "warning"))
    screen.say(sc.Say("no", "error"))
    assert stream.getvalue() == "error: no\n"


def test_the_summary_adds_replicas_up_and_json_has_at_least_what_the_table_shows() -> None:
    core, tally = a_run(status(0, 0, 1), status(1_000, 4_000, 1_001))
    core.exited(HOSTS[1], Exit(10, "ImportError: no app", hopeless=True), 0)
    summary = summarise("Shop", core, tally, 3, 2_000)
    stream = io.StringIO()
    write_summary(summary, stream, color=False)
    text = stream.getvalue()
    assert [line.split() for line in text.splitlines()[1:3]] == [
        ["Pay", "x2", "2,000", "4,000", "0", "6", "2", "0", "failed"],
        ["Ship", "1,000", "2,000", "0", "3", "1", "0", "stopped"],
    ]
    assert "4,000 events in 2.0 s, 4,000/s while it grew; the log ends at 4,000" in text
    assert "2,000 events in the journal and not yet in DuckDB" in text
    data = json.loads(summary.to_json())
    assert data["format_version"] == "1.0"
    assert data["services"][0]["reason"] == "exit code 10\nImportError: no app"
    assert data["exit_code"] == 3
    assert data["failures"] == ["service Pay (replica 1) failed: exit code 10: ImportError: no app"]


def test_a_failure_in_one_line_is_what_the_process_said() -> None:
    core, tally = a_run(status(0, 0, 1))
    tail = "error: service Ship: importing app raised X: y\nTraceback\n  File a\n    import x"
    core.exited(HOSTS[2], Exit(10, tail, hopeless=True), 0)
    summary = summarise("Shop", core, tally, 3, 2_000)
    assert summary.failures == ("service Ship failed: importing app raised X: y",)


def test_units() -> None:
    assert [duration(ms) for ms in (5, 1_500, 65_000, 3_700_000)] == [
        "5 ms", "1.5 s", "1 min 05 s", "1 h 01 min",
    ]  # fmt: skip
    assert [bytes_text(n) for n in (0, 2048, 3 * limits.MIB, 5 * 1024 * limits.MIB)] == [
        "0 KiB", "2 KiB", "3.0 MiB", "5.00 GiB",
    ]  # fmt: skip
