"""407: what a system has stored, held against what it declares now. The engine finds it in a state;
here is what it means."""

from __future__ import annotations

from flowc_dsl.diagnostics.diagnostic import Level
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Report, declare
from flowc_dsl.rules.wording import counted
from flowc_dsl.source import Span

NOT_DECODABLE = declare(
    "FLW407", "stored-event-not-decodable", Level.ERROR,
    "stored events can't be read as they are declared now; found in the log of a system",
    needs="log",
)  # fmt: skip


class NotDecodable(Record):
    """`count` stored events of a version, the first of them at `offset`. `at`: the declaration of
    the event, or the system's where there is none any more."""

    event: str
    version: int
    count: int
    offset: int
    why: str
    help: str
    at: Span

    def report(self) -> Report:
        stored = counted(self.count, "stored event")
        return Report(
            f"{stored} of `{self.event}` v{self.version} can't be read as declared now: {self.why}",
            self.at,
            f"stored as v{self.version}",
            notes=(f"the first is at offset {self.offset}",),
            help=self.help,
            subjects=(self.event,),
        )
