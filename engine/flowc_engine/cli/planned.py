"""A program to be run: checked, planned, with its configuration and the place of its state."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowc_dsl.plan import Plan
from flowc_engine.cli.common import ExitCode, fail, load_checked, look_for, shown_path
from flowc_engine.config import Config, ConfigError, load_config
from flowc_engine.state import StateDir

if TYPE_CHECKING:
    from flowc_dsl.planning import Unsupported
    from flowc_engine.cli.checking import CheckedProgram


@dataclass(frozen=True, slots=True)
class Planned:
    """`root`: the project's root. `notes`: what to tell who runs it, a line each. `outside`: the
    services that are declared to act outside."""

    root: Path
    plan: Plan
    config: Config
    notes: tuple[str, ...] = ()
    outside: frozenset[str] = frozenset()

    @property
    def state(self) -> StateDir:
        """Where its state is kept."""
        return StateDir(self.root, self.plan.system)


def plan_program(file: Path, *, skip_unsupported: bool) -> Planned:
    """The program of the main file `file`, for commands that run it.

    What stops it is written to stderr, and the process ends: errors and constructs that can't be
    honoured yet (unless they are to be skipped) with 1, what can't be read with 2.
    """
    from flowc_dsl.planning import make_plan, unsupported
    from flowc_dsl.rules.effects import address_outside

    checked = load_checked(file)
    assert checked.program is not None
    assert checked.compilation is not None
    system = checked.compilation.system
    assert system is not None
    left_out = unsupported(system)
    if not skip_unsupported:
        _refuse([one for one in left_out if one.refuses], checked)
    plan = make_plan(system)
    try:
        config = load_config(checked.program.root)
        config.check_against(plan)
    except ConfigError as error:
        fail(str(error))
    notes = [f"left out: {_told(one)}" for one in left_out if one.refuses]
    notes += [f"note: {_told(one)}" for one in left_out if not one.refuses]
    warnings = checked.report.summary.warnings
    if warnings:
        count = f"{warnings} warnings" if warnings > 1 else "1 warning"
        notes.append(f"{count}; see `flowc check {shown_path(file)}`")
    outside = frozenset(s.name for s in system.services.values() if address_outside(s))
    return Planned(checked.program.root, plan, config, tuple(notes), outside)


def _told(one: Unsupported) -> str:
    return f"`{one.construct}` of {one.subject}: {one.text}"


def _refuse(left_out: list[Unsupported], checked: CheckedProgram) -> None:
    """Name each construct with its place, and end the process, if there are any."""
    from flowc_dsl.diagnostics.full import render_full
    from flowc_dsl.diagnostics.rebase import rebased

    if not left_out:
        return
    assert checked.program is not None
    root = checked.program.root
    found = [rebased(one.diagnostic(), lambda p: shown_path(root / p)) for one in left_out]
    click.echo(render_full(found, checked.report.sources, look_for(sys.stderr)), nl=False, err=True)
    click.echo("`--skip-unsupported` runs it without them", err=True)
    sys.exit(ExitCode.FINDINGS)
