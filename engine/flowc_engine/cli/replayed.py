"""What `flowc replay` shows."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from flowc_dsl.rules.wording import counted
from flowc_engine.cli.common import look_for, shown_path

if TYPE_CHECKING:
    from flowc_dsl.plan import Plan, ServicePlan
    from flowc_engine.replaying.compare import Comparison, Input, Output
    from flowc_engine.replaying.drive import Outcome
    from flowc_engine.replaying.fork import Fork
    from flowc_engine.replaying.original import Recorded

_SAID: Final = {
    "same": "as it was",
    "changed": "with other fields",
    "missing": "without what was emitted then",
    "extra": "with more than was emitted then",
    "raised": "raise, and did not",
    "mended": "handled, and were given up on",
}


@dataclass(frozen=True, slots=True)
class Replayed:
    """One replay. `folder`: of its fork, if that is kept. `compared` is None if nothing was
    compared."""

    system: str
    service: ServicePlan
    span: tuple[int, int]
    folder: Path | None
    outcome: Outcome
    compared: Comparison | None

    def document(self) -> dict[str, Any]:
        """The answer as JSON."""
        out = self.outcome
        found: dict[str, Any] = {
            "format_version": "1.0",
            "system": self.system,
            "service": self.service.name,
            "from": self.span[0],
            "to": self.span[1],
            "fork": str(self.folder) if self.folder else None,
            "warmed": out.warmed,
            "failed_in_memory": out.warm_failed,
            "handled": out.called,
            "skipped": out.skipped,
            "raised": out.raised,
            "deadly": out.deadly,
            "emitted": dict(sorted(out.emitted.items())),
        }
        if self.compared is not None:
            found["diff"] = {
                **self.compared.counts,
                "not_handled_then": self.compared.unhandled,
                "inputs": [_input(one) for one in self.compared.inputs],
                "truncated": len(self.compared.inputs) < self.compared.differing,
            }
        return found

    def show(self, file: str) -> None:
        """The answer as text."""
        out, (begin, end) = self.outcome, self.span
        what = f"{counted(out.called, 'event')} handled"
        what += f", {out.skipped:,} skipped (`replay skip`)" if out.skipped else ""
        what += f", {out.raised:,} raised" if out.raised else ""
        what += f", {out.deadly:,} left out, which killed their process" if out.deadly else ""
        click.echo(f"{self.service.name}, from {begin:,} to {end:,}: {what}")
        for event, count in sorted(out.emitted.items()):
            click.echo(f"  {event}: {count:,}")
        if out.warmed:
            failed = f", {out.warm_failed:,} of which raised" if out.warm_failed else ""
            click.echo(f"memory: {counted(out.warmed, 'earlier event')}{failed}", err=True)
        if self.compared is not None:
            self._show_compared(self.compared)
        assert self.folder is not None
        name = self.folder.name if self.folder.parent.name == "replays" else str(self.folder)
        click.echo(f"the fork is in {shown_path(self.folder)}/", err=True)
        click.echo(
            f'next: `flowc log {file} --fork {name} "SELECT …"`; `recorded.NAME` is what was '
            f"emitted then, `flowc replay {file} {self.service.name} --at OFFSET` shows one",
            err=True,
        )

    def _show_compared(self, compared: Comparison) -> None:
        from flowc_engine.cli.asking import print_blocks

        total = sum(compared.counts.values())
        click.echo(f"compared with what was emitted then, {counted(total, 'event')}:")
        for verdict, count in compared.counts.items():
            if count:
                click.echo(f"  {verdict:<8} {count:>10,}  {_SAID[verdict]}")
        if compared.unhandled:
            click.echo(f"{counted(compared.unhandled, 'event')} had not been handled then")
        if compared.inputs:
            rows = [_row(one) for one in compared.inputs]
            print_blocks(["offset", "event", "verdict", "recorded → now"], rows)
        if len(compared.inputs) < compared.differing:
            click.echo(f"the first {len(compared.inputs):,}; --limit shows more", err=True)


def _row(one: Input) -> list[Any]:
    told = [_told(output) for output in one.outputs] if one.verdict != "raised" else []
    if one.error:
        told.insert(0, one.error.strip().splitlines()[0])
    return [one.offset, one.event or "", one.verdict, "; ".join(told)]


def _told(output: Output) -> str:
    if output.verdict == "changed":
        fields = ", ".join(
            f"{name}: {_text(was)} → {_text(is_)}" for name, (was, is_) in output.fields.items()
        )
        return f"{output.event} {fields}"
    return f"{'-' if output.verdict == 'missing' else '+'}{output.event}"


def _text(value: object) -> str:
    from flowc_engine.log.shown import to_text

    return "NULL" if value is None else to_text(value)


def _input(one: Input) -> dict[str, Any]:
    from flowc_engine.log.shown import to_json_value

    return {
        "offset": one.offset,
        "event": one.event,
        "verdict": one.verdict,
        "error": one.error or None,
        "outputs": [
            {
                "event": output.event,
                "at": output.at,
                "verdict": output.verdict,
                "fields": {
                    name: {"recorded": to_json_value(was), "now": to_json_value(is_)}
                    for name, (was, is_) in output.fields.items()
                },
            }
            for output in one.outputs
        ],
    }


# ---- one input


def show_input(fork: Fork, done: Replayed, event: Recorded, plan: Plan, *, as_json: bool) -> None:
    """The event, and all that came of it: then, and now."""
    from flowc_engine.log.shown import iso, to_json_value
    from flowc_engine.replaying.fork import NOW, RECORDED, open_fork

    offset = done.span[0]
    with open_fork(fork) as log:
        sides = {side: _outcome(log.con, plan, done.service, side) for side in (RECORDED, NOW)}
    if as_json:
        fields = {name: to_json_value(value) for name, value in event.fields.items()}
        one = {"offset": offset, "event": event.event, "source": event.source, "fields": fields}
        told = {("now" if side == NOW else side): came for side, came in sides.items()}
        click.echo(json.dumps({**done.document(), "input": one, **told}, ensure_ascii=False))
        return
    look = look_for(sys.stdout)
    click.echo(f"{offset}  {event.event} from {look.show(event.source)}, {iso(event.time)}")
    for name, value in event.fields.items():
        click.echo(f"  {name}: {look.show(_text(value))}")
    for side, came in sides.items():
        click.echo("recorded:" if side == RECORDED else "now:")
        for name, fields in came["emitted"]:
            listed = "  ".join(f"{field}: {look.show(_text(v))}" for field, v in fields.items())
            click.echo(f"  {name}  {listed}".rstrip())
        for error in came["raised"]:
            for line in error.splitlines():
                click.echo(f"  {look.show(line)}")
        if not came["emitted"] and not came["raised"]:
            click.echo("  nothing")
    assert done.compared is not None
    if done.compared.unhandled:
        click.echo("not handled then")
    elif not done.outcome.called:
        skipped = "`replay skip`" if done.outcome.skipped else "what it waited for was cancelled"
        click.echo(f"its handler is not called: {skipped}")
    else:
        click.echo("differs" if done.compared.differing else "the same")


def _outcome(con: Any, plan: Plan, service: ServicePlan, database: str) -> dict[str, Any]:
    """What was emitted, and why handlers raised."""
    from flowc_dsl.sqltext import quote
    from flowc_engine.log.shown import to_json_value

    emitted = []
    for event in service.emits:
        if event not in service.waits:
            sql = f"SELECT * FROM {database}.main.{quote(event)} ORDER BY _offset"  # noqa: S608 - quoted
            names = [f.name for f in plan.event(event).fields]
            for row in con.sql(sql).to_arrow_table().to_pylist():
                fields = {name: to_json_value(row[name]) for name in names}
                emitted.append((row["_offset"], event, fields))
    sql = f"SELECT error FROM {database}._parked ORDER BY time"  # noqa: S608 - a constant
    raised = [error for (error,) in con.execute(sql).fetchall()]
    return {
        "emitted": [(event, fields) for _, event, fields in sorted(emitted, key=lambda e: e[0])],
        "raised": raised,
    }
