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
