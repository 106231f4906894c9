"""A program to be run: checked, planned, with its configuration and the place of its state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flowc_dsl.plan import Plan
from flowc_engine.cli.common import fail, load_checked
from flowc_engine.config import Config, ConfigError, load_config
from flowc_engine.state import StateDir


@dataclass(frozen=True, slots=True)
class Planned:
    """`root`: the project's root. `warnings`: how many findings do not stop it."""

    root: Path
    plan: Plan
    config: Config
    warnings: int

    @property
    def state(self) -> StateDir:
        """Where its state is kept."""
        return StateDir(self.root, self.plan.system)


def plan_file(file: Path, *, skip_unsupported: bool) -> Planned:
    """The program of the main file `file`, for commands that run it or look at what it did.

    What stops it is written to stderr, and the process ends: errors and constructs that can't be
    honoured yet (unless they are to be skipped) with 1, what can't be read with 2.
    """
    from flowc_dsl.planning import make_plan, unsupported

    checked = load_checked(file)
    assert checked.program is not None
    assert checked.compilation is not None
    system = checked.compilation.system
    assert system is not None
    left_out = unsupported(system)
    if left_out and not skip_unsupported:
        _refuse(left_out, checked)
    plan = make_plan(system)
    try:
        config = load_config(checked.program.root)
        config.check_against(plan)
    except ConfigError as error:
        fail(str(error))
    return Planned(checked.program.root, plan, config, checked.report.summary.warnings)
