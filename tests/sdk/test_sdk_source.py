"""Sources and publishers on a real broker (spec 4.5, 8.6)."""

from __future__ import annotations

import os
import time

import pytest

from flowc.batch import Batch
from flowc.classes import Classes
from flowc.errors import ContractError, FencedError, SchemaError
from flowc.exits import Exit
from flowc.publisher import Publisher
from flowc.source import drop
from flowc_engine.bus import wire
from support.broker import BrokerProcess, wait_for
from support.plans import pipeline
from support.project import Project

SOURCES = """
    import time
    import flowc
    from flowc.events import Paid, Placed

    def numbers(count, pause_at=-1):
        for n in range(count):
            if n == pause_at:
                time.sleep(60)
            yield Placed(k=f"k{n % 7}", n=n)

    def batches(count, skip):
        assert skip % 100 == 0
        for begin in range(skip, count, 100):
            yield flowc.Batch.of(Placed, {"k": ["k"] * 100, "n": list(range(begin, begin + 100))})

    async def later(count):
        for n in range(count):
            yield Placed(k="k", n=n)

    def undeclared():
        yield Placed(k="k", n=1)
        yield Paid(k="k", n=1)

    def misfit():
        yield Placed(k="k", n=1)
        yield Placed(k="k", n="two")

    def raises():
        yield Placed(k="k", n=1)
        raise OSError("the file is gone")

    def leaves():
        yield Placed(k="k", n=1)
        raise SystemExit(0)
"""


def numbers(project: Project) -> list[int]:
    return [e["n"] for e in project.events("Placed")]


def test_a_source_goes_on_where_it_was(tmp_path):
    with Project(tmp_path, pipeline(), gen=SOURCES) as project:
        args = '{"count": 5000, "pause_at": 3000}'
        process = project.start_source("gen", "gen:numbers", "--args", args)
        wait_for("it has sent all before its pause", lambda: project.broker.status().offset == 3000)
        process.terminate()
        assert project.wait_exit("gen") == Exit.DONE, "SIGTERM ends a generator that sleeps"
        project.broker.kill()
        project.broker.start()
        project.start_source("gen", "gen:numbers", "--args", '{"count": 5000}')
        assert project.wait_exit("gen") == Exit.DONE, project.log("gen")
        assert numbers(project) == list(range(5000))
        assert next(s for s in project.broker.status().sources).done
        project.start_source("gen", "gen:numbers", "--args", '{"count": 5000}')
        assert project.wait_exit("gen") == Exit.DONE, "exhausted is exhausted"
        assert project.broker.status().offset == 5000


@pytest.mark.slow
def test_sources_of_every_kind(tmp_path):
    with Project(tmp_path, pipeline(), gen=SOURCES) as project:
        project.start_source("a", "gen:batches", "--args", '{"count": 500}')
        assert project.wait_exit("a") == Exit.DONE, project.log("a")
        assert numbers(project) == list(range(500))
        project.start_source("b", "gen:later", "--args", '{"count": 50}')
        assert project.wait_exit("b") == Exit.DONE, project.log("b")
        assert numbers(project)[500:] == list(range(50))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "args", "code", "words"),
    [
        ("undeclared", "{}", Exit.CODE, "source gen emitted Paid, which is not declared external"),
        ("misfit", "{}", Exit.CODE, "source gen, event 1: Placed.n is int, got str"),
        ("raises", "{}", Exit.CRASHED, "OSError: the file is gone"),
        ("leaves", "{}", Exit.CRASHED, "SystemExit: 0"),
        ("numbers", '{"number": 1}', Exit.CODE, "gen:numbers can't be called with"),
        ("number", "{}", Exit.CODE, "has no number; did you mean numbers?"),
    ],
)
def test_how_a_source_fails(tmp_path, function, args, code, words):
    with Project(tmp_path, pipeline(), gen=SOURCES) as project:
        project.start_source("gen", f"gen:{function}", "--args", args)
        assert project.wait_exit("gen") == code
        assert words in project.log("gen")
        sound = [1] if function in ("undeclared", "misfit", "raises", "leaves") else []
        assert numbers(project) == sound, "what came before is not lost"
        project.processes.clear()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = BrokerProcess(tmp_path_factory.mktemp("publisher"), pipeline())
    broker.start()
    yield broker
    broker.stop()


def publisher(broker: BrokerProcess, name: str, **more) -> Publisher:
    return Publisher(broker.endpoint, broker.plan, name, **more)


def placed(n: object) -> object:
    return Classes(pipeline()).event("Placed")(k="k", n=n)


def test_what_was_flushed_is_durable_and_the_broker_may_die(broker):
    with publisher(broker, "p1") as source:
        cls = source._classes.event("Placed")
        for n in range(100):
            source.publish(cls(k="k", n=n))
        source.flush(20)
        begin = broker.status().offset
        broker.kill()
        for n in range(100, 200):
            source.publish(cls(k="k", n=n))
        with pytest.raises(TimeoutError, match=r"waited 0\.01 s for the broker to acknowledge"):
            source.flush(0.01)
        broker.start()
        source.flush(20)
        assert broker.status().offset == begin + 100


def test_a_lone_event_is_sent_at_once(broker):
    with publisher(broker, "p2") as source:
        cls = source._classes.event("Placed")
        source.open(20)
        before = broker.status().offset
        source.publish(cls(k="k", n=1))
        wait_for("it is there, without a flush", lambda: broker.status().offset == before + 1)
        took = []
        for n in range(50):
            begun = time.perf_counter()
            source.publish(cls(k="k", n=n))
            source.flush(20)
            took.append(time.perf_counter() - begun)
        assert sorted(took)[5] < 0.05, "no linger between an event and its acknowledgement"


def test_what_a_publisher_refuses(broker):
    with publisher(broker, "p3") as source:
        with pytest.raises(ContractError, match=r"Paid, which is not declared external"):
            source.publish(source._classes.event("Paid")(k="k", n=1))
        with pytest.raises(ContractError, match="str, which is no event of Pipeline"):
            source.publish("hello")  # type: ignore[arg-type]
    nothing = pytest.raises(ContractError, match=r"Placed, which is not among its `emits`")
    with publisher(broker, "p4", emits=()) as source, nothing:
        source.publish(Batch.of(source._classes.event("Placed"), {}))
    source = publisher(broker, "p5")
    source.publish(source._classes.event("Placed")(k="k", n="one"))
    with pytest.raises(SchemaError, match=r"source p5, event 0: Placed\.n is int, got str"):
        source.flush(20)
    source.close()


def test_of_two_publishers_with_one_name_the_newer_goes_on(broker):
    old, new = publisher(broker, "p6"), None
    try:
        old.open(20)
        new = publisher(broker, "p6")
        new.open(20)
        wait_for("it is told", lambda: old._error)
        with pytest.raises(FencedError, match="another process publishes as this source"):
            old.publish(old._classes.event("Placed")(k="k", n=1))
        new.flush(20)
    finally:
        old.close()
        if new is not None:
            new.close()


def test_dropping_what_is_durable_may_cut_a_batch():
    cls = Classes(pipeline()).event("Placed")
    events = [cls(k="k", n=0), Batch.of(cls, {"k": ["k"] * 3, "n": [1, 2, 3]}), cls(k="k", n=4)]
    kept = list(drop(iter(events), 2))
    assert kept[0]["n"] == [2, 3]
    assert kept[1] == events[2]
    assert list(drop(iter(events), 0)) == events
    assert list(drop(iter(events), 5)) == []


def test_a_publisher_does_not_survive_a_fork(broker):
    with publisher(broker, "p7") as source:
        source.open(20)
        source._pid = os.getpid() + 1  # as a child would see it
        with pytest.raises(RuntimeError, match="does not survive a fork"):
            source.flush(1)
        source._pid = os.getpid()
        assert isinstance(source.open(), wire.Opened)
