"""Calling handlers that write to a store: what a call that fails has done is undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowc.calls import Call, Failed, NoCall
from flowc.errors import SchemaError
from flowc.outbox import STEP_BYTES_MAX, Outbox

if TYPE_CHECKING:
    from flowc.codec import Codecs
    from flowc.load import Handler
    from flowc.rows import Rows
    from flowc.stores import Stores


class UndoingCall:
    """A call for one row at a time, or for rows of one file that are taken as one batch. It is
    undone if it fails, or if what it emitted can't be sent; `name` is the handlers', for that."""

    def __init__(self, call: Call, stores: Stores, codecs: Codecs, name: str) -> None:
        self.whole = call.whole
        self._call, self._stores, self._codecs, self._name = call, stores, codecs, name

    def run(self, rows: Rows, outbox: Outbox, *, attempt: int, replaying: bool) -> Failed | None:
        """See `Call`."""
        stores = self._stores
        if not self.whole:
            rows.decode()
            _ = rows.envelope
        step = len(rows) if self.whole else 1
        for begin in range(0, len(rows), step):
            row, own = rows.part(begin, begin + step), Outbox(self._codecs)
            stores.enter(row)
            failed = self._call.run(row, own, attempt=attempt, replaying=replaying)
            why = own.unfit(STEP_BYTES_MAX // 2) if failed is None and own.count else None
            if why is not None:
                failed = Failed(0, SchemaError(f"{self._name} emitted {why}"))
            stores.leave(keep=failed is None)
            if failed is not None:
                return Failed(begin + failed.row, failed.error)
            outbox.add_all(own)
        return None


def undoing(
    calls: dict[str, Call],
    stores: Stores | None,
    codecs: Codecs,
    handlers: dict[str, list[Handler]],
) -> dict[str, Call]:
    """The calls of each event, of handlers that write to `stores`."""
    if stores is None:
        return calls
    found: dict[str, Call] = {}
    for event, call in calls.items():
        name = ", ".join(h.function.name for h in handlers.get(event, ()))
        is_none = isinstance(call, NoCall)
        found[event] = call if is_none else UndoingCall(call, stores, codecs, name)
    return found
