"""4xx: versions of events, and the upcasts that lift older ones. What a change means for those who
read and write is `flowc_dsl.evolution`'s: it needs the older text."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.diagnostics.diagnostic import Label, Level
from flowc_dsl.graph import FlowGraph
from flowc_dsl.model import Event, Ref
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, declare, rule
from flowc_dsl.rules.wording import NAMES_MAX

declare(
    "FLW401", "field-taken-away", Level.ERROR,
    "what a reader relies on is gone or another; found by `flowc diff`",
    needs="older text",
)  # fmt: skip
declare(
    "FLW402", "field-demanded", Level.ERROR,
    "a field is demanded that old events or other senders don't have; found by `flowc diff`",
    needs="older text",
)  # fmt: skip
declare(
    "FLW409", "change-to-handle", Level.WARNING,
    "a change that somebody has to handle, or know before it runs; found by `flowc diff`",
    needs="older text",
)  # fmt: skip


class BrokenChain(Record):
    event: Event
    missing: tuple[int, ...]

    def report(self) -> Report:
        event, first = self.event, self.missing[0]
        shown = self.missing[: NAMES_MAX - (len(self.missing) > NAMES_MAX)]
        more = len(self.missing) - len(shown)
        named = " and ".join([*(f"v{n}" for n in shown), *([f"{more:,} more"] if more else [])])
        block = " ".join(f"upcast v{n} {{ … }}" for n in shown) + " …" * bool(more)
        step = f"v{first} to v{first + 1}"
        return Report(
            f"event `{event.name}` is v{event.version}, and nothing says how {named} "
            f"{'becomes' if len(self.missing) == 1 else 'become'} the next",
            event.span,
            f"no step from {step}",
            tuple(Label(upcast.span, "this step is there") for upcast in event.upcasts[:2]),
            help=f"write `{block}`; one without steps says that the fields stayed",
            subjects=(event.name,),
            witness=tuple(f"v{number}" for number in range(1, event.version + 1)),
        )


@rule(
    "FLW403", "broken-upcast-chain", Level.WARNING, "a version without a step from the one before"
)
def broken_chain(graph: FlowGraph) -> Iterator[Finding]:
    for event in graph.system.events.values():
        there = {upcast.from_version for upcast in event.upcasts}
        missing = tuple(number for number in range(1, event.version) if number not in there)
        if missing:
            yield BrokenChain(event, missing)


class LossyUpcast(Record):
    event: Event
    version: int
    target: Ref
    lost: str
    related: tuple[Label, ...]

    def report(self) -> Report:
        name = self.target.name
        return Report(
            f"`upcast v{self.version}` of `{self.event.name}` makes `{name}`, and {self.lost}",
            self.target.span,
            "lost",
            self.related,
            help=f"rename `{name}` on in a later upcast, or remove this step",
            subjects=(self.event.name, name),
            witness=(f"v{self.version}", name),
        )


@rule("FLW408", "lossy-upcast", Level.WARNING, "an upcast makes a field whose value is lost again")
def lossy_upcast(graph: FlowGraph) -> Iterator[Finding]:
    for event in graph.system.events.values():
        for index, upcast in enumerate(event.upcasts):
            made = [*(target for target, _ in upcast.sets), *(new for _, new in upcast.renames)]
            for target in made:
                lost = _lost(event, index, target)
                if lost is not None:
                    yield LossyUpcast(event, upcast.from_version, target, *lost)


def _lost(event: Event, index: int, target: Ref) -> tuple[str, tuple[Label, ...]] | None:
    """What becomes of a field after the upcast that makes it, if its value gets nowhere."""
    name = target.name
    for later in event.upcasts[index + 1 :]:
        onwards = {old.name: new.name for old, new in later.renames}
        made = {
            new.name: new for new in (*(t for t, _ in later.sets), *(n for _, n in later.renames))
        }
        if name in onwards:
            name = onwards[name]
        elif name in made:
            over = Label(made[name].span, "made again here")
            return f"`upcast v{later.from_version}` makes `{name}` again", (over,)
    if any(field.name == name for field in event.fields):
        return None
    return f"v{event.version} has no field `{name}`", (Label(event.span, "declared here"),)
