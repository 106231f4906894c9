"""`flowc simulate-engine`: the broker that ships, on a virtual clock, network and disk."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowc_engine.cli.common import ExitCode, fail, look_for

if TYPE_CHECKING:
    from flowc_engine.sim.oracle import Verdict
    from flowc_engine.sim.sweep import Sum

_SEEDS_DEFAULT = 1_000
_CTRL_C = 130


@click.command()
@click.option(
    "--seeds", type=click.IntRange(min=1), default=_SEEDS_DEFAULT, show_default=True,
    help="How many seeds to run.",
)  # fmt: skip
@click.option("--first", type=click.IntRange(min=0), default=0, help="The first of them.")
@click.option("--seed", type=click.IntRange(min=0), help="Run this one alone.")
@click.option("--trace", is_flag=True, help="With --seed: a line for each thing that happens.")
@click.option(
    "--failing", type=click.Path(dir_okay=False, path_type=Path),
    help="A file of seeds that failed: run first, and added to.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; by default one a processor.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(
    *, seeds: int, first: int, seed: int | None, trace: bool, failing: Path | None,
    jobs: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Look for a seed by which the engine loses, doubles or reorders something, or stalls.

    \b
    Examples:
      flowc simulate-engine --seeds 200
      flowc simulate-engine --seed 1074 --trace

    The broker's core, its journal and its recovery are those that ship; clock, network, disk and
    the processes around it are virtual. Things break for a while: processes are killed, the power
    is cut, disks fail and fill up, links are cut, clocks jump. Then all heals, and everything that
    was acknowledged has to be there, once and in order. The seed decides all of it.

    Exit code 1 if a promise was broken; each seed is shown with the command that shows it again.
    """
    from flowc_engine.sim.sweep import keep_seeds, read_seeds

    if seed is not None:
        _one(seed, trace=trace, as_json=as_json)
        return
    if trace:
        fail("--trace is for one seed: flowc simulate-engine --seed N --trace")
    try:
        known = read_seeds(failing) if failing else []
    except (OSError, ValueError) as error:
        fail(str(error))
    wanted = [*known, *(n for n in range(first, first + seeds) if n not in set(known))]
    jobs = jobs or min(os.cpu_count() or 1, 1 + len(wanted) // 100)
    found, took_s, whole = _sweep(wanted, jobs, as_json=as_json)
    if failing and found.failed:
        keep_seeds(failing, found.failed)
    if as_json:
        click.echo(json.dumps(_to_json(found, took_s, whole=whole)))
    else:
        _print(found, took_s)
    if not whole:
        click.echo(f"stopped after {found.seeds:,} of {len(wanted):,} seeds", err=True)
        sys.exit(_CTRL_C)
    sys.exit(ExitCode.FINDINGS if found.failed else ExitCode.CLEAN)


def _one(seed: int, *, trace: bool, as_json: bool) -> None:
    from flowc_engine.sim.oracle import simulate
    from flowc_engine.sim.sweep import Sum

    begun = time.monotonic()
    found = Sum()
    found.add(simulate(seed, click.echo if trace else None))
    took_s = time.monotonic() - begun
    if as_json:
        click.echo(json.dumps(_to_json(found, took_s, whole=True)))
    else:
        _print(found, took_s)
    sys.exit(ExitCode.FINDINGS if found.failed else ExitCode.CLEAN)


def _sweep(wanted: list[int], jobs: int, *, as_json: bool) -> tuple[Sum, float, bool]:
    """What came of the seeds, how long it took, and whether all of them were run."""
    from flowc_engine.sim.sweep import Sum, sweep

    found, begun, whole = Sum(), time.monotonic(), True
    verdicts = sweep(wanted, jobs)
    with _progress(len(wanted), hide=as_json) as advance:
        try:
            for verdict in verdicts:
                found.add(verdict)
                advance(len(found.failed))
        except KeyboardInterrupt:
            whole = False
            verdicts.close()
    return found, time.monotonic() - begun, whole


@contextmanager
def _progress(total: int, *, hide: bool) -> Iterator[Any]:
    """A function to call after each seed; it shows a bar on a terminal."""
    if hide or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("seeds", total=total)
        yield lambda failed: bar.update(
            task, advance=1, description=f"seeds, {failed} failed" if failed else "seeds"
        )


def _print(found: Sum, took_s: float) -> None:
    from rich.console import Console
    from rich.table import Table

    look = look_for(sys.stdout)
    console = Console(highlight=False, no_color=not look.color)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, count in _figures(found).items():
        table.add_row(name, f"{count:,}")
    table.add_row("digest", found.digest)
    console.print(table)
    faults = Table(box=None, pad_edge=False)
    faults.add_column("fault")
    faults.add_column("times", justify="right")
    for name, count in found.faults.most_common():
        faults.add_row(name, f"{count:,}")
    console.print()
    console.print(faults)
    for verdict in found.failed:
        for what in verdict.violations[:1]:
            click.echo(f"\nseed {verdict.seed}: {look.show(what)}")
        click.echo(f"  flowc simulate-engine --seed {verdict.seed} --trace")
    rate = f"{found.seeds / took_s:,.0f} seeds/s, {found.events / took_s:,.0f} events/s"
    click.echo(f"\n{took_s:.1f} s: {rate}", err=True)


def _figures(found: Sum) -> dict[str, int]:
    return {
        "seeds": found.seeds,
        "simulated events": found.events,
        "faults": found.faults.total(),
        "acknowledged": found.acknowledged,
        "lost": found.lost,
        "doubled": found.doubled,
        "reordered": found.reordered,
        "stalls": found.stalled,
        "halted by rot, and said so": found.halted,
        "seeds that failed": len(found.failed),
    }


def _to_json(found: Sum, took_s: float, *, whole: bool) -> dict[str, object]:
    return {
        "format_version": "1.0",
        "seeds": found.seeds,
        "complete": whole,
        "events": found.events,
        "acknowledged": found.acknowledged,
        "lost": found.lost,
        "doubled": found.doubled,
        "reordered": found.reordered,
        "stalls": found.stalled,
        "halted": found.halted,
        "faults": dict(sorted(found.faults.items())),
        "digest": found.digest,
        "seconds": round(took_s, 3),
        "failed": [_failed(verdict) for verdict in found.failed],
    }


def _failed(verdict: Verdict) -> dict[str, object]:
    return {
        "seed": verdict.seed,
        "violations": verdict.violations,
        "digest": verdict.digest,
        "command": f"flowc simulate-engine --seed {verdict.seed} --trace",
    }
