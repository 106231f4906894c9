"""`flowc graph FILE`: the topology as a picture, or as text for other tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowc_engine.cli.common import ColorChoice, ExitCode, color_option, fail, look_for, today
from flowc_engine.drawing.graphviz_dot import DotError
from flowc_engine.drawing.png import PngError
from flowc_engine.drawing.render import SUFFIXES, Drawing, Engine, Kind, draw

if TYPE_CHECKING:
    from flowc_dsl.draw.topology import Topology
    from flowc_dsl.model import System

FAULTS_OF_TEXT = "FLW0"  # codes of texts, files, names and types: below the rules


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(["svg", "png", "dot", "mermaid", "json"]),
    help="Default: by the suffix of OUT; else svg, or mermaid on a terminal.",
)
@click.option("-o", "--output", "out", metavar="OUT", help="The file to write; - is stdout.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "dot", "layered"]),
    default="auto",
    show_default=True,
    help="What draws svg and png: Graphviz's dot, flowc's own layout, or dot if it is there.",
)
@click.option(
    "--detail",
    type=click.Choice(["auto", "full", "contexts"]),
    default="auto",
    show_default=True,
    help="All nodes, or each context as one; auto collapses what has more than 120 nodes.",
)
@color_option
def command(
    file: Path, kind: Kind | None, out: str | None, engine: Engine, detail: str, color: ColorChoice
) -> None:
    """Draw the topology of the program whose main file is FILE.

    \b
    Examples:
      flowc graph shop.flow -o shop.svg
      flowc graph shop.flow -f mermaid

    Contexts are frames, services boxes with a row for each handler, events and commands the nodes
    between them, stores cylinders. The same input and engine give the same bytes.
    """
    kind = _kind(kind, out)
    system = _system(file, color)
    topology = _topology(system, kind, detail)
    try:
        drawing = draw(topology, kind, engine)
    except PngError as error:
        fail(str(error))
    except DotError as error:
        fail(f"{error}; `flowc graph {file} --engine layered` needs no dot", ExitCode.FAILURE)
    _write(drawing.data, out)
    _tell(topology, drawing, out)


def _kind(kind: Kind | None, out: str | None) -> Kind:
    """The format asked for, else by the suffix of the output, else what suits stdout."""
    to_stdout = out in (None, "-")
    terminal = to_stdout and sys.stdout.isatty()
    if kind is None and not to_stdout:
        suffix = Path(out or "").suffix.lower()
        if suffix not in SUFFIXES:
            fail(f"no format has the suffix {suffix!r}; name one with -f, or use {_suffixes()}")
        return SUFFIXES[suffix]
    if kind == "png" and terminal:
        fail("a PNG is not for a terminal; name a file with -o")
    return kind or ("mermaid" if terminal else "svg")


def _suffixes() -> str:
    *most, last = SUFFIXES
    return f"{', '.join(most)} or {last}"


def _system(file: Path, color: ColorChoice) -> System:
    """The program's system, also one that breaks rules; a broken text ends the process."""
    from flowc_dsl.diagnostics.diagnostic import Level
    from flowc_dsl.diagnostics.full import render_full
    from flowc_engine.cli.checking import check_path

    checked = check_path(file, today())
    errors = [d for d in checked.report.diagnostics if d.level == Level.ERROR]
    broken = [d for d in errors if d.code.startswith(FAULTS_OF_TEXT)]
    if checked.compilation is None or broken:
        text = render_full(broken or errors, checked.report.sources, look_for(sys.stderr, color))
        click.echo(text, nl=False, err=True)
        if checked.compilation is not None:
            click.echo(f"nothing was drawn; mend the text first: flowc check {file}", err=True)
        sys.exit(max(checked.exit_code, ExitCode.FINDINGS))
    if errors:
        many = f"{len(errors)} error{'s' if len(errors) > 1 else ''}"
        click.echo(f"drawn although it has {many}: flowc check {file}", err=True)
    assert checked.compilation.system is not None
    return checked.compilation.system


def _topology(system: System, kind: Kind, detail: str) -> Topology:
    from flowc_dsl.draw.collapse import collapse, wants_collapse
    from flowc_dsl.draw.topology import topology_of

    topology = topology_of(system)
    if detail == "contexts" or (detail == "auto" and kind != "json" and wants_collapse(topology)):
        return collapse(topology)
    return topology


def _write(data: bytes, out: str | None) -> None:
    if out in (None, "-"):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from flowc_engine.files import write_atomically

    try:
        write_atomically(Path(out or ""), data)
    except OSError as error:
        fail(f"can't write {out}: {(error.strerror or str(error)).lower()}")


def _tell(topology: Topology, drawing: Drawing, out: str | None) -> None:
    """On stderr: what drew it, and what is in it."""
    where = "" if out in (None, "-") else f"{out}: "
    count = f"{len(topology.nodes)} nodes, {len(topology.edges)} edges"
    click.echo(f"{where}drawn by {drawing.engine}: {count}", err=True)
    if drawing.why:
        click.echo(f"not by Graphviz: {drawing.why}", err=True)
    if topology.collapsed:
        drawn = topology.declared - topology.inner
        click.echo(
            f"collapsed by context: {drawn} of {topology.declared} declared edges are between "
            f"contexts and bundled, {topology.inner} inside of one; --detail full draws each",
            err=True,
        )
