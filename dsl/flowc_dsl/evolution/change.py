"""One change between two declarations, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flowc_dsl.graph import FlowGraph
from flowc_dsl.model import System
from flowc_dsl.plan import Plan
from flowc_dsl.source import Span


class Verdict(StrEnum):
    """`BREAKS`: somebody named fails. `LIFT`: stored events can't be read until an upcast says how.
    `WATCH`: nothing fails by itself, and somebody has to handle it, or know it before it runs.
    `SAFE`: nobody notices."""

    BREAKS = "breaks"
    LIFT = "needs an upcast"
    WATCH = "watch"
    SAFE = "safe"


OUTSIDE: Final = "outside"
STORED: Final = "stored events"
OF: Final = "{of}"
"""Where `Change.what` names its subject, if it stands alone."""


@dataclass(frozen=True, slots=True)
class Affected:
    """`who` is a service, `OUTSIDE` or `STORED`; `how` says in a few words what it does with it.

    `context` and `owner` are a service's, where it has them. `path` leads from the event to it.
    """

    who: str
    how: str
    context: str = ""
    owner: str = ""
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        team = f" ({self.owner})" if self.owner else ""
        return f"{self.who}{team} {self.how}"


@dataclass(frozen=True, slots=True)
class Change:
    """`subject` is the event, command or service; `part` its field, if it is about one.

    `old` and `new` are places in the two texts; at least one is there. `code` is that of the
    finding that it is, if it is one.
    """

    verdict: Verdict
    subject: str
    what: str
    why: str = ""
    part: str = ""
    affected: tuple[Affected, ...] = ()
    help: str = ""
    code: str = ""
    old: Span | None = None
    new: Span | None = None

    @property
    def breaks(self) -> bool:
        """Whether something has to be done about it before it may run."""
        return self.verdict in (Verdict.BREAKS, Verdict.LIFT)

    @property
    def short(self) -> str:
        """What changed, below a heading that names the subject."""
        return self.what.replace(OF, "")

    @property
    def alone(self) -> str:
        """What changed, in a line that stands alone."""
        return self.what.replace(OF, f" of `{self.subject}`")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two declarations, in the forms that comparing needs."""

    system: System
    plan: Plan
    graph: FlowGraph
