"""Options that are TCP endpoints."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import click

_ENDPOINT: Final = re.compile(r"tcp://(\*|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*):([0-9]+)")
_PORT_MAX: Final = 65_535


class TcpEndpoint(click.ParamType[str]):
    """`tcp://HOST:PORT`."""

    name = "tcp://HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        found = _ENDPOINT.fullmatch(value)
        if not found or not 0 < int(found[2]) <= _PORT_MAX:
            self.fail(f"{value!r} is no endpoint like tcp://10.0.0.5:5555", param, ctx)
        return str(value)


def listen_option(*, required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--listen`."""
    return click.option(
        "--listen",
        type=TcpEndpoint(),
        required=required,
        metavar="tcp://HOST:PORT",
        help="Let those in over TCP who have a key (`flowc keys`); HOST is an address of this "
        "machine, or * for all.",
    )
