"""Statistics, traces and how values are shown, on a log without a run."""

import datetime as dt
import decimal

import pyarrow as pa
import pytest

from flowc_engine.log.query import NoLogError, open_log
from flowc_engine.log.shown import to_json_value, to_rows, to_text
from flowc_engine.log.stats import log_stats
from flowc_engine.log.trace import NoSuchEventError, trace
from flowc_engine.state import StateDir
from support.chain import PLAN, chain
from support.journal import TIME_US, JournalBuilder


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def log(state):
    with open_log(state) as log:
        yield log


def test_counts_rates_first_and_last(log):
    stats = log_stats(log)
    by_name = {e.event: e for e in stats.events}
    assert {n: e.count for n, e in by_name.items()} == {
        "Placed": 2, "Paid": 1, "Shipped": 2, "Lost": 0,
    }  # fmt: skip
    placed = by_name["Placed"]
    assert placed.first.timestamp() == TIME_US / 1e6
    assert (placed.last - placed.first).total_seconds() == 10
    assert placed.rate_per_s == pytest.approx(0.1)
    assert placed.recent_per_s == pytest.approx(2 / 60)
    assert by_name["Lost"].first is None
    assert (stats.parked, stats.rejected, stats.applied, stats.current) == (1, 0, 5, True)


@pytest.mark.parametrize("offset", [0, 2, 3, 4])
def test_the_tree_is_the_same_from_each_of_its_events(log, offset):
    found = trace(log, offset, 100)
    root = found.root
    assert (root.offset, root.event, root.key, root.source) == (0, "Placed", "a", "shop")
    [paid] = root.effects
    assert (paid.offset, paid.source, paid.after_ms) == (2, "Pay", 5.0)
    assert [e.offset for e in paid.effects] == [3, 4]
    assert paid.effects[0].key is None  # the event has no key
    assert [p.error for p in paid.effects[1].parked] == ["ValueError: no\nmore"]
    assert not found.cut


def test_an_event_that_caused_nothing_is_alone(log):
    found = trace(log, 1, 100)
    assert (found.root.offset, found.root.effects, found.events) == (1, [], 1)


def test_a_tree_is_cut_at_the_limit(log):
    found = trace(log, 0, 3)
    assert (found.events, found.cut) == (3, True)


def test_an_offset_that_does_not_exist_names_the_range(log):
    with pytest.raises(NoSuchEventError, match="offsets 0 to 4"):
        trace(log, 5, 100)


def test_a_system_that_never_ran_has_no_log(tmp_path):
    with (
        pytest.raises(NoLogError, match="has not run yet"),
        open_log(StateDir(tmp_path, "X")),
    ):
        pass


def test_what_the_journal_has_more_is_applied_once(tmp_path):
    state = chain(tmp_path)
    journal = JournalBuilder(state.journal, PLAN)
    journal.emit("Lost", {"k": "z"})
    journal.close()
    for _ in range(2):
        with open_log(state) as log:
            assert state.log_file.stat().st_mode & 0o077 == 0
            assert log.query("SELECT key FROM _events WHERE event = 'Lost'").table.to_pylist() == [
                {"key": "z"}
            ]


@pytest.mark.parametrize(
    ("value", "text", "in_json"),
    [
        (None, "", None),
        (True, "true", True),
        (1.5, "1.5", 1.5),
        (float("nan"), "nan", "nan"),
        (decimal.Decimal("1.20"), "1.20", "1.20"),
        (dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.UTC), "2026-01-02T03:04:05.000006Z", None),
        (dt.date(2026, 1, 2), "2026-01-02", "2026-01-02"),
        (b"\x00\xff", "00ff", "00ff"),
        (pa.MonthDayNano([1, 2, 1_500_000_000]), "1 months 2 days 1.5 s", None),
        (pa.MonthDayNano([0, 0, 0]), "0 s", "0 s"),
        ([1, None], "[1, null]", [1, None]),
        ([("a", decimal.Decimal(1))], '{"a": "1"}', {"a": "1"}),
        ({"a": [b"\x01"]}, '{"a": ["01"]}', {"a": ["01"]}),
    ],
)
def test_values_as_text_and_as_json(value, text, in_json):
    assert to_text(value) == text
    assert to_json_value(value) == (text if in_json is None and value is not None else in_json)


def test_times_beyond_python_come_as_text():
    column = pa.array([2**62], pa.timestamp("us", tz="UTC"))
    [[shown]] = to_rows(pa.table({"t": column}))
    assert isinstance(shown, str)
