"""Turns checkouts into orders, and ends those that can't be kept."""

from __future__ import annotations

from uuid import UUID, uuid5

from libs.pricing import total
from shop_events import (
    CheckoutSubmitted,
    OrderCancelled,
    OrderPlaced,
    PaymentFailed,
    Reason,
    StockRefused,
)

ORDERS = UUID("6f1e3a5c-0f3d-4c57-9a38-2f0c5b1d7e11")


class Orders:
    def on_checkout_submitted(self, event: CheckoutSubmitted) -> OrderPlaced:
        return OrderPlaced(
            order_id=uuid5(ORDERS, str(event.cart_id)),  # the same cart gives the same order
            customer=event.customer,
            currency=event.currency,
            total=total(event.lines, event.coupon),
            lines=event.lines,
        )

    def on_stock_refused(self, event: StockRefused) -> OrderCancelled:
        return OrderCancelled(order_id=event.order_id, reason=Reason.OUT_OF_STOCK)

    def on_payment_failed(self, event: PaymentFailed) -> OrderCancelled:
        return OrderCancelled(order_id=event.order_id, reason=event.reason)
