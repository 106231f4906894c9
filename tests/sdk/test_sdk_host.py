"""Service processes on a real broker (spec: services, delivery)."""

from __future__ import annotations

from support.plans import pipeline
from support.project import Project

SERVICES = """
    from flowc.events import Paid

    class Pay:
        def on_placed(self, event):
            return Paid(k=event.k, n=event.n * 10)

    class Ship:
        def on_paid(self, event, ctx):
            ctx.log.info("shipped %s, cause %s, root %s", event.n, ctx.cause, ctx.root)
"""


def test_events_go_through_a_pipeline_of_processes(tmp_path):
    with Project(tmp_path, pipeline(), app=SERVICES) as project:
        project.start("Pay")
        project.start("Ship")
        project.publish(("Placed", {"k": ["a", "b", "c"], "n": [1, 2, 3]}))
        status = project.wait_idle()
        paid = project.events("Paid")
        assert [(e["k"], e["n"], e["_cause"], e["_root"]) for e in paid] == [
            ("a", 10, 0, 0), ("b", 20, 1, 1), ("c", 30, 2, 2),
        ]  # fmt: skip
        assert {(s.service, s.handled, s.emitted) for s in status.slots} == {
            ("Pay", 3, 3), ("Ship", 3, 0),
        }  # fmt: skip
    assert "[3] shipped 10, cause 0, root 0" in project.log("Ship")


GENERATOR = """
    from flowc.events import Placed

    def numbers(count):
        for n in range(count):
            yield Placed(k=f"k{n % 7}", n=n)
"""


def test_a_source_ends_when_all_it_gave_is_durable(tmp_path):
    with Project(tmp_path, pipeline(), gen=GENERATOR) as project:
        project.start_source("gen", "gen:numbers", "--args", '{"count": 10000}')
        assert project.wait_exit("gen") == 0, project.log("gen")
        assert [e["n"] for e in project.events("Placed")] == list(range(10000))
        assert [s for s in project.broker.status().sources if s.source == "gen"][0].done
        project.start_source("gen", "gen:numbers", "--args", '{"count": 10000}')
        assert project.wait_exit("gen") == 0, project.log("gen")
        assert project.broker.status().offset == 10000
