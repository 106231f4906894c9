"""A run on a terminal: a table that is drawn anew several times a second."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flowc_engine.supervisor import core as sc
from flowc_engine.supervisor.children import ChildState, Kind, Life
from flowc_engine.supervisor.plain import bytes_text, duration, printable
from flowc_engine.supervisor.tally import Counts, Tally

_COLUMNS = (
    "service", "in/s", "out/s", "handled", "emitted", "lag", "parked", "retrying", "restarts",
    "state",
)  # fmt: skip
_WIDE = 100  # columns of the terminal; below, the totals make room
_TOTALS = ("handled", "emitted")
_STYLES = {
    Life.UP: "green", Life.FAILED: "bold red", Life.BACKOFF: "yellow", Life.STARTING: "cyan",
    Life.DONE: "green", Life.WAITING: "dim", Life.STOPPED: "dim",
}  # fmt: skip
_ROWS_AROUND = 9  # of the terminal, for what is above and below the services
_WORDS = {
    sc.Phase.STARTING: "starting", sc.Phase.RUNNING: "running", sc.Phase.DRAINING: "draining",
    sc.Phase.CLOSING_LOG: "writing the log", sc.Phase.CLOSING_BROKER: "closing",
    sc.Phase.OVER: "over",
}  # fmt: skip


class LiveScreen:
    """On stderr. What is said scrolls above the table."""

    def __init__(self, system: str, console: Console | None = None) -> None:
        self._system = system
        self._console = console or Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def say(self, say: sc.Say) -> None:
        """Something happened."""
        style = {"info": "", "warning": "yellow", "error": "red"}[say.level]
        self._console.print(Text(printable(say.text), style=style), soft_wrap=True)

    def show(self, core: sc.RunCore, tally: Tally, uptime_ms: int) -> None:
        """Draw it as it stands."""
        rows_max = max(self._console.height - _ROWS_AROUND, 3)
        wide = self._console.width >= _WIDE
        picture = render(self._system, core, tally, uptime_ms, rows_max, wide=wide)
        self._live.update(picture, refresh=True)

    def close(self) -> None:
        """Take the table off the screen."""
        self._live.stop()


def render(
    system: str, core: sc.RunCore, tally: Tally, uptime_ms: int, rows_max: int, *, wide: bool
) -> Group:
    """The picture: header, services, sources, key hint."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    columns = [name for name in _COLUMNS if wide or name not in _TOTALS]
    for name in columns:
        left = name in ("service", "state")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    hosts = list(core.of(Kind.HOST))
    shown = _most_telling(hosts, tally, rows_max)
    for state in shown:
        row = _row(state, tally)
        table.add_row(*(row[name] for name in columns))
    parts: list[Table | Text] = [_header(system, core, tally, uptime_ms), table]
    if len(shown) < len(hosts):
        parts.append(Text(f"… and {len(hosts) - len(shown)} more that keep up", style="dim"))
    sources = [_source(s, tally) for s in core.of(Kind.SOURCE)]
    if sources:
        parts.append(Text("sources: ").append(Text(", ").join(sources)))
    hint = "Ctrl-C again stops at once" if core.interrupted else "Ctrl-C drains"
    parts.append(Text(hint, style="dim"))
    return Group(*parts)


def _header(system: str, core: sc.RunCore, tally: Tally, uptime_ms: int) -> Text:
    text = Text(system, style="bold")
    text.append(
        f"  {_WORDS[core.phase]}  {duration(uptime_ms)}  {tally.offset:,} events  "
        f"{tally.rate():,.0f}/s  journal {bytes_text(tally.log_bytes)}  "
        f"log behind by {max(0, tally.offset - tally.applied):,}",
        style="not bold",
    )
    return text


def _most_telling(hosts: list[ChildState], tally: Tally, rows_max: int) -> list[ChildState]:
    """All that fit, in order; when they don't, those in trouble or furthest behind."""
    if len(hosts) <= rows_max:
        return hosts

    def trouble(state: ChildState) -> tuple[bool, int, int]:
        counts = _counts(state, tally)
        return (state.life is not Life.UP, counts.lag, counts.parked)

    chosen = {s.child for s in sorted(hosts, key=trouble, reverse=True)[:rows_max]}
    return [s for s in hosts if s.child in chosen]


def _counts(state: ChildState, tally: Tally) -> Counts:
    return tally.slots.get((state.child.name, state.child.slot), Counts())


def _row(state: ChildState, tally: Tally) -> dict[str, Text]:
    counts = _counts(state, tally)
    handled_s, emitted_s = tally.slot_rates((state.child.name, state.child.slot))
    numbers = {
        "in/s": handled_s, "out/s": emitted_s, "handled": counts.handled,
        "emitted": counts.emitted, "lag": counts.lag, "parked": counts.parked,
        "retrying": counts.deferred, "restarts": state.restarts.total,
    }  # fmt: skip
    cells = {name: Text(f"{number:,.0f}") for name, number in numbers.items()}
    for name in ("parked", "retrying", "restarts"):
        if numbers[name]:
            cells[name].stylize("yellow")
    replica = f"/{state.child.slot}" if state.child.slot else ""
    cells["service"] = Text(state.child.name + replica)
    cells["state"] = Text(state.life.value, style=_STYLES[state.life])
    return cells


def _source(state: ChildState, tally: Tally) -> Text:
    text = Text(state.child.name)
    text.append(f" {tally.sources.get(state.child.name, 0):,} ")
    return text.append(state.life.value, style=_STYLES[state.life])
