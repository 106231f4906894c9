"""flowc: what the author of a service imports.

    import flowc
    from shop_events import OrderPlaced, StockReserved      # written by `flowc types shop.flow`

    class Stock:
        def on_order_placed(self, order: OrderPlaced, ctx: flowc.Context) -> StockReserved:
            return StockReserved(order_id=order.order_id)

`Event` and `Record` are the bases of the classes that the declaration makes. `Context` is what a
handler may know about its event, `Batch` events as Arrow columns, `Publisher` a source of events
from any Python program. The tree of exceptions is drawn in `flowc.errors`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flowc.event import Event, Record

if TYPE_CHECKING:
    from flowc.batch import Batch
    from flowc.context import Context
    from flowc.errors import (
        CodeError,
        ContractError,
        FencedError,
        FlowcError,
        HaltedError,
        NoPlanError,
        RefusedError,
        SchemaError,
    )
    from flowc.publisher import Publisher

__all__ = [
    "Batch",
    "CodeError",
    "Context",
    "ContractError",
    "Event",
    "FencedError",
    "FlowcError",
    "HaltedError",
    "NoPlanError",
    "Publisher",
    "Record",
    "RefusedError",
    "SchemaError",
]
_HOME = {"Batch": "flowc.batch", "Context": "flowc.context", "Publisher": "flowc.publisher"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'flowc' has no attribute {name!r}")
    found = getattr(import_module(_HOME.get(name, "flowc.errors")), name)  # Arrow only when needed
    globals()[name] = found
    return found
