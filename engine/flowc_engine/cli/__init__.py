"""The command line: `flowc COMMAND`. A command's module is imported only when that command runs.

To add one, add a line to `COMMANDS` and a module that defines a click command named `command`.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, Final, NoReturn

import click

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "check": ("flowc_engine.cli.check:command", "Check the guidelines over whole systems."),
    "baseline": (
        "flowc_engine.cli.baseline:command",
        "Let a legacy system's findings be, and allow no new ones.",
    ),
    "diff": ("flowc_engine.cli.diff:command", "Say what a change breaks, and for whom."),
    "drift": ("flowc_engine.cli.drift:command", "Hold the event log against the declaration."),
    "explain": ("flowc_engine.cli.explain:command", "Say what a code means, and what to do."),
    "fmt": ("flowc_engine.cli.fmt:command", "Format .flow files."),
    "graph": ("flowc_engine.cli.graph:command", "Draw the topology."),
    "types": ("flowc_engine.cli.types:command", "Write the event classes as a Python module."),
    "run": ("flowc_engine.cli.run:command", "Run every service on a durable event log."),
    "emit": ("flowc_engine.cli.emit:command", "Send events into a running system."),
    "log": ("flowc_engine.cli.log:command", "Query the event log with SQL."),
    "parked": ("flowc_engine.cli.parked:command", "Retry or drop events that failed."),
    "replay": ("flowc_engine.cli.replay:command", "Run a service again over its recorded events."),
    "scale": ("flowc_engine.cli.scale:command", "Change how many replicas a service runs with."),
    "simulate-engine": (
        "flowc_engine.cli.simulate_engine:command",
        "Break everything around the broker, by seed.",
    ),
    "trace": ("flowc_engine.cli.trace:command", "Show what an event caused."),
    "broker": ("flowc_engine.cli.broker:command", "Run the log alone, for services elsewhere."),
    "service": ("flowc_engine.cli.service:command", "Run one service of a broker elsewhere."),
    "keys": ("flowc_engine.cli.keys:command", "Make and withdraw the keys of those on TCP."),
}


_CTRL_C: Final = 130
_FAILURE: Final = 3  # `ExitCode.FAILURE`, without the import


def _end_without_output(why: str) -> NoReturn:
    """What is still buffered can't be written either, so the interpreter must not try."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    print(why, file=sys.stderr, flush=True)
    sys.exit(_FAILURE)


class LazyGroup(click.Group):
    """A group that knows its commands by name and help, and imports one on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found = getattr(import_module(module), attribute)
        assert isinstance(found, click.Command), COMMANDS[cmd_name]
        return found

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """The list of commands from the table alone, so that `--help` imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def main(self, *args: Any, **more: Any) -> Any:
        """As click's, but an output that can't be written to ends in one line and 3, and Ctrl-C in
        130."""
        if sys.stdout is None:  # closed by who started us: there is nobody to write for
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # for good
        if not more.get("standalone_mode", True):
            return super().main(*args, **more)
        try:
            super().main(*args, **more)
        except OSError as error:
            _end_without_output(f"error: {error.filename or 'stdout'}: {error.strerror}")

    def invoke(self, ctx: click.Context) -> object:
        """A fault of ours ends in one line and exit code 3; `FLOWC_TRACEBACK=1` shows all of it."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, OSError):
            raise
        except KeyboardInterrupt:
            sys.exit(_CTRL_C)
        except Exception as error:
            if os.environ.get("FLOWC_TRACEBACK"):
                raise
            from flowc_engine.cli.common import ExitCode, fail, place_of

            command = f"flowc {ctx.invoked_subcommand}"
            fault = f"{type(error).__name__} at {place_of(error)}: {error}"
            fail(f"`{command}` failed (FLW999): {fault}", ExitCode.FAILURE)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " See 'flowc --help'."
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flowc", message="flowc %(version)s")
def main() -> None:
    """Event-based microservices, declared: check them, run them, see them.

    Exit codes: 0 clean, 1 findings, 2 usage or unreadable input, 3 failure at run time.
    """
