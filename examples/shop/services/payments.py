"""Charges an order once its goods are reserved.

`OrderPlaced` is always handled before the `StockReserved` that it caused: they have one key.
"""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from shop_events import (
    OrderCancelled,
    OrderPlaced,
    PaymentFailed,
    PaymentTaken,
    Reason,
    StockReserved,
)

CARD_LIMIT = Decimal(400)


class Payments:
    def __init__(self) -> None:
        self.due: dict[UUID, OrderPlaced] = {}

    def open(self, event: OrderPlaced) -> None:
        self.due[event.order_id] = event

    def forget(self, event: OrderCancelled) -> None:
        self.due.pop(event.order_id, None)

    def on_stock_reserved(self, event: StockReserved) -> PaymentTaken | PaymentFailed:
        order = self.due.pop(event.order_id)
        if order.total > CARD_LIMIT:
            return PaymentFailed(order_id=event.order_id, reason=Reason.DECLINED)
        return PaymentTaken(order_id=event.order_id, amount=order.total, currency=order.currency)
