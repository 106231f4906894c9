"""Events of the past, handled again: each has all of its attempts at once, and none waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from flowc.errors import ContractError, KilledError

if TYPE_CHECKING:
    from flowc.calls import Failed
    from flowc.rows import Rows

LASTING = (ContractError, KilledError)
"""What another attempt would not mend."""

Try = Callable[["Rows", int], "Failed | None"]
"""Calls the handlers of some events; the number is that of the attempt, from 1."""


class GaveUp(NamedTuple):
    """An event that failed on all of its attempts. `row` is of length 1."""

    row: Rows
    error: BaseException
    attempts: int


def try_all(attempt: Try, rows: Rows, retries: int, *, whole: bool) -> Iterator[GaveUp]:
    """Handle events in their order. One that fails is tried up to `retries` times more before the
    next one's turn; those that fail for good come back.

    `whole`: the handlers take rows as one batch, which is halved down to the row that is to blame.
    """
    begin = 0
    while begin < len(rows):
        part = rows.part(begin, len(rows))
        failed = attempt(part, 1)
        if failed is None:
            return
        if whole and len(part) > 1:
            middle = len(part) // 2
            for half in (part.part(0, middle), part.part(middle, len(part))):
                yield from try_all(attempt, half, retries, whole=True)
            return
        row, attempts = part.part(failed.row, failed.row + 1), 1
        error: BaseException | None = failed.error
        while error is not None and not isinstance(error, LASTING) and attempts <= retries:
            attempts += 1
            again = attempt(row, attempts)
            error = again.error if again is not None else None
        if error is not None:
            yield GaveUp(row, error, attempts)
        begin += failed.row + 1
