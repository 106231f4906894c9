"""W3: three services in a row."""

from __future__ import annotations

from work import Tally

from flowc.events import OrderPlaced, OrderShipped, PaymentTaken


class Pay(Tally):
    """W3, the first stage."""

    def on_order_placed(self, event: OrderPlaced) -> PaymentTaken:
        self.count += 1
        self.qty += event.qty
        amount = round(event.amount * 1.07, 2)
        return PaymentTaken(
            order_id=event.order_id, customer=event.customer, amount=amount, qty=event.qty,
            note=event.note,
        )  # fmt: skip


class Ship(Tally):
    """W3, the second."""

    def on_payment_taken(self, event: PaymentTaken) -> OrderShipped:
        self.count += 1
        self.qty += event.qty
        amount = round(event.amount * 1.07, 2)
        return OrderShipped(
            order_id=event.order_id, customer=event.customer, amount=amount, qty=event.qty,
            note=event.note,
        )  # fmt: skip


class Notify(Tally):
    """W3, the last."""

    def on_order_shipped(self, event: OrderShipped) -> None:
        self.count += 1
        self.qty += event.qty
